"""How utilities become a probability for each remaining candidate.

A rule gives a base law over the `n` candidates that remain at a slot, then mixes it with the best
candidate and with the uniform law:

    p_i = (1 - b) [i is best] + (b - w) base_i + w / n

Every remaining candidate keeps at least `w / n`, and anything but the best is drawn with
probability at most b. Over a slate of L slots the budget is spread as 1 - (1 - budget)^(1/L), so
that a slate holds a draw that is not the best with at most that probability:

    b = 1 - (1 - budget)^(1/L)

The floor is part of the budget, not added to it; one that is larger than b is refused, since no law
keeps both. Slots that a pin takes draw nothing, so their shares of the budget stay unspent: a page
with pins explores less than its budget, never more.

    epsilon      base: the best; w = max(floor, 1 - (1 - epsilon)^(1/L)), so that a slate holds no
                 exploratory draw with probability 1 - epsilon; b = w
    upper bound  base: the best, where the utilities are upper bounds; w = floor, b = w
    softmax      base: exp(u_i / temperature), normalised; w = floor
    inverse gap  base: 1 / (n + gamma (u* - u_i)), the rest to the best candidate; w = floor
                 (SquareCB, Foster and Rakhlin 2020, eq. 2 with mu = n)
    votes        base: share of an ensemble's members that like i best of what remains; w = floor
                 (`slate_votes.py`)

The best candidate is the one of largest utility, at the lowest index among equals. A closed
candidate (padding, already shown, not eligible) has utility -infinity and probability 0.
"""

import math
from dataclasses import dataclass

import numpy as np

from matinee_policies.arrays import FloatArray
from matinee_policies.compiled import lean_kernel
from matinee_policies.config import check_range
from matinee_policies.errors import ConfigError

GREEDY = 0
SOFTMAX = 1
INVERSE_GAP = 2
VOTES = 3
_CLOSED = -np.inf
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule with its parameters; build one with the functions below.

    Attributes:
        code: `GREEDY`, `SOFTMAX`, `INVERSE_GAP` or `VOTES`.
        parameter: temperature of softmax, gamma of inverse gap, else 0.
        epsilon: probability that a full slate holds at least one uniform draw, in [0, 1].
        floor: least weight of the uniform law at every slot, in [0, 1 - (1 - budget)^(1/L)].
        budget: largest probability that a full slate holds any draw other than the greedy pick's,
            in [0, 1].
    """

    code: int
    parameter: float
    epsilon: float
    floor: float
    budget: float = 1.0

    def uniform_weight(self, slots: int) -> float:
        """Weight `w` of the uniform law at each slot of a slate of `slots` slots.

        Raises:
            ConfigError: if the floor at so many slots breaks the budget of the slate.
        """
        if self.floor > 0.0 and self.budget < 1.0:
            most = per_slot(self.budget, slots=slots)
            if self.floor > most * (1.0 + _ROUNDING):
                name = "epsilon" if self.code == GREEDY else "budget"
                raise ConfigError(
                    f"floor must be <= 1 - (1 - {name})^(1/L) = {most:.6g} for {name} = "
                    f"{self.budget:g} and slates of L = {slots} slots, got {self.floor!r}"
                )
        return max(self.floor, per_slot(self.epsilon, slots=slots))

    def exploring_weight(self, slots: int) -> float:
        """Weight `b` of all but the best candidate's own share at each slot, at least `w`.

        Raises:
            ConfigError: as `uniform_weight`.
        """
        weight = self.uniform_weight(slots)
        return weight if self.code == GREEDY else max(weight, per_slot(self.budget, slots=slots))


def per_slot(budget: float, *, slots: int) -> float:
    """Probability at each of `slots` slots that makes `budget`, in [0, 1], for at least one."""
    return -math.expm1(math.log1p(-budget) / slots) if budget < 1.0 else 1.0


def epsilon_rule(epsilon: float, *, floor: float = 0.0, most: float | None = None) -> Rule:
    """Explore with a budget per slate.

    Args:
        epsilon: probability that a full slate holds at least one uniform draw, in [0, 1].
        floor: least weight of the uniform law at every slot, in [0, 1 - (1 - most)^(1/L)].
        most: of an epsilon that falls, what it was at first: the budget that the floor, which
            does not fall, must keep to; in [epsilon, 1], `None` for `epsilon`.

    Example:
        >>> round(epsilon_rule(0.1).uniform_weight(10), 6)
        0.010481
    """
    check_range("epsilon", epsilon, low=0, high=1)
    if most is None:
        most = epsilon
    check_range("most", most, low=epsilon, high=1)
    return Rule(GREEDY, 0.0, float(epsilon), _checked_floor(floor), float(most))


def upper_bound_rule(*, floor: float = 0.0) -> Rule:
    """Take the best upper bound, under a floor in [0, 1] per slot."""
    return Rule(GREEDY, 0.0, 0.0, _checked_floor(floor))


def softmax_rule(temperature: float, *, floor: float = 0.0, budget: float = 1.0) -> Rule:
    """Draw in proportion to exp(utility / temperature); temperature > 0 in value units."""
    check_range("temperature", temperature, low=0, low_open=True)
    check_range("budget", budget, low=0, high=1)
    return Rule(SOFTMAX, float(temperature), 0.0, _checked_floor(floor), float(budget))


def inverse_gap_rule(gamma: float, *, floor: float = 0.0, budget: float = 1.0) -> Rule:
    """Draw in inverse proportion to the gap to the best; gamma >= 0 per value unit."""
    check_range("gamma", gamma, low=0)
    check_range("budget", budget, low=0, high=1)
    return Rule(INVERSE_GAP, float(gamma), 0.0, _checked_floor(floor), float(budget))


def votes_rule(*, floor: float = 0.0, budget: float = 1.0) -> Rule:
    """Draw in proportion to the members of an ensemble that like a candidate best."""
    check_range("budget", budget, low=0, high=1)
    return Rule(VOTES, 0.0, 0.0, _checked_floor(floor), float(budget))


@lean_kernel
def fill_law(
    utility: FloatArray,
    remaining: int,
    code: int,
    parameter: float,
    uniform_weight: float,
    exploring_weight: float,
    law: FloatArray,
) -> None:
    """Write the probability of each candidate at one slot into `law`.

    Args:
        utility: finite for the candidates that remain, -infinity for the others, `float64 [K]`.
        remaining: how many remain, at least 1.
        code: of the rule.
        parameter: of the rule.
        uniform_weight: `w`.
        exploring_weight: `b`, at least `w`.
        law: receives probabilities that sum to 1, `float64 [K]`; for votes, holds the base law.
    """
    best = _best(utility)
    if remaining == 1:
        for k in range(law.shape[0]):
            law[k] = 0.0
        law[best] = 1.0
        return
    scale = exploring_weight - uniform_weight
    if code == SOFTMAX:
        total = 0.0
        for k in range(law.shape[0]):
            law[k] = 0.0
            if utility[k] > _CLOSED:
                law[k] = math.exp((utility[k] - utility[best]) / parameter)
                total += law[k]
        scale /= total
    elif code == INVERSE_GAP:
        others = 0.0
        for k in range(law.shape[0]):
            law[k] = 0.0
            if k != best and utility[k] > _CLOSED:
                law[k] = 1.0 / (remaining + parameter * (utility[best] - utility[k]))
                others += law[k]
        law[best] = 1.0 - others
    elif code == GREEDY:
        for k in range(law.shape[0]):
            law[k] = 0.0
    share = uniform_weight / remaining
    for k in range(law.shape[0]):
        law[k] = scale * law[k] + share if utility[k] > _CLOSED else 0.0
    law[best] += 1.0 - exploring_weight


def rule_law_reference(
    utility: FloatArray, rule: Rule, *, slots: int, votes: FloatArray | None = None
) -> FloatArray:
    """The law of one slot, from the formulas of the module docstring.

    Args:
        utility: -infinity marks closed candidates; at least one is open, `float64 [K]`.
        rule: the rule.
        slots: slots of the whole slate.
        votes: of the rule of votes, utility of each candidate to each member, `float64 [M, K]`.

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
    elif rule.code == VOTES and votes is not None:
        winners = np.where(is_open, votes, _CLOSED).argmax(axis=1)
        base = np.bincount(winners, minlength=len(utility)) / len(votes)
    else:
        base[best] = 1.0
    weight, exploring = rule.uniform_weight(slots), rule.exploring_weight(slots)
    law = (exploring - weight) * base + weight * is_open / n
    law[best] += 1.0 - exploring
    return law


@lean_kernel
def _best(utility: FloatArray) -> int:
    best = 0
    for k in range(1, utility.shape[0]):
        if utility[k] > utility[best]:
            best = k
    return best


def _checked_floor(floor: float) -> float:
    check_range("floor", floor, low=0, high=1)
    return float(floor)
