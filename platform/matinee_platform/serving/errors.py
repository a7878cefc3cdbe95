"""Errors of serving.

MatineeError
├── BundleError      a deployed bundle is missing, damaged, foreign or not signed as it must be
└── GoneError        what a logged decision was made with is not there any more
"""

from matinee_policies.errors import MatineeError


class BundleError(MatineeError):
    """A deployed bundle cannot be served."""


class GoneError(MatineeError):
    """What a logged decision was made with is not there any more."""
