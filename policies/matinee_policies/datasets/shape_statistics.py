"""Figures that describe the shape of rating data: inequality, tails, distances.

Pure functions on counts and shares. The figures of real collections that drawn data must match
stand in the tests.
"""

import numpy as np

from matinee_policies.arrays import AnyArray
from matinee_policies.errors import ContextError


def gini(counts: AnyArray) -> float:
    """Gini coefficient: 0 when all counts are equal, near 1 when one has everything.

    Args:
        counts: numbers >= 0 with a positive sum, `[n]`.

    Example:
        >>> gini(np.array([5, 5, 5])), gini(np.array([0, 0, 0, 8]))
        (0.0, 0.75)
    """
    ordered = np.sort(counts).astype(np.float64)
    n = ordered.size
    # Mean absolute difference over twice the mean, from the ordered values.
    weights = 2.0 * np.arange(1, n + 1) - n - 1
    return float((weights * ordered).sum() / (n * ordered.sum()))


def top_share(counts: AnyArray, share: float) -> float:
    """Share of the total that the largest `share` of the counts holds.

    Args:
        counts: numbers >= 0 with a positive sum, `[n]`.
        share: in (0, 1]; their number is rounded down.

    Example:
        >>> top_share(np.array([6, 2, 1, 1]), 0.25)
        0.6
    """
    ordered = np.sort(counts)[::-1]
    return float(ordered[: int(share * ordered.size)].sum() / ordered.sum())


def zipf_slope(counts: AnyArray, *, first: int = 5, last: int = 500) -> float:
    """Steepness of log count against log rank: the s of count ~ rank^-s.

    Least squares over the ranks `first` to `last`, counted from 1.

    Args:
        counts: numbers, `[n]`, positive up to rank `last`.
        first: first rank of the fit.
        last: last rank of the fit, at most `n`.

    Example:
        >>> round(zipf_slope(1000.0 * np.arange(1, 600) ** -0.5), 3)
        0.5
    """
    if not 1 <= first < last <= counts.size:
        raise ContextError(
            f"ranks must satisfy 1 <= first < last <= {counts.size}, got {first} and {last}"
        )
    ordered = np.sort(counts)[::-1].astype(np.float64)
    x = np.log(np.arange(first, last + 1))
    y = np.log(ordered[first - 1 : last])
    x = x - x.mean()
    return float(-(x * (y - y.mean())).sum() / (x * x).sum())


def hill_exponent(counts: AnyArray, *, least: int = 10) -> float:
    """Exponent alpha of a tail P(count) ~ count^-alpha, over the counts of at least `least`.

    Maximum likelihood for whole numbers, in the approximation of Clauset, Shalizi and Newman 2009,
    "Power-law distributions in empirical data", equation 3.7.

    Args:
        counts: whole numbers, `[n]`.
        least: where the tail begins.
    """
    tail = counts[counts >= least].astype(np.float64)
    if tail.size == 0:
        raise ContextError(f"counts must reach {least}, got at most {counts.max(initial=0)}")
    return float(1.0 + tail.size / np.log(tail / (least - 0.5)).sum())


def kolmogorov_distance(first: AnyArray, second: AnyArray) -> float:
    """Largest gap between two cumulated distributions over the same ordered values.

    Args:
        first: shares or counts, `[v]`, with a positive sum.
        second: shares or counts, `[v]`, with a positive sum.

    Example:
        >>> kolmogorov_distance(np.array([1, 1]), np.array([3, 1]))
        0.25
    """
    gap = np.cumsum(first) / np.sum(first) - np.cumsum(second) / np.sum(second)
    return float(np.abs(gap).max())
