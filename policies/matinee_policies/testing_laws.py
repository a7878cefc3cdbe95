"""The law of one slot in plain Python: an oracle that shares no code with the slate sampler.

Utilities are a dictionary from position to utility, of the candidates that remain only.
"""

import math
from collections.abc import Mapping, Sequence


def plain_utilities(
    values: Sequence[float],
    vectors: Sequence[Sequence[float]],
    prefix: Sequence[int],
    *,
    diversity: float,
) -> dict[int, float]:
    """Value minus the price of the largest similarity with an item chosen before (MMR).

    Args:
        values: of each candidate.
        vectors: similarity vector of each candidate.
        prefix: positions chosen before.
        diversity: price of redundancy.

    Example:
        >>> plain_utilities([0.5, 0.75, 0.5], [[1, 0], [0.5, 0.87], [-1, 0]], [0], diversity=0.5)
        {1: 0.5, 2: 0.5}
    """
    result = {}
    for position, value in enumerate(values):
        if position not in prefix:
            cosines = [plain_cosine(vectors[position], vectors[before]) for before in prefix]
            result[position] = value - diversity * max([0.0, *cosines])
    return result


def plain_cosine(first: Sequence[float], second: Sequence[float]) -> float:
    """Dot product of two vectors.

    Example:
        >>> plain_cosine([0.5, 0.5], [1.0, -0.25])
        0.375
    """
    return math.fsum(a * b for a, b in zip(first, second, strict=True))


def plain_greedy_law(
    utilities: Mapping[int, float], candidates: int, *, weight: float
) -> list[float]:
    """The best one, mixed with the uniform law.

    Args:
        utilities: of the candidates that remain.
        candidates: how many there were at first.
        weight: of the uniform law.

    Example:
        >>> plain_greedy_law({1: 0.1, 2: 0.3}, 3, weight=0.5)
        [0.0, 0.25, 0.75]
    """
    best = max(utilities.values())
    first = min(position for position, value in utilities.items() if value == best)
    base = {position: float(position == first) for position in utilities}
    return _mixed(base, candidates, weight=weight)


def plain_softmax_law(
    utilities: Mapping[int, float], candidates: int, *, temperature: float, weight: float
) -> list[float]:
    """In proportion to exp(utility / temperature), mixed with the uniform law."""
    best = max(utilities.values())
    base = {
        position: math.exp((value - best) / temperature) for position, value in utilities.items()
    }
    return _mixed(base, candidates, weight=weight)


def plain_inverse_gap_law(
    utilities: Mapping[int, float], candidates: int, *, gamma: float, weight: float
) -> list[float]:
    """SquareCB, mixed with the uniform law."""
    best = max(utilities, key=lambda position: (utilities[position], -position))
    base = {
        position: 1.0 / (len(utilities) + gamma * (utilities[best] - value))
        for position, value in utilities.items()
        if position != best
    }
    base[best] = 1.0 - math.fsum(base.values())
    return _mixed(base, candidates, weight=weight)


def plain_mixture_law(
    weights: Sequence[float], laws: Sequence[Sequence[Sequence[float]]], prefix: Sequence[int]
) -> list[float]:
    """The law of a policy that lets one of several bases draw the whole slate.

    Args:
        weights: probability of each base.
        laws: `laws[j][m]` is the law of slot `m` under base `j`, given the prefix up to there.
        prefix: positions chosen before; `laws[j]` has one entry more.

    Example:
        >>> plain_mixture_law([0.5, 0.5], [[[1, 0, 0], [0, 1, 0]], [[0.5, 0.5, 0], [0, 0, 1]]], [0])
        [0.0, 0.6666666666666666, 0.3333333333333333]
    """
    odds = [
        weight * math.prod(law[slot][item] for slot, item in enumerate(prefix))
        for weight, law in zip(weights, laws, strict=True)
    ]
    total = math.fsum(odds)
    return [
        math.fsum(odd * law[-1][item] for odd, law in zip(odds, laws, strict=True)) / total
        for item in range(len(laws[0][-1]))
    ]


def per_slot_epsilon(epsilon: float, *, slots: int) -> float:
    """The uniform weight at each of `slots` slots that makes `epsilon` in all.

    Example:
        >>> round(per_slot_epsilon(0.19, slots=2), 12)
        0.1
    """
    return float(1.0 - (1.0 - epsilon) ** (1.0 / slots))


def _mixed(base: Mapping[int, float], candidates: int, *, weight: float) -> list[float]:
    total = math.fsum(base.values())
    law = [0.0] * candidates
    for position, mass in base.items():
        law[position] = (1.0 - weight) * mass / total + weight / len(base)
    return law
