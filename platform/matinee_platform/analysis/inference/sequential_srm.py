"""Sample ratio mismatch while an experiment runs: a test that may be read at every look.

The chi-square test of `analysis.srm` is for the end; read daily it raises too many false alarms.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from matinee_platform.assignment import check_weights
from matinee_policies.arrays import AnyArray, FloatArray
from matinee_policies.config import check_range
from matinee_policies.errors import ContextError

CONCENTRATION = 2_500.0
"""Of the prior: an arm of one half is thought to be off by about one point of share."""


@dataclass(frozen=True, slots=True, eq=False)
class SrmSequence:
    """Evidence against the declared split at each look.

    Attributes:
        e_value: how many times likelier the counts are under some other split, `float64 [looks]`;
            a fair bet's wealth: it exceeds 1 / alpha at any look with chance alpha at most.
        p_value: 1 / e, the smallest so far and at most 1: may be read at any look,
            `float64 [looks]`.
    """

    e_value: FloatArray
    p_value: FloatArray


def sequential_srm(
    counts: AnyArray | Sequence[int] | Sequence[Sequence[int]],
    weights: Sequence[float],
    *,
    concentration: float = CONCENTRATION,
) -> SrmSequence:
    """Dirichlet-multinomial test of the split (Lindon and Malek 2020, 2011.03567).

    `E_n = Gamma(A) / Gamma(A + n) prod_i Gamma(a_i + n_i) / Gamma(a_i) / w_i^n_i` with
    `a = A w`: the multinomial likelihood mixed over a Dirichlet prior around the declared weights,
    over that of the weights themselves.

    Args:
        counts: units of each arm so far at each look, `[looks, arms]`, or `[arms]` for one.
        weights: declared share of each arm, summing to one; units in an arm of weight 0 are proof.
        concentration: `A` of the prior, > 0: larger finds smaller mismatches, later.

    Raises:
        ConfigError: on weights that do not sum to one, or a concentration out of its range.
        ContextError: on counts of another number of arms, below 0, or that fall from a look to the
            next.

    Example:
        >>> found = sequential_srm([[5_000, 5_000], [10_000, 10_600]], [0.5, 0.5])
        >>> found.p_value.round(5).tolist()
        [1.0, 0.00125]
    """
    check_weights(weights)
    check_range("concentration", concentration, low=0, low_open=True)
    units = np.atleast_2d(np.asarray(counts))
    if units.ndim != 2 or units.shape[1] != len(weights):
        raise ContextError(f"counts must be [looks, {len(weights)}], got {list(np.shape(counts))}")
    if units.size and (units.min() < 0 or (np.diff(units, axis=0) < 0).any()):
        raise ContextError("counts by look must be >= 0 and never fall: they are running sums")
    share = np.asarray(weights, dtype=np.float64)
    used = share > 0
    seen = units[:, used].astype(np.float64)
    prior, n = concentration * share[used], seen.sum(axis=1)
    log_e = (
        special.gammaln(concentration)
        - special.gammaln(concentration + n)
        + (special.gammaln(prior + seen) - special.gammaln(prior)).sum(axis=1)
        - (seen * np.log(share[used])).sum(axis=1)
    )
    log_e[units[:, ~used].any(axis=1)] = np.inf
    with np.errstate(over="ignore"):
        e_value = np.exp(log_e)
        p_value = np.minimum.accumulate(np.minimum(np.exp(-log_e), 1.0))
    return SrmSequence(e_value, p_value)
