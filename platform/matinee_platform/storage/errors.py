"""Errors of storage.

MatineeError
├── LogBusyError         the queue of appends is full; try again later
├── LogUnavailableError  the database is away, or its disk is full; nothing was acknowledged
├── LogHeldError         another process writes this event log
├── SpoolFullError       the spool holds as much as it may
└── LeaseLostError       another learner holds the arm
"""

from matinee_policies.errors import MatineeError


class LogBusyError(MatineeError):
    """More rows wait than the log takes in; nothing of this append was stored."""


class LogUnavailableError(MatineeError):
    """The log can store nothing now; nothing of this append was acknowledged.

    A connection that broke during a commit leaves it open whether the commit took place. The same
    append under the same ids settles it: it is stored once in both cases.
    """


class LogHeldError(MatineeError):
    """Another process writes this event log, and only one may."""


class SpoolFullError(MatineeError):
    """The spool holds as much as it may; nothing of this append was stored."""


class LeaseLostError(MatineeError):
    """Another learner took the arm over."""
