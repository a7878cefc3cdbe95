"""The percentile interval of resampled values.

It assumes as many units as make the sample look like the law it came from. Where a log holds few
positives at large weights it does not: at a click rate of 0.3 % in 5,000 rows it covers far less
than it says. For slates whose rows share units, not for rare rewards.
"""

import numpy as np

from matinee_platform.analysis.inference.effect import check_confidence
from matinee_platform.ope.interval import Interval
from matinee_policies.arrays import AnyArray, FloatArray
from matinee_policies.errors import ContextError

FEWEST_DRAWS = 100


def bootstrap_interval(draws: AnyArray, *, confidence: float = 0.95) -> Interval:
    """Percentile interval (Efron 1979) of the values of resamples over units.

    Args:
        draws: one value per resample, finite, `float64 [B]`, at least 100.
        confidence: of both ends together, within (0, 1).

    Raises:
        ContextError: on fewer draws, or one that is no finite number.
        ConfigError: on a confidence out of its range.

    Example:
        >>> found = bootstrap_interval(np.arange(1_001.0), confidence=0.5)
        >>> found.low, found.high
        (250.0, 750.0)
    """
    check_confidence(confidence)
    values = checked_draws(draws)
    if values.ndim != 1:
        raise ContextError(f"draws of one value must be a row, got {list(values.shape)}")
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return Interval(float(low), float(high), confidence, "bootstrap")


def checked_draws(draws: AnyArray) -> FloatArray:
    """The draws as `float64 [B, ...]`, refused if they are few or not finite."""
    values = np.asarray(draws, dtype=np.float64)
    if not values.ndim or len(values) < FEWEST_DRAWS:
        raise ContextError(f"a bootstrap needs {FEWEST_DRAWS} draws, got {values.shape[:1]}")
    broken = ~np.isfinite(values)
    if broken.any():
        raise ContextError(
            f"draws must be finite, got {values[broken][0]} ({int(broken.sum())} of {values.size})"
        )
    return values
