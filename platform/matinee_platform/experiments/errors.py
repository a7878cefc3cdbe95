"""Errors of the life of experiments.

MatineeError
├── UnknownExperimentError   there is no experiment of this key, or it does not run
├── LifecycleError           a change that the rules of experiments do not allow
└── StaleVersionError        somebody else changed the experiment in between
"""

from matinee_policies.errors import MatineeError


class UnknownExperimentError(MatineeError):
    """There is no experiment of this key, or none that runs."""


class LifecycleError(MatineeError):
    """A change that would break the comparison of arms, or that makes no sense now."""


class StaleVersionError(MatineeError):
    """The experiment is not in the version that the change was made for."""
