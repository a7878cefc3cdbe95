"""Which of two interleaved rankings the units preferred.

Every unit saw both, on the same pages, so it is its own control: what a unit earned for one is
compared with what it earned for the other. Units are the sample, as everywhere: the clicks of one
unit are not independent.
"""

from dataclasses import asdict, dataclass
from typing import Any

from scipy import special

from matinee_platform.analysis.compare import linearised, paired_difference
from matinee_policies.arrays import FloatArray
from matinee_policies.errors import ContextError


@dataclass(frozen=True, slots=True)
class Preference:
    """How credit fell to two teams.

    Attributes:
        units: units that saw a slate.
        first_wins: units that credited the first more than the second.
        second_wins: the other way round.
        ties: units that credited both alike, most of them nobody.
        sign_p_value: two-sided, exact: are wins a fair coin among units that are no ties?
        share: of all credit that the first got, NaN without any.
        preference: share of the first minus share of the second, in [-1, 1].
        low: lower end of its interval by the delta method.
        high: its upper end.
        p_value: two-sided, of no preference.
    """

    units: int
    first_wins: int
    second_wins: int
    ties: int
    sign_p_value: float
    share: float
    preference: float
    low: float
    high: float
    p_value: float

    def to_json(self) -> dict[str, Any]:
        """JSON values; numbers that do not exist are null."""
        return {name: None if value != value else value for name, value in asdict(self).items()}


def preference(credit: FloatArray, *, confidence: float = 0.95) -> Preference:
    """Sum up the credit of the units that saw a slate.

    The preference is `sum(a - b) / sum(a + b)` of the credits a and b. Its variance is the delta
    method's for a ratio of sums over units (Deng, Knoblich and Lu 2018, section 3); the sign test
    counts units, whatever each of them did (Radlinski, Kurup and Joachims 2008, section 5).

    Args:
        credit: of each unit to each team, `float64 [n, 2]`, at least 0.
        confidence: of the interval, within (0, 1).

    Raises:
        ContextError: on credit of another shape, or below 0.
        ConfigError: on a confidence outside its range.

    Example:
        >>> import numpy as np
        >>> found = preference(np.array([[3.0, 1.0], [2.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
        >>> found.first_wins, found.second_wins, found.ties, round(found.preference, 3)
        (2, 1, 1, 0.333)
    """
    if credit.ndim != 2 or credit.shape[1] != 2:
        raise ContextError(f"credit must be [n, 2], got {list(credit.shape)}")
    if not (credit >= 0).all():
        raise ContextError(f"credit must be at least 0, got {credit[~(credit >= 0)][0]}")
    first, second = credit[:, 0], credit[:, 1]
    wins, losses = int((first > second).sum()), int((first < second).sum())
    both = first + second
    found = paired_difference(
        linearised(first, both), linearised(second, both), confidence=confidence
    )
    return Preference(
        units=len(credit),
        first_wins=wins,
        second_wins=losses,
        ties=len(credit) - wins - losses,
        sign_p_value=sign_test(wins, losses),
        share=found.treatment,
        preference=found.difference,
        low=found.low,
        high=found.high,
        p_value=found.p_value,
    )


def sign_test(wins: int, losses: int) -> float:
    """Two-sided p-value of `wins` among as many tosses of a fair coin, by the binomial law.

    Example:
        >>> sign_test(9, 1)
        0.021484375
    """
    fewer = min(wins, losses)
    return min(1.0, 2.0 * float(special.bdtr(fewer, wins + losses, 0.5)))
