"""Differences of quantiles by the bootstrap over units, the one method that needs the values."""

import math

import numpy as np

from matinee_platform.analysis.inference.effect import Effect, check_confidence, no_effect, too_few
from matinee_policies.arrays import AnyArray, FloatArray
from matinee_policies.config import check_range, check_seed, check_whole
from matinee_policies.errors import ContextError

BATCH_BYTES = 32 * 2**20
"""Memory that one batch of resamples of rows may take."""


def quantile_difference(
    treatment: FloatArray,
    control: FloatArray,
    *,
    quantile: float,
    seed: int,
    resamples: int = 2_000,
    confidence: float = 0.95,
) -> Effect:
    """Difference of a quantile of one number per unit, percentile interval (Efron 1979).

    A resampled quantile is an order statistic of `n` draws from the units, and the rank that it
    falls on follows the order statistics of `n` uniforms (Beta). So units are sorted once and each
    resample of the multinomial bootstrap costs two draws, whatever `n`.

    Args:
        treatment: one value per unit, `float64 [n]`.
        control: one value per unit, `float64 [m]`.
        quantile: which, within (0, 1); linear between values, as `numpy.quantile`.
        seed: of the draws.
        resamples: at least 100.
        confidence: of the interval, within (0, 1).

    Returns:
        The effect; without an interval, but with the reason, where an arm has less than two units.

    Raises:
        ConfigError: on a quantile, a seed, a number of resamples or a confidence out of its range.
    """
    _check(quantile, seed, resamples, confidence)
    arms = np.sort(treatment), np.sort(control)
    values = [float(np.quantile(arm, quantile)) if arm.size else math.nan for arm in arms]
    reason = too_few(arms[0].size, arms[1].size)
    if reason:
        return no_effect(values[0], values[1], method="bootstrap", reason=reason)
    streams = np.random.default_rng(seed).spawn(2)
    drawn = [
        resampled_quantiles(arm, quantile=quantile, resamples=resamples, generator=stream)
        for arm, stream in zip(arms, streams, strict=True)
    ]
    return _percentile_effect(values, drawn, confidence)


def row_quantile_difference(
    treatment: tuple[FloatArray, AnyArray],
    control: tuple[FloatArray, AnyArray],
    *,
    quantile: float,
    seed: int,
    resamples: int = 500,
    confidence: float = 0.95,
) -> Effect:
    """Difference of a quantile of many rows per unit (a page's delay, a visit's length).

    Units are resampled, with all of their rows, by Poisson(1) weights: rows of one unit are never
    taken as independent. Rows are sorted once; memory stays within `BATCH_BYTES` a batch.

    Args:
        treatment: values `float64 [rows]` and each row's unit, numbered from 0, `int [rows]`.
        control: likewise.
        quantile: which, within (0, 1): the lowest value that so large a share does not exceed.
        seed: of the draws.
        resamples: at least 100.
        confidence: of the interval, within (0, 1).

    Raises:
        ConfigError: as `quantile_difference`.
        ContextError: on rows and units of different length.
    """
    _check(quantile, seed, resamples, confidence)
    streams = np.random.default_rng(seed).spawn(2)
    values, drawn, units = [], [], []
    for (rows, unit), stream in zip((treatment, control), streams, strict=True):
        if rows.shape != unit.shape:
            raise ContextError(f"every row needs its unit, got {rows.size} rows, {unit.size} units")
        units.append(int(np.unique(unit).size))
        order = np.argsort(rows, kind="stable")
        ranked, owner = rows[order], unit[order]
        values.append(_weighted_quantile(ranked, np.ones((1, rows.size)), quantile)[0])
        drawn.append(_row_resamples(ranked, owner, quantile, resamples, stream))
    reason = too_few(units[0], units[1])
    if reason:
        return no_effect(float(values[0]), float(values[1]), method="bootstrap", reason=reason)
    return _percentile_effect([float(value) for value in values], drawn, confidence)


def resampled_quantiles(
    ranked: FloatArray, *, quantile: float, resamples: int, generator: np.random.Generator
) -> FloatArray:
    """Quantiles of multinomial resamples of sorted values, `float64 [resamples]`.

    Args:
        ranked: ascending, `float64 [n]`, n >= 1.
        quantile: within (0, 1).
        resamples: how many.
        generator: of the draws.
    """
    n = ranked.size
    place = quantile * (n - 1)
    below = math.floor(place)
    first = generator.beta(below + 1, n - below, size=resamples)
    lower = ranked[np.minimum((first * n).astype(np.int64), n - 1)]
    if below == n - 1:
        return lower
    # The next order statistic of uniforms, given this one.
    second = first + (1 - first) * generator.beta(1, n - below - 1, size=resamples)
    upper = ranked[np.minimum((second * n).astype(np.int64), n - 1)]
    found: FloatArray = lower + (place - below) * (upper - lower)
    return found


def _row_resamples(
    ranked: FloatArray,
    owner: AnyArray,
    quantile: float,
    resamples: int,
    generator: np.random.Generator,
) -> FloatArray:
    if not ranked.size:
        return np.full(resamples, np.nan)
    units = int(owner.max()) + 1
    # Bytes by resample: weights by unit and by row, their running sum.
    batch = max(1, BATCH_BYTES // (8 * (units + 3 * ranked.size)))
    found = np.empty(resamples)
    for start in range(0, resamples, batch):
        stop = min(start + batch, resamples)
        weights = generator.poisson(1.0, size=(stop - start, units))
        found[start:stop] = _weighted_quantile(ranked, weights[:, owner], quantile)
    return found


def _weighted_quantile(ranked: FloatArray, weights: AnyArray, quantile: float) -> FloatArray:
    """Lowest value whose share of the weight reaches `quantile`, by row; NaN without weight."""
    if not ranked.size:
        return np.full(weights.shape[0], np.nan)
    running = np.cumsum(weights, axis=1)
    total = running[:, -1]
    # Weights are whole, so that a share is compared without rounding of sums.
    wanted = np.maximum(np.ceil(quantile * total - 1e-9), 1)
    at = np.array([np.searchsorted(row, one) for row, one in zip(running, wanted, strict=True)])
    return np.where(total > 0, ranked[np.minimum(at, ranked.size - 1)], np.nan)


def _percentile_effect(values: list[float], drawn: list[FloatArray], confidence: float) -> Effect:
    treatment, control = drawn
    difference = treatment - control
    difference = difference[~np.isnan(difference)]
    tails = [0.5 - confidence / 2, 0.5 + confidence / 2]
    low, high = np.quantile(difference, tails)
    count = difference.size + 1
    below, above = int((difference <= 0).sum()) + 1, int((difference >= 0).sum()) + 1
    relative = (math.nan, math.nan)
    if (control > 0).all() or (control < 0).all():
        ends = np.quantile(treatment / control - 1, tails)
        relative = float(ends[0]), float(ends[1])
    return Effect(
        values[0],
        values[1],
        float(low),
        float(high),
        min(1.0, 2 * min(below, above) / count),
        standard_error=float(difference.std(ddof=1)),
        relative_low=relative[0],
        relative_high=relative[1],
        method="bootstrap",
    )


def _check(quantile: float, seed: int, resamples: int, confidence: float) -> None:
    check_range("quantile", quantile, low=0, high=1, low_open=True, high_open=True)
    check_seed("seed of the bootstrap", seed)
    check_whole("resamples", resamples, low=100)
    check_confidence(confidence)
