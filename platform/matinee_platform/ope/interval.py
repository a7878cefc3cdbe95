"""The form of every interval of a value, and what is asked of the inputs of all of them."""

import math
from dataclasses import dataclass

from matinee_platform.analysis.inference.effect import check_confidence
from matinee_policies.config import check_range
from matinee_policies.errors import ContextError


@dataclass(frozen=True, slots=True)
class Interval:
    """Where a value lies, at a confidence.

    Attributes:
        low: lower end.
        high: upper end, >= `low`.
        confidence: of both ends together, within (0, 1).
        method: which made it, in a few words.

    Raises:
        ContextError: if the ends are no numbers or the wrong way round.
        ConfigError: on a confidence out of its range.
    """

    low: float
    high: float
    confidence: float
    method: str

    def __post_init__(self) -> None:
        check_confidence(self.confidence)
        if not self.low <= self.high:
            raise ContextError(f"an interval needs low <= high, got {self.low} and {self.high}")

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def moved(self, by: float) -> "Interval":
        """The interval of a value that is larger by a known constant.

        A doubly robust value is such a sum: the mean of `expected`, which the logged contexts fix,
        plus the weighted mean of `rewards - predicted`. Its interval is that of the second part,
        with the range that residuals can have, moved by the first.
        """
        return Interval(self.low + by, self.high + by, self.confidence, self.method)


@dataclass(frozen=True, slots=True)
class RewardRange:
    """What a reward can be, known before any was seen: not what the log happens to hold.

    Attributes:
        low: smallest possible reward.
        high: largest possible reward, > `low`.

    Raises:
        ConfigError: on ends that are not finite or the wrong way round.
    """

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        check_range("smallest reward", self.low)
        check_range("largest reward", self.high, low=self.low, low_open=True)

    @property
    def width(self) -> float:
        """Between the ends."""
        return self.high - self.low

    def times(self, slots: int) -> "RewardRange":
        """The range of a sum over so many slots."""
        return RewardRange(self.low * slots, self.high * slots)

    def check_holds(self, low: float, high: float) -> None:
        """Refuse rewards beyond the range; rounding aside.

        Raises:
            ContextError: with the reward and the range.
        """
        slack = 1e-9 * max(abs(self.low), abs(self.high))
        for value in (low, high):
            if not (math.isnan(value) or self.low - slack <= value <= self.high + slack):
                raise ContextError(
                    f"rewards must be within {self.low:g} and {self.high:g}, got {value:g}"
                )
