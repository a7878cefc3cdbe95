"""Numbers as JSON has them: null for what does not exist."""

import math
from typing import Any

from matinee_platform.analysis.inference.effect import Effect


def plain(value: Any) -> float | None:
    """A float, None for NaN and infinities.

    Example:
        >>> plain(0.5), plain(math.nan)
        (0.5, None)
    """
    found = float(value)
    return found if math.isfinite(found) else None


def interval_json(effect: Effect) -> dict[str, Any]:
    """The interval of an effect, with the reason where there is none."""
    return {
        "low": plain(effect.low),
        "high": plain(effect.high),
        "relative_low": plain(effect.relative_low),
        "relative_high": plain(effect.relative_high),
        "p_value": plain(effect.p_value),
        "standard_error": plain(effect.standard_error),
        "reason": effect.reason,
    }
