"""What `sequence_of` and `adjusted` say, for many assignments and looks in one go.

One at a time the product's functions take a tenth of a millisecond each, of which there would be
some hundreds of thousands. A test holds both equal.
"""

from dataclasses import dataclass

import numpy as np

from matinee_platform.analysis.inference.confidence_sequence import (
    Tuning,
    effective_units,
    p_values,
)
from matinee_platform.analysis.planning.moment_sums import MomentSums
from matinee_policies.arrays import FloatArray

_RANK = 1e-10


@dataclass(frozen=True, slots=True)
class Looks:
    """Two arms at every look of many assignments, `[salts, looks]` each.

    Attributes:
        z: difference over its standard error, NaN without one.
        p_value: of an any-time view at that look, 1 without one.
    """

    z: FloatArray
    p_value: FloatArray


@dataclass(frozen=True, slots=True)
class _Many:
    """As `Moments`: `[...]`, `[..., k]`, `[..., k, k]`."""

    n: FloatArray
    mean: FloatArray
    centred: FloatArray


def looks_at(
    columns: MomentSums, sums: FloatArray, *, tuning: Tuning, adjusts: bool = False
) -> Looks:
    """Compare second arm with first.

    Args:
        columns: of one metric.
        sums: of both arms, `float64 [2, salts, looks, width]`.
        tuning: of the sequence.
        adjusts: whether covariates are taken out.
    """
    arms = [_Many(*columns.many_moments(one)) for one in sums]
    both = _merged(*arms)
    if columns.own == 2:
        arms, both = [_linearised(arm) for arm in arms], _linearised(both)
    theta = _theta(both) if adjusts else np.zeros((*both.n.shape, both.mean.shape[-1] - 1))
    row = np.concatenate([np.ones((*both.n.shape, 1)), -theta], axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        error2 = sum(
            np.einsum("...i,...ij,...j->...", row, arm.centred, row) / (arm.n - 1) / arm.n
            for arm in arms
        )
        z = np.einsum("...i,...i->...", row, arms[1].mean - arms[0].mean) / np.sqrt(error2)
    enough = (arms[0].n > 1) & (arms[1].n > 1) & np.isfinite(z)
    t = np.maximum(effective_units(arms[1].n, arms[0].n), 1.0)
    p_value = np.where(enough, p_values(np.where(enough, z, 0.0), t, tuning=tuning), 1.0)
    return Looks(np.where(enough, z, np.nan), p_value)


def _merged(first: _Many, second: _Many) -> _Many:
    n = first.n + second.n
    size = np.maximum(n, 1)
    step = np.nan_to_num(second.mean - first.mean)
    between = step[..., :, None] * step[..., None, :]
    between *= (first.n * second.n / size)[..., None, None]
    mean = np.where(
        first.n[..., None] > 0, first.mean + step * (second.n / size)[..., None], second.mean
    )
    return _Many(n, mean, first.centred + second.centred + between)


def _linearised(arm: _Many) -> _Many:
    """The first two columns become their ratio, by the delta method."""
    k = arm.mean.shape[-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        value = arm.mean[..., 0] / arm.mean[..., 1]
        matrix = np.zeros((*arm.n.shape, k - 1, k))
        matrix[..., 0, 0] = 1 / arm.mean[..., 1]
        matrix[..., 0, 1] = -value / arm.mean[..., 1]
    matrix[..., np.arange(1, k - 1), np.arange(2, k)] = 1.0
    mean = np.concatenate([value[..., None], arm.mean[..., 2:]], axis=-1)
    with np.errstate(invalid="ignore"):
        centred = matrix @ arm.centred @ np.swapaxes(matrix, -1, -2)
    return _Many(arm.n, mean, centred)


def _theta(both: _Many) -> FloatArray:
    inner, cross = both.centred[..., 1:, 1:], both.centred[..., 1:, 0]
    scale = np.sqrt(np.diagonal(inner, axis1=-2, axis2=-1))
    least = 1e-12 * np.sqrt(np.maximum(both.n, 1))[..., None]
    used = scale > least * np.abs(np.nan_to_num(both.mean[..., 1:]))
    per = np.where(used, 1 / np.where(used, scale, 1.0), 0.0)
    alike = np.nan_to_num(inner * per[..., :, None] * per[..., None, :])
    inverse = np.linalg.pinv(alike, rcond=_RANK, hermitian=True)
    found: FloatArray = np.einsum("...ij,...j->...i", inverse, np.nan_to_num(cross * per)) * per
    return found
