"""How well the log of one arm could value the policy of another, foreseen from weights alone.

On a decision logged by A, policy B weighs slot l with `p_B(item | items above) / p_A(item | items
above)`, and the whole slate with the product over its slots. The effective sample size of `n`
weights is `(sum w)^2 / sum w^2` (Kong 1992); as a share of `n` it says how much of the log is left
for B. Products are taken in log space.

Weights alone can mislead: if A never shows what B would, the few weights there are look even.
Where A's support holds all that B may show, weights have mean 1 under A. A mean clearly below 1
says that a part of B is out of the log's reach, or so rare in it that a sample does not find it;
the effective size is then no guide, and the verdict is blind.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from matinee_platform.analysis.logged_sample import LoggedSample
from matinee_policies.arrays import FloatArray
from matinee_policies.errors import ContextError
from matinee_policies.policy import Policy

MIN_SIZE = 200.0
"""Least effective sample size on which a value should be reported."""

MIN_SHARE = 0.1
"""Least effective share of the log on which a value should be reported."""

MIN_MEAN = 0.99
"""Least mean weight: at most 1 % of B's choices may be out of A's reach."""

_ERRORS = 4.0


@dataclass(frozen=True, slots=True)
class Overlap:
    """What the weights of one ordered pair of arms foretell.

    Attributes:
        decisions: decisions in the whole log of A.
        sample: decisions that were re-scored.
        slot_share: effective share of the log for each slot, `float64 [L]`.
        slate_share: effective share of the log for whole slates.
        slot_mean: mean weight of each slot, `float64 [L]`; 1 where A covers B.
        covered: whether every mean may well be 1, as far as its standard error tells.
        verdict: `"good"`: whole slates can be valued; `"thin"`: slot by slot only; `"blind"`: not
            even that.
    """

    decisions: int
    sample: int
    slot_share: FloatArray
    slate_share: float
    slot_mean: FloatArray
    covered: bool
    verdict: str

    @property
    def worst_slot_share(self) -> float:
        """Effective share of the log at the worst slot."""
        return float(self.slot_share.min())


def predict_overlap(sample: LoggedSample, policy: Policy) -> Overlap:
    """Foresee the valuation of `policy` on the log that `sample` was drawn from."""
    target = policy.propensities(sample.contexts, sample.positions)
    with np.errstate(divide="ignore"):
        log_weights = np.log(target) - np.log(sample.propensities)
    return overlap_of_weights(log_weights, decisions=sample.logged)


def overlap_of_weights(log_weights: FloatArray, *, decisions: int) -> Overlap:
    """Foresee the valuation from the logarithms of the slots' weights.

    Args:
        log_weights: `float64 [n, L]`, `n` and `L` at least 1, -inf for weight 0.
        decisions: size of the whole log.

    Raises:
        ContextError: if there is no weight, or one is NaN or infinite.

    Example:
        >>> overlap_of_weights(np.zeros((500, 2)), decisions=40_000).verdict
        'good'
    """
    if log_weights.ndim != 2 or 0 in log_weights.shape:
        raise ContextError(f"weights must be [n, L] with n, L >= 1, got {log_weights.shape}")
    if np.isnan(log_weights).any() or (log_weights == np.inf).any():
        raise ContextError("weights must be finite, got NaN or infinity")
    whole = log_weights.sum(axis=1)
    slot_share = np.array([effective_share(column) for column in log_weights.T])
    slate_share = effective_share(whole)
    covered = all(_reached(column) for column in log_weights.T)
    slots_ok = covered and _enough(float(slot_share.min()), decisions)
    slates_ok = slots_ok and _reached(whole) and _enough(slate_share, decisions)
    return Overlap(
        decisions=decisions,
        sample=log_weights.shape[0],
        slot_share=slot_share,
        slate_share=slate_share,
        slot_mean=np.exp(log_weights).mean(axis=0),
        covered=covered,
        verdict="good" if slates_ok else "thin" if slots_ok else "blind",
    )


def effective_share(log_weights: FloatArray) -> float:
    """`(sum w)^2 / (n sum w^2)` of weights given by their logarithms, `float64 [n]`, in [0, 1].

    Example:
        >>> effective_share(np.log([1.0, 1.0, 2.0, 4.0])).__round__(4)
        0.7273
    """
    if not np.isfinite(log_weights).any():
        return 0.0
    first, second = special.logsumexp(log_weights), special.logsumexp(2 * log_weights)
    return min(1.0, math.exp(2 * first - second - math.log(log_weights.size)))


def _reached(log_weights: FloatArray) -> bool:
    """Whether the mean weight may well be 1, as far as its standard error tells."""
    weights = np.exp(log_weights)
    error = float(weights.std() / math.sqrt(weights.size))
    return float(weights.mean()) + _ERRORS * error >= MIN_MEAN


def _enough(share: float, decisions: int) -> bool:
    return share >= MIN_SHARE and share * decisions >= MIN_SIZE
