"""Targets: figures of a real service that simulated users should show, with their uncertainty."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Self

from matinee_policies.config import Config, check_range, check_whole
from matinee_policies.errors import ConfigError
from matinee_simulator.calibration.moment_names import group_of

KINDS = ("log", "ratings", "literature", "assumption")
"""Where a target comes from: a log of sessions, past ratings, published figures, or a choice."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Target(Config):
    """One moment and the value that it should take.

    Raises:
        ConfigError: on a moment that is not known or a number out of its range, naming it.

    Example:
        >>> Target(name="ctr", value=0.1, tolerance=0.02, kind="log", source="mine").scale
        0.02
        >>> Target(name="leave_1", value=1.2, tolerance=0.02, kind="log", source="mine")
        Traceback (most recent call last):
        matinee_policies.errors.ConfigError: value of leave_1 must be <= 1, got 1.2
    """

    name: str
    """Of the moment, see `moment_names`."""
    value: float
    """What it should be."""
    tolerance: float
    """Least error that counts, > 0: the model is not held to more, however large the sample."""
    kind: str
    """One of `KINDS`."""
    source: str
    """Where the value comes from, in words."""
    n: int | None = None
    """Size of the sample (sessions, users or items shown), if known."""
    standard_error: float | None = None
    """Of the value, if known."""

    def __post_init__(self) -> None:
        group_of(self.name)
        low, high = (-1.0, 1.0) if self.name == "return_slope" else (0.0, 1.0)
        check_range(f"value of {self.name}", self.value, low=low, high=high)
        check_range(f"tolerance of {self.name}", self.tolerance, low=0.0, low_open=True)
        if self.kind not in KINDS:
            raise ConfigError(
                f"kind of {self.name} must be one of {', '.join(KINDS)}, got {self.kind!r}"
            )
        if not isinstance(self.source, str) or not self.source.strip():
            raise ConfigError(f"source of {self.name} must be a text, got {self.source!r}")
        if self.n is not None:
            check_whole(f"n of {self.name}", self.n, low=1)
        if self.standard_error is not None:
            check_range(f"standard_error of {self.name}", self.standard_error, low=0.0)

    @property
    def scale(self) -> float:
        """The error by which a distance from the value is measured."""
        return max(self.tolerance, self.standard_error or 0.0)

    @property
    def group(self) -> str:
        """Part of the model that the moment speaks of: click, session or return."""
        return group_of(self.name)

    @classmethod
    def from_plain(cls, values: Any) -> Self:
        """Check a target given as plain values; raises ConfigError."""
        if not isinstance(values, dict):
            raise ConfigError(f"a target must be a mapping, got {values!r}")
        return cls.from_json(values)


def check_targets(targets: Sequence[Target]) -> None:
    """Refuse a list without targets, or with two for one moment.

    Raises:
        ConfigError: naming the moment.
    """
    if not targets:
        raise ConfigError("targets must not be empty")
    names = [target.name for target in targets]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise ConfigError(f"targets must be of distinct moments, got {doubled[0]} twice")


def merged(first: Sequence[Target], then: Sequence[Target]) -> tuple[Target, ...]:
    """Both lists; in groups of moments of which `first` has any, those of `then` are left out.

    A service's own figures replace the literature's part by part: its own returns never stand
    beside those of others.
    """
    own = {target.group for target in first}
    return (*first, *(target for target in then if target.group not in own))
