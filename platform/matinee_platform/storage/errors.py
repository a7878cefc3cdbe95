"""Errors of storage.

MatineeError
├── LogBusyError         the queue of appends is full; try again later
├── LogUnavailableError  the database is away, or its disk is full; nothing was stored
└── LeaseLostError       another learner holds the arm
"""

from matinee_policies.errors import MatineeError


class LogBusyError(MatineeError):
    """More rows wait than the log takes in; nothing of this append was stored."""


class LogUnavailableError(MatineeError):
    """The log can store nothing now; nothing of this append was stored."""


class LeaseLostError(MatineeError):
    """Another learner took the arm over."""
