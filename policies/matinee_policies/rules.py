"""How utilities become a probability for each remaining candidate.

A rule gives a base law over the `n` candidates that remain at a slot, then mixes it with the
uniform law:

    p_i = (1 - w) base_i + w / n

so that every remaining candidate keeps at least `w / n`. The rules:

    epsilon      base: the best candidate; w = max(floor, 1 - (1 - epsilon)^(1/L)) for L slots, so
                 that a slate holds no exploratory draw with probability 1 - epsilon; the floor is
                 part of that budget, not added to it
    upper bound  base: the best candidate, where the utilities are upper bounds; w = floor
    softmax      base: exp(u_i / temperature), normalised; w = floor
    inverse gap  base: 1 / (n + gamma (u* - u_i)), the rest to the best candidate; w = floor
                 (SquareCB, Foster and Rakhlin 2020, eq. 2 with mu = n)

The best candidate is the one of largest utility, at the lowest index among equals. A closed
candidate (padding, already shown, not eligible) has utility -infinity and probability 0.

A further rule is a code, a base law in `fill_law` and its twin in `rule_law_reference`. Rules that
need more than one utility per candidate (votes of an ensemble) fill the same `law` array from
their own kernel; the sampler reads nothing but `law`.
"""

import math
from dataclasses import dataclass

import numpy as np

from matinee_policies.arrays import FloatArray
from matinee_policies.compiled import kernel
from matinee_policies.config import check_range

GREEDY = 0
SOFTMAX = 1
INVERSE_GAP = 2
VOTES = 3
_CLOSED = -np.inf


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule with its parameters; build one with the functions below.

    Attributes:
        code: `GREEDY`, `SOFTMAX`, `INVERSE_GAP` or `VOTES`.
        parameter: temperature of softmax, gamma of inverse gap, else 0.
        epsilon: probability that a full slate holds at least one uniform draw, in [0, 1].
        floor: least weight of the uniform law at every slot, in [0, 1].
        budget: largest probability that a full slate holds any draw other than the greedy pick's,
            in [0, 1].
    """

    code: int
    parameter: float
    epsilon: float
    floor: float
    budget: float = 1.0

    def uniform_weight(self, slots: int) -> float:
        """Weight `w` of the uniform law at each slot of a slate of `slots` slots."""
        per_slot = -math.expm1(math.log1p(-self.epsilon) / slots) if self.epsilon < 1.0 else 1.0
        return max(self.floor, per_slot)


def epsilon_rule(epsilon: float, *, floor: float = 0.0) -> Rule:
    """Explore with a budget per slate.

    Args:
        epsilon: probability that a full slate holds at least one uniform draw, in [0, 1].
        floor: least weight of the uniform law at every slot, in [0, 1].

    Example:
        >>> round(epsilon_rule(0.1).uniform_weight(10), 6)
        0.010481
    """
    check_range("epsilon", epsilon, low=0, high=1)
    return Rule(GREEDY, 0.0, epsilon, _checked_floor(floor))


def upper_bound_rule(*, floor: float = 0.0) -> Rule:
    """Take the best upper bound, under a floor in [0, 1] per slot."""
    return Rule(GREEDY, 0.0, 0.0, _checked_floor(floor))


def softmax_rule(temperature: float, *, floor: float = 0.0, budget: float = 1.0) -> Rule:
    """Draw in proportion to exp(utility / temperature); temperature > 0 in value units."""
    check_range("temperature", temperature, low=0, low_open=True)
    check_range("budget", budget, low=0, high=1)
    return Rule(SOFTMAX, temperature, 0.0, _checked_floor(floor), budget)


def inverse_gap_rule(gamma: float, *, floor: float = 0.0, budget: float = 1.0) -> Rule:
    """Draw in inverse proportion to the gap to the best; gamma >= 0 per value unit."""
    check_range("gamma", gamma, low=0)
    check_range("budget", budget, low=0, high=1)
    return Rule(INVERSE_GAP, gamma, 0.0, _checked_floor(floor), budget)


def votes_rule(*, floor: float = 0.0, budget: float = 1.0) -> Rule:
    """Draw in proportion to the members of an ensemble that like a candidate best."""
    check_range("budget", budget, low=0, high=1)
    return Rule(VOTES, 0.0, 0.0, _checked_floor(floor), budget)


@kernel
def fill_law(
    utility: FloatArray,
    remaining: int,
    code: int,
    parameter: float,
    uniform_weight: float,
    law: FloatArray,
) -> None:
    """Write the probability of each candidate at one slot into `law`.

    Args:
        utility: finite for the candidates that remain, -infinity for the others, `float64 [K]`.
        remaining: how many remain, at least 1.
        code: of the rule.
        parameter: of the rule.
        uniform_weight: weight of the uniform law.
        law: receives probabilities that sum to 1, `float64 [K]`.
    """
    best = _best(utility)
    for k in range(law.shape[0]):
        law[k] = 0.0
    if remaining == 1:
        law[best] = 1.0
        return
    scale = 1.0 - uniform_weight
    if code == SOFTMAX:
        total = 0.0
        for k in range(law.shape[0]):
            if utility[k] > _CLOSED:
                law[k] = math.exp((utility[k] - utility[best]) / parameter)
                total += law[k]
        scale /= total
    elif code == INVERSE_GAP:
        others = 0.0
        for k in range(law.shape[0]):
            if k != best and utility[k] > _CLOSED:
                law[k] = 1.0 / (remaining + parameter * (utility[best] - utility[k]))
                others += law[k]
        law[best] = 1.0 - others
    else:
        law[best] = 1.0
    share = uniform_weight / remaining
    for k in range(law.shape[0]):
        law[k] = scale * law[k] + share if utility[k] > _CLOSED else 0.0


def rule_law_reference(utility: FloatArray, rule: Rule, *, slots: int) -> FloatArray:
    """The law of one slot, from the formulas of the module docstring.

    Args:
        utility: -infinity marks closed candidates; at least one is open, `float64 [K]`.
        rule: the rule.
        slots: slots of the whole slate.

    Returns:
        Probabilities, `float64 [K]`.
    """
    is_open = utility > _CLOSED
    n = int(is_open.sum())
    best = int(np.argmax(utility))
    base = np.zeros_like(utility)
    gap = utility[best] - utility[is_open]
    if rule.code == SOFTMAX:
        base[is_open] = np.exp(-gap / rule.parameter)
        base /= base.sum()
    elif rule.code == INVERSE_GAP:
        base[is_open] = 1.0 / (n + rule.parameter * gap)
        base[best] += 1.0 - base.sum()
    else:
        base[best] = 1.0
    weight = rule.uniform_weight(slots)
    return (1.0 - weight) * base + weight * is_open / n


@kernel
def _best(utility: FloatArray) -> int:
    best = 0
    for k in range(1, utility.shape[0]):
        if utility[k] > utility[best]:
            best = k
    return best


def _checked_floor(floor: float) -> float:
    check_range("floor", floor, low=0, high=1)
    return floor
