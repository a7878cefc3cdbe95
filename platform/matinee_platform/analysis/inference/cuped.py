"""Means with what was known of each unit before the experiment taken out (CUPED).

`y - theta (x - mean(x))` has the mean of `y` and, where `x` foretells it, less variance. `x` must
have been known before exposure, or the effect itself is taken out.
"""

from dataclasses import dataclass

import numpy as np

from matinee_platform.analysis.inference.effect import Effect
from matinee_platform.analysis.inference.moments import Moments
from matinee_platform.analysis.inference.ratio import linearise
from matinee_platform.analysis.inference.welch import welch
from matinee_policies.arrays import FloatArray
from matinee_policies.errors import ContextError


@dataclass(frozen=True, slots=True, eq=False)
class Cuped:
    """Two arms with the covariates taken out.

    Attributes:
        treatment: moments of the adjusted values, one column.
        control: likewise.
        theta: what was taken off for each unit of a covariate, `float64 [p]`.
        reduction: share of the variance of the difference that is gone; NaN below two units.
    """

    treatment: Moments
    control: Moments
    theta: FloatArray
    reduction: float


def adjusted(treatment: Moments, control: Moments, *, ratios: int = 0) -> Cuped:
    """Take covariates out of a mean, or out of a ratio.

    `theta = cov(x)^-1 cov(x, y)` over the units of both arms together (Deng, Xu, Kohavi and Walker
    2013, equation 4), so that the difference stays unbiased; covariates without variance, or that
    others foretell, get no weight.

    Args:
        treatment: moments of (value, covariates...) by unit; with `ratios` = 1 of (numerator,
            denominator, covariates...), with 2 of (numerator, denominator, the same of the
            pre-period, covariates...).
        control: likewise.
        ratios: leading pairs of columns that are ratios.

    Raises:
        ContextError: without a covariate, or when the arms have different columns.
    """
    arms, both = (treatment, control), treatment.merged(control)
    if ratios:
        arms = linearise(treatment, ratios=ratios), linearise(control, ratios=ratios)
        both = linearise(both, ratios=ratios)
    if both.mean.size < 2:
        raise ContextError("CUPED needs a value and at least one covariate, got one column")
    theta = _theta(both)
    row = np.concatenate([[1.0], -theta])[None, :]
    offset = np.array([float(theta @ both.mean[1:]) if both.n else np.nan])
    after = [arm.mapped(row, offset) for arm in arms]
    with np.errstate(invalid="ignore", divide="ignore"):
        raw = np.float64(arms[0].error2 + arms[1].error2)
        reduction = float(1 - (after[0].error2 + after[1].error2) / raw)
    return Cuped(after[0], after[1], theta, reduction)


def cuped(
    treatment: Moments, control: Moments, *, ratios: int = 0, confidence: float = 0.95
) -> Effect:
    """Difference of two covariate-adjusted means or ratios; arguments as `adjusted`, `welch`."""
    arms = adjusted(treatment, control, ratios=ratios)
    return welch(arms.treatment, arms.control, confidence=confidence, method="cuped")


def with_missing_indicator(covariate: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Columns for a covariate that new units do not have.

    Units without one get the mean of the others, and a second column says that they had none: so
    that they stay in the experiment and shift nothing.

    Args:
        covariate: `float64 [n]`, NaN where nothing was known.

    Returns:
        The covariate without gaps, and 1 where there was one, `float64 [n]` each.

    Example:
        >>> filled, missing = with_missing_indicator(np.array([1.0, np.nan, 3.0]))
        >>> filled.tolist(), missing.tolist()
        ([1.0, 2.0, 3.0], [0.0, 1.0, 0.0])
    """
    missing = np.isnan(covariate)
    known = covariate[~missing]
    filled = np.where(missing, known.mean() if known.size else 0.0, covariate)
    return filled, missing.astype(np.float64)


def _theta(both: Moments) -> FloatArray:
    """Least squares on correlations, so that the units of covariates do not decide the rank."""
    inner, cross = both.centred[1:, 1:], both.centred[1:, 0]
    scale = np.sqrt(np.diag(inner))
    used = scale > 1e-12 * np.sqrt(max(both.n, 1)) * np.abs(np.nan_to_num(both.mean[1:]))
    theta = np.zeros(scale.size)
    if both.n < 2 or not used.any() or not np.isfinite(both.centred).all():
        return theta
    unit = scale[used]
    alike = inner[np.ix_(used, used)] / np.outer(unit, unit)
    theta[used] = np.linalg.pinv(alike, rcond=1e-10, hermitian=True) @ (cross[used] / unit) / unit
    return theta
