"""One expectation of a scenario: a claim about its arms that a run can hold or break."""

import dataclasses

from matinee_policies.config import Config, check_range
from matinee_policies.errors import ConfigError

METRICS = (
    "ctr",
    "engagement_per_user",
    "sessions_per_user",
    "d1",
    "d7",
    "d28",
    "d28_smoothed",
    "share_of_optimum",
)
"""What an expectation may speak of; the last one of the tabular world alone."""

RELATIONS = ("equal", "above", "below", "within")
"""How: equal to the control, above it, below it, or within bounds."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Expectation(Config):
    """A claim about the arms of a run.

    `equal`, `above` and `below` compare each arm with the control of the run, user by user;
    `within` speaks of the arm's own value.

    Raises:
        ConfigError: on a name that is not known, or bounds that do not fit the relation.

    Example:
        >>> Expectation(claim="MMR keeps people", metric="d28", relation="above", arms=["mmr"]).arms
        ('mmr',)
    """

    claim: str
    """The same in one sentence."""
    metric: str
    """One of `METRICS`."""
    relation: str
    """One of `RELATIONS`."""
    arms: tuple[str, ...] = ()
    """Arms it speaks of; none for all but the control."""
    low: float | None = None
    """Least value, for `within`."""
    high: float | None = None
    """Largest value, for `within`."""

    def __post_init__(self) -> None:
        _check_text("claim", self.claim)
        for name, known in (("metric", METRICS), ("relation", RELATIONS)):
            if getattr(self, name) not in known:
                raise ConfigError(
                    f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}"
                )
        arms = texts("arms", self.arms)
        object.__setattr__(self, "arms", arms)
        bounds = [bound for bound in (self.low, self.high) if bound is not None]
        if bool(bounds) != (self.relation == "within"):
            raise ConfigError(
                f"low and high must be given for the relation within and for no other, "
                f"got {self.low!r} and {self.high!r} for {self.relation!r}"
            )
        for bound in bounds:
            check_range("low and high", bound)
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ConfigError(f"low must be <= high = {self.high:g}, got {self.low!r}")


def texts(name: str, values: object) -> tuple[str, ...]:
    """A list of texts, none of them empty, as a tuple.

    Raises:
        ConfigError: if it is none.
    """
    if not isinstance(values, list | tuple):
        raise ConfigError(f"{name} must be a list of texts, got {values!r}")
    for value in values:
        _check_text(name, value)
    return tuple(values)


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f"{name} must be a text, got {value!r}")
