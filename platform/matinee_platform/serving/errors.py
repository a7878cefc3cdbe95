"""Errors of serving.

MatineeError
└── BundleError      a deployed bundle is missing, damaged, foreign or not signed as it must be
"""

from matinee_policies.errors import MatineeError


class BundleError(MatineeError):
    """A deployed bundle cannot be served."""
