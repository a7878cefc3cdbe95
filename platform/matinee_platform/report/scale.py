"""Axes of a chart: where a value lies, and which round values are marked."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear map from `low..high` to `start..end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Where a value lies."""
        span = self.high - self.low or 1.0
        return self.start + (value - self.low) / span * (self.end - self.start)


def round_ticks(low: float, high: float, *, count: int = 5) -> list[float]:
    """Round values within `low..high`, about `count` of them.

    Example:
        >>> round_ticks(0, 0.13)
        [0.0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.12]
    """
    span = high - low
    if not span > 0:
        return [low]
    raw = span / count
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= raw * 0.75)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(place * step, 12) for place in range(first, last + 1)]
