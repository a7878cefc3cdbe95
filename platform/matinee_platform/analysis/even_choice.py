"""Weights of slots for a choice that picks evenly: one on average where propensities are right."""

import numpy as np

from matinee_policies.arrays import AnyArray, BoolArray, FloatArray


def even_weights(
    propensities: AnyArray, shown: AnyArray, candidates: AnyArray
) -> tuple[BoolArray, FloatArray]:
    """What weighs each slot that chance filled, as if any candidate left had been as likely.

    Their mean is 1 in expectation if every candidate left could be drawn, less if some could not;
    more only if propensities are smaller than the shares that were drawn.

    Args:
        propensities: of the items shown, given those above, in (0, 1], `float64 [n, L]`.
        shown: slots that hold an item, `bool [n, L]`.
        candidates: of each page, or those left at each slot had nothing been shown above,
            `[n]` or `[n, L]`.

    Returns:
        Slots whose propensity is below 1, `bool [n, L]`, and `1 / (propensity x candidates left)`
        there, 0 elsewhere, `float64 [n, L]`.

    Example:
        >>> drawn, weights = even_weights(
        ...     np.array([[0.5, 0.25, 1.0]]), np.ones((1, 3), dtype=bool), np.array([4])
        ... )
        >>> drawn.tolist(), weights.round(3).tolist()
        ([[True, True, False]], [[0.5, 1.333, 0.0]])
    """
    shown = np.asarray(shown, dtype=np.bool_)
    p = np.asarray(propensities, dtype=np.float64)
    above = np.cumsum(shown, axis=1) - shown
    drawn = shown & (p < 1.0)
    each = np.asarray(candidates, dtype=np.float64)
    left = np.maximum((each[:, None] if each.ndim == 1 else each) - above, 1.0)
    weights = np.divide(1.0, p * left, out=np.zeros_like(p), where=drawn)
    return drawn, weights
