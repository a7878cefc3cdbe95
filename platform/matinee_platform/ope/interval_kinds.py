"""Names of the intervals that can be asked for, and what to know of asking for them."""

from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

from matinee_platform.ope.estimator_list import Estimator
from matinee_policies.errors import ConfigError

IntervalKind: TypeAlias = Literal[
    "default", "cressie_read", "empirical_bernstein", "bootstrap", "anytime"
]

INTERVALS: tuple[str, ...] = get_args(IntervalKind)


def check_interval(kind: str) -> None:
    """Refuse what is no interval.

    Raises:
        ConfigError: naming those there are.
    """
    if kind not in INTERVALS:
        raise ConfigError(f"interval must be one of {', '.join(INTERVALS)}, got {kind!r}")


def notes_of_intervals(kinds: Sequence[str], *, adaptive: bool) -> tuple[str, ...]:
    """What to say beside intervals that were asked for though they do not hold for the log.

    Args:
        kinds: of `INTERVALS`.
        adaptive: whether the policy that logged changed as it did.
    """
    fixed = [kind for kind in kinds if kind not in ("default", "anytime")]
    if not adaptive or not fixed:
        return ()
    return (
        f"caution: the policy learned while it logged, and {', '.join(fixed)} intervals take its "
        "rows as if it had not: only anytime ones hold",
    )


def withheld(kind: str, estimator: Estimator, *, tuned: float | None) -> bool:
    """Whether an interval is told only if it is asked for by name: of its noise, not of its bias.

    Args:
        kind: one of `INTERVALS`.
        estimator: of the value.
        tuned: value of the hyper-parameter; None without one, or where nothing is tamed.
    """
    return kind == "default" and (estimator.name == "dm" or tuned is not None)
