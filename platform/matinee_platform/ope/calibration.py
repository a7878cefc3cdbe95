"""Are logged propensities the law that items were drawn by? Chi-square, per policy version."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from matinee_policies.arrays import AnyArray, FloatArray, Int64Array
from matinee_policies.config import check_whole
from matinee_policies.errors import ContextError

BINS = 10

TAILS = (0.001, 0.01)
"""Shares of the mass below which the least propensities have bins of their own: they weigh most."""

FEWEST_DRAWS = 10
"""Draws that such a bin must promise."""


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Frequency of the draw against the propensities of one policy version.

    Attributes:
        version: of the policy.
        rows: draws.
        propensity: mean one in each bin, rising, `float64 [bins]`.
        expected: draws that the propensities promise from each bin, `float64 [bins]`.
        observed: draws from each bin, `float64 [bins]`.
        statistic: chi-square of the gap between them.
        freedom: its degrees of freedom, 0 where all draws were certain.
        p_value: small where the propensities are not the law of the draws.
    """

    version: int
    rows: int
    propensity: FloatArray
    expected: FloatArray
    observed: FloatArray
    statistic: float
    freedom: int
    p_value: float


def calibrate(
    laws: AnyArray,
    chosen: AnyArray,
    *,
    versions: AnyArray | None = None,
    bins: int = BINS,
) -> tuple[Calibration, ...]:
    """Test the logged laws of single draws, by policy version in rising order.

    Items of like propensity share a bin, so that bins hold about equal mass, but for the smallest
    ones, which have more bins (`TAILS`) where there are draws enough. A bin's draws are
    binomial in each row with its mass there, and exclude each other within a row. The statistic is
    `d' C+ d` of the gaps `d` and their covariance `C = sum_rows (diag(m) - m m')`.

    Args:
        laws: propensity of each candidate at one slot, given the items above; 0 for what could not
            be drawn; rows sum to 1, `float64 [n, K]`.
        chosen: column that was drawn, `int [n]`.
        versions: of the policy that drew, `int [n]`, one for all by default.
        bins: at least 2; there are fewer where few propensities differ.

    Raises:
        ContextError: on arrays that do not fit, rows that are no law or choices out of range.
        ConfigError: on fewer bins.

    Example:
        >>> rng = np.random.default_rng(1)
        >>> laws = np.tile([0.1, 0.2, 0.7], (5_000, 1))
        >>> (honest,) = calibrate(laws, rng.choice(3, p=[0.1, 0.2, 0.7], size=5_000))
        >>> (forged,) = calibrate(laws, rng.choice(3, p=[0.2, 0.2, 0.6], size=5_000))
        >>> honest.p_value > 1e-4 > forged.p_value
        True
    """
    check_whole("bins", bins, low=2)
    values, picks, which = _checked(laws, chosen, versions)
    return tuple(
        _of_version(values[rows], picks[rows], version=int(version), bins=bins)
        for version in np.unique(which)
        if (rows := which == version).any()
    )


def inverse_check(propensities: AnyArray, reachable: AnyArray) -> float:
    """p-value of propensities whose law was not logged, only that of the item drawn.

    One over the propensity of what was drawn has the number of items that could be drawn as its
    expectation. This compares the two means; it sees less than `calibrate`, above all where
    propensities are small.

    Args:
        propensities: of the items drawn, in (0, 1], `float64 [n]`.
        reachable: how many items had a propensity above 0, `[n]`.

    Raises:
        ContextError: on arrays that do not fit, or a propensity out of its range.
    """
    p = np.asarray(propensities, dtype=np.float64)
    if p.ndim != 1 or p.shape != np.shape(reachable):
        raise ContextError(f"rows must be [n] each, got {p.shape} and {np.shape(reachable)}")
    if not ((p > 0) & (p <= 1)).all():
        raise ContextError(f"propensities must be in (0, 1], got {p.min():g} to {p.max():g}")
    gap = 1 / p - np.asarray(reachable, dtype=np.float64)
    if p.size < 2:
        return math.nan
    error = float(gap.std(ddof=1)) / math.sqrt(p.size)
    off = abs(float(gap.mean()))
    if error <= 1e-12:
        return float(off <= 1e-6)
    return float(2 * special.ndtr(-off / error))


def _of_version(laws: FloatArray, chosen: Int64Array, *, version: int, bins: int) -> Calibration:
    place, count = _bins(laws, bins)
    rows = len(laws)
    slot = np.arange(rows)[:, None] * count + place
    mass = np.bincount(slot.ravel(), weights=laws.ravel(), minlength=rows * count)
    mass = mass.reshape(rows, count)
    expected = mass.sum(axis=0)
    drawn = place[np.arange(rows), chosen]
    observed = np.bincount(drawn, minlength=count).astype(np.float64)
    possible = np.bincount(place[laws > 0], minlength=count)
    impossible = bool((laws[np.arange(rows), chosen] <= 0).any())
    gap = observed - expected
    size, vectors = np.linalg.eigh(np.diag(expected) - mass.T @ mass)
    kept = size > 1e-9 * max(float(size.max(initial=0.0)), 1.0)
    statistic = float((((vectors.T @ gap)[kept]) ** 2 / size[kept]).sum())
    freedom = int(kept.sum())
    p_value = float(special.chdtrc(freedom, statistic)) if freedom else 1.0
    if impossible:
        statistic, p_value = math.inf, 0.0
    return Calibration(
        version=version,
        rows=rows,
        propensity=expected / np.maximum(possible, 1),
        expected=expected,
        observed=observed,
        statistic=statistic,
        freedom=freedom,
        p_value=p_value,
    )


def _bins(laws: FloatArray, bins: int) -> tuple[Int64Array, int]:
    """Bin of each candidate, by its propensity alone, and how many there are."""
    order = np.sort(laws, axis=None)
    mass = np.cumsum(order)
    shares = [tail for tail in TAILS if tail * mass[-1] >= FEWEST_DRAWS and tail * bins < 1]
    shares += [part / bins for part in range(1, bins)]
    cuts = order[np.minimum(np.searchsorted(mass, mass[-1] * np.array(shares)), order.size - 1)]
    edges = np.unique(cuts)
    # A cut belongs to the bin below it: like propensities stay together.
    place = np.searchsorted(edges, laws * (1 - 1e-12), side="left")
    used, place = np.unique(place, return_inverse=True)
    return place.reshape(laws.shape).astype(np.int64), used.size


def _checked(
    laws: AnyArray, chosen: AnyArray, versions: AnyArray | None
) -> tuple[FloatArray, Int64Array, Int64Array]:
    values = np.asarray(laws, dtype=np.float64)
    picks = np.asarray(chosen).astype(np.int64)
    which = np.zeros(picks.shape, dtype=np.int64) if versions is None else np.asarray(versions)
    if values.ndim != 2 or picks.shape != values.shape[:1] or which.shape != picks.shape:
        raise ContextError(
            f"laws must be [n, K], choices and versions [n], got {values.shape}, {picks.shape} "
            f"and {which.shape}"
        )
    if not ((values >= 0).all() and np.allclose(values.sum(axis=1), 1, rtol=0, atol=1e-6)):
        raise ContextError("each row of laws must be >= 0 and sum to 1")
    if picks.size and not (picks.min() >= 0 and picks.max() < values.shape[1]):
        raise ContextError(f"choices must be below {values.shape[1]}, got {picks.max()}")
    return values, picks, which.astype(np.int64)
