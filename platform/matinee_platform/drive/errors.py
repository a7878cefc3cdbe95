"""Errors of a drive.

MatineeError
└── DriveError    the service is not what the drive needs
"""

from matinee_policies.errors import MatineeError


class DriveError(MatineeError):
    """The service answers, but not as an experiment of these users must be answered."""
