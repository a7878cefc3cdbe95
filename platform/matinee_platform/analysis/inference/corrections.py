"""p-values of several comparisons, corrected so that one may look at all of them."""

import numpy as np

from matinee_policies.arrays import AnyArray, FloatArray
from matinee_policies.errors import ContextError


def holm(p_values: AnyArray, *, family: int | None = None) -> FloatArray:
    """Adjusted p-values that bound the chance of *any* false alarm (Holm 1979).

    Compare them with alpha as they are. For primary metrics times arms.

    Args:
        p_values: within 0 and 1, NaN where there was no test (stays so).
        family: how many comparisons were declared, for whom not all can be tested yet: else who
            looks again corrects for more at every look, and an early alarm goes as others come.
            None counts those that were tested.

    Raises:
        ContextError: on a value outside of 0 and 1, or more tests than the family has.

    Example:
        >>> holm(np.array([0.01, 0.04, 0.03])).round(3).tolist()
        [0.03, 0.06, 0.06]
    """
    given, order, m = _sorted(p_values, family)
    raised = given[order] * (m - np.arange(order.size))
    return _placed(given, order, np.maximum.accumulate(raised))


def benjamini_hochberg(p_values: AnyArray, *, family: int | None = None) -> FloatArray:
    """Adjusted p-values that bound the share of false ones among alarms (1995).

    For secondary metrics and segments; arguments as `holm`.

    Example:
        >>> benjamini_hochberg(np.array([0.01, 0.04, 0.03])).round(3).tolist()
        [0.03, 0.04, 0.04]
    """
    given, order, m = _sorted(p_values, family)
    raised = given[order] * m / np.arange(1, order.size + 1)
    return _placed(given, order, np.minimum.accumulate(raised[::-1])[::-1])


def _sorted(p_values: AnyArray, family: int | None) -> tuple[FloatArray, AnyArray, int]:
    given = np.asarray(p_values, dtype=np.float64)
    if given.ndim != 1:
        raise ContextError(f"p-values must be a row of numbers, got {list(given.shape)}")
    outside = given[(given < 0) | (given > 1)]
    if outside.size:
        raise ContextError(f"p-values must be within 0 and 1, got {outside[0]}")
    tested = np.flatnonzero(~np.isnan(given))
    m = tested.size if family is None else family
    if tested.size > m:
        raise ContextError(f"a family of {m} comparisons cannot hold {tested.size} tests")
    return given, tested[np.argsort(given[tested], kind="stable")], m


def _placed(given: FloatArray, order: AnyArray, adjusted: FloatArray) -> FloatArray:
    found = np.full(given.size, np.nan)
    found[order] = np.minimum(adjusted, 1.0)
    return found
