"""Weights over a band of policies, moved by their losses: the master of CORRAL.

Source: Agarwal, Luo, Neyshabur and Schapire 2017, "Corralling a band of bandit algorithms",
algorithms 1 and 2. With weights p, rates eta and losses l of `M` bases, a step of online mirror
descent under the log barrier is

    1 / p'_i = 1 / p_i + eta_i (l_i - lambda),   lambda such that sum_i p'_i = 1.

Bases are drawn with (1 - gamma) p + gamma / M. Only the base drawn is charged, its loss divided by
the probability that it was drawn with. Whenever that mixed weight of a base falls below its
threshold, the threshold becomes half the weight and its rate grows by the factor beta, so that a
base that turns good late can catch up.

Numerics on arrays only; rewards and bases belong to `corral_policy.py`.
"""

from dataclasses import dataclass, replace

import numpy as np

from matinee_policies.arrays import FloatArray, Int8Array
from matinee_policies.compiled import kernel

_MOST_HALVINGS = 200
_NEAR = 1e-14


@dataclass(frozen=True, slots=True, eq=False)
class CorralState:
    """The master's state.

    Attributes:
        weights: p before mixing, above 0, sum 1, `float64 [M]`.
        rates: eta of each base, above 0, `float64 [M]`.
        thresholds: mixed weight below which a base's rate grows, `float64 [M]`; 1 / rho in the
            paper.
        steps: slates that moved the weights.
    """

    weights: FloatArray
    rates: FloatArray
    thresholds: FloatArray
    steps: int

    @classmethod
    def start(cls, bases: int, *, rate: float) -> "CorralState":
        """Equal weights of so many bases, thresholds at half of them."""
        equal = 1.0 / bases
        return cls(np.full(bases, equal), np.full(bases, rate), np.full(bases, 0.5 * equal), 0)

    def mixed(self, gamma: float) -> FloatArray:
        """Probability of drawing each base, at least `gamma / M`, `float64 [M]`."""
        return mixed_weights(self.weights, gamma)


def mixed_weights(weights: FloatArray, gamma: float) -> FloatArray:
    """(1 - gamma) p + gamma / M.

    Example:
        >>> mixed_weights(np.array([1.0, 0.0]), 0.5).tolist()
        [0.75, 0.25]
    """
    mixed: FloatArray = (1.0 - gamma) * weights + gamma / len(weights)
    return mixed


def corral_steps(
    state: CorralState,
    losses: FloatArray,
    *,
    base: Int8Array,
    base_propensity: FloatArray,
    gamma: float,
    beta: float,
) -> CorralState:
    """One step per slate, in the order given.

    Args:
        state: before the steps; left alone.
        losses: of each slate, in [0, 1], `float64 [n]`.
        base: the base that drew the slate, `int8 [n]`.
        base_propensity: probability of that draw when it was made, in (0, 1], `float64 [n]`.
        gamma: weight of the equal law in the draw of a base, in (0, 1).
        beta: growth of a rate, at least 1.
    """
    weights, rates, thresholds = (
        part.copy() for part in (state.weights, state.rates, state.thresholds)
    )
    _steps(
        np.require(losses, requirements=("C", "W")),
        np.require(base, requirements=("C", "W")),
        np.require(base_propensity, requirements=("C", "W")),
        gamma,
        beta,
        weights,
        rates,
        thresholds,
    )
    return CorralState(weights, rates, thresholds, state.steps + len(losses))


def log_barrier_step(weights: FloatArray, rates: FloatArray, losses: FloatArray) -> FloatArray:
    """One step of mirror descent under the log barrier (algorithm 2).

    Args:
        weights: above 0, sum 1, `float64 [M]`.
        rates: above 0, `float64 [M]`.
        losses: any finite numbers, `float64 [M]`.

    Returns:
        New weights, above 0, sum 1, `float64 [M]`.

    Example:
        >>> equal = np.array([0.5, 0.5])
        >>> log_barrier_step(equal, np.array([1.0, 1.0]), np.array([1.0, 0.0])).round(4).tolist()
        [0.382, 0.618]
    """
    moved = np.array(weights, order="C")
    rates, losses = (np.require(part, requirements=("C", "W")) for part in (rates, losses))
    _barrier_step(moved, rates, losses)
    return moved


def log_barrier_step_reference(
    weights: FloatArray, rates: FloatArray, losses: FloatArray
) -> FloatArray:
    """The twin of `log_barrier_step`: lambda by scipy's `brentq`."""
    # Imported when asked for: the package itself loads numpy and numba only.
    from scipy.optimize import brentq

    def moved(multiplier: float) -> FloatArray:
        result: FloatArray = 1.0 / (1.0 / weights + rates * (losses - multiplier))
        return result

    low = float(losses.min())
    pole = float((losses + 1.0 / (rates * weights)).min())
    high = min(float(losses.max()), low + (1.0 - 1e-15) * (pole - low))
    if low == high:
        return weights.copy()
    return moved(brentq(lambda x: moved(x).sum() - 1.0, low, high, xtol=1e-300, rtol=1e-15))


def corral_steps_reference(
    state: CorralState,
    losses: FloatArray,
    *,
    base: Int8Array,
    base_propensity: FloatArray,
    gamma: float,
    beta: float,
) -> CorralState:
    """The twin of `corral_steps`, line by line of algorithm 1."""
    for loss, drawn, probability in zip(losses, base, base_propensity, strict=True):
        charged = np.zeros(len(state.weights))
        charged[drawn] = loss / probability
        weights = log_barrier_step_reference(state.weights, state.rates, charged)
        mixed = mixed_weights(weights, gamma)
        fallen = mixed < state.thresholds
        state = replace(
            state,
            weights=weights,
            rates=np.where(fallen, beta * state.rates, state.rates),
            thresholds=np.where(fallen, 0.5 * mixed, state.thresholds),
            steps=state.steps + 1,
        )
    return state


@kernel
def _steps(
    losses: FloatArray,
    base: Int8Array,
    base_propensity: FloatArray,
    gamma: float,
    beta: float,
    weights: FloatArray,
    rates: FloatArray,
    thresholds: FloatArray,
) -> None:
    M = weights.shape[0]
    charged = np.zeros(M)
    for n in range(losses.shape[0]):
        charged[base[n]] = losses[n] / base_propensity[n]
        _barrier_step(weights, rates, charged)
        charged[base[n]] = 0.0
        for j in range(M):
            mixed = (1.0 - gamma) * weights[j] + gamma / M
            if mixed < thresholds[j]:
                thresholds[j] = 0.5 * mixed
                rates[j] *= beta


@kernel
def _barrier_step(weights: FloatArray, rates: FloatArray, losses: FloatArray) -> None:
    """Move the weights in place; Newton on lambda, kept in a bracket by halving it."""
    M = weights.shape[0]
    low, high = np.inf, -np.inf
    for j in range(M):
        low = min(low, losses[j])
        high = max(high, losses[j])
    if low == high:
        return
    # The sum of the new weights grows with lambda, from at most 1 at `low` to 1 and on to a pole,
    # beyond which some inverse is negative.
    multiplier = low
    for _ in range(_MOST_HALVINGS):
        excess, slope = -1.0, 0.0
        for j in range(M):
            inverse = 1.0 / weights[j] + rates[j] * (losses[j] - multiplier)
            if inverse <= 0.0:
                excess = np.inf
                break
            excess += 1.0 / inverse
            slope += rates[j] / (inverse * inverse)
        if abs(excess) <= _NEAR:
            break
        if excess > 0.0:
            high = multiplier
        else:
            low = multiplier
        newton = multiplier - excess / slope if excess < np.inf else low
        middle = newton if low < newton < high else 0.5 * (low + high)
        if not low < middle < high:
            break
        multiplier = middle
    total = 0.0
    for j in range(M):
        weights[j] = 1.0 / (1.0 / weights[j] + rates[j] * (losses[j] - multiplier))
        total += weights[j]
    # What rounding of lambda has left over is shared out.
    for j in range(M):
        weights[j] /= total
