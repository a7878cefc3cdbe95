"""The law of any slot of a slate in plain Python, for every rule, redundancy and constraint.

An oracle that shares no code with the slate sampler: lists, determinants by expansion, sums over
everything. It is slow, and meant for a handful of candidates.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matinee_policies.diversity import DPP, MMR, Calibrated, Diversity
from matinee_policies.rules import GREEDY, INVERSE_GAP, SOFTMAX, Rule
from matinee_policies.testing_laws import per_slot_epsilon, plain_cosine

_PAD = -1


@dataclass(frozen=True, slots=True)
class PlainSlate:
    """One decision as lists over its candidates.

    Attributes:
        values: of each candidate.
        members: those to each member of an ensemble.
        vectors: similarity vectors, of length one or zero.
        aspects: share of each aspect in each candidate.
        creators: -1 where unknown.
        interests: share of each aspect in what the unit likes.
        eligible: which candidates may be shown.
        pinned: position of each slot, or -1.
        caps: most items of an aspect, and of a creator; 0 for no cap.
        rule: turns utilities into probabilities.
        diversity: kind and price of redundancy.
        slots: of the slate.
    """

    values: Sequence[float]
    members: Sequence[Sequence[float]]
    vectors: Sequence[Sequence[float]]
    aspects: Sequence[Sequence[float]]
    creators: Sequence[int]
    interests: Sequence[float]
    eligible: Sequence[bool]
    pinned: Sequence[int]
    caps: tuple[int, int]
    rule: Rule
    diversity: Diversity
    slots: int

    def law(self, prefix: Sequence[int]) -> list[float]:
        """Probability of each candidate at the slot after `prefix`; all 0 if it stays empty."""
        pin = self._pin(len(prefix))
        if pin != _PAD:
            return [float(position == pin) for position in range(len(self.values))]
        remaining = self._remaining(prefix)
        law = [0.0] * len(self.values)
        if len(remaining) == 1:
            law[remaining[0]] = 1.0
        elif remaining:
            base = self._base(prefix, remaining)
            best = self._first_best(self.values, prefix, remaining)
            floor, explores = self._weights()
            for position in remaining:
                law[position] = (
                    (1.0 - explores) * (position == best)
                    + (explores - floor) * base[position]
                    + floor / len(remaining)
                )
        return law

    def cost(self, prefix: Sequence[int]) -> float:
        """Best utility minus the mean one under the law of the slot after `prefix`."""
        remaining = self._remaining(prefix)
        if self._pin(len(prefix)) != _PAD or not remaining:
            return 0.0
        law = self.law(prefix)
        best = max(self._utility(self.values, prefix, i) for i in remaining)
        return math.fsum(law[i] * (best - self._utility(self.values, prefix, i)) for i in remaining)

    def redundancy(self, prefix: Sequence[int], position: int) -> float:
        """What `position` repeats of the items shown in `prefix`."""
        shown = [before for before in prefix if before != _PAD]
        if isinstance(self.diversity, MMR):
            return max([0.0, *(self._similarity(before, position) for before in shown)])
        if isinstance(self.diversity, DPP):
            share = self._determinant([*shown, position]) / self._determinant(shown)
            return -math.log(max(share, 1e-6))
        if isinstance(self.diversity, Calibrated):
            return self._divergence([*shown, position])
        return 1.0 - math.fsum(
            interest
            * self.aspects[position][g]
            * math.prod(1.0 - self.aspects[before][g] for before in shown)
            for g, interest in enumerate(self.interests)
        )

    def _pin(self, slot: int) -> int:
        return self.pinned[slot] if slot < min(len(self.pinned), self.slots) else _PAD

    def _remaining(self, prefix: Sequence[int]) -> list[int]:
        pins = [self._pin(slot) for slot in range(self.slots)]
        taken = {position for position in [*prefix, *pins] if position != _PAD}
        return [
            position
            for position in range(len(self.values))
            if self.eligible[position] and position not in taken and self._fits(taken, position)
        ]

    def _fits(self, taken: set[int], position: int) -> bool:
        most_aspect, most_creator = self.caps
        for g, share in enumerate(self.aspects[position]):
            count = sum(self.aspects[other][g] > 0 for other in taken)
            if most_aspect and share > 0 and count >= most_aspect:
                return False
        creator = self.creators[position]
        same = sum(self.creators[other] == creator for other in taken)
        return not (most_creator and creator >= 0 and same >= most_creator)

    def _weights(self) -> tuple[float, float]:
        """Weight of the uniform law, and of all but the best candidate's own share."""
        floor = max(self.rule.floor, per_slot_epsilon(self.rule.epsilon, slots=self.slots))
        if self.rule.code == GREEDY:
            return floor, floor
        return floor, max(floor, per_slot_epsilon(self.rule.budget, slots=self.slots))

    def _base(self, prefix: Sequence[int], remaining: Sequence[int]) -> dict[int, float]:
        utility = {i: self._utility(self.values, prefix, i) for i in remaining}
        best = self._first_best(self.values, prefix, remaining)
        if self.rule.code == GREEDY:
            return {i: float(i == best) for i in remaining}
        if self.rule.code == SOFTMAX:
            worth = {
                i: math.exp((utility[i] - utility[best]) / self.rule.parameter) for i in remaining
            }
            return {i: worth[i] / math.fsum(worth.values()) for i in remaining}
        if self.rule.code == INVERSE_GAP:
            n, gamma = len(remaining), self.rule.parameter
            law = {i: 1.0 / (n + gamma * (utility[best] - utility[i])) for i in remaining}
            law[best] = 1.0 - math.fsum(law[i] for i in remaining if i != best)
            return law
        picks = [self._first_best(member, prefix, remaining) for member in self.members]
        return {i: picks.count(i) / len(picks) for i in remaining}

    def _first_best(
        self, values: Sequence[float], prefix: Sequence[int], remaining: Sequence[int]
    ) -> int:
        return max(remaining, key=lambda i: (self._utility(values, prefix, i), -i))

    def _utility(self, values: Sequence[float], prefix: Sequence[int], position: int) -> float:
        if self.diversity.price == 0:
            return values[position]
        return values[position] - self.diversity.price * self.redundancy(prefix, position)

    def _similarity(self, first: int, second: int) -> float:
        return 1.0 if first == second else plain_cosine(self.vectors[first], self.vectors[second])

    def _determinant(self, positions: Sequence[int]) -> float:
        """Determinant of their cosine matrix, by expansion along the first row."""
        return _determinant([[self._similarity(i, j) for j in positions] for i in positions])

    def _divergence(self, slate: Sequence[int]) -> float:
        """Kullback-Leibler divergence of the smoothed mix of a slate from the unit's, in nats."""
        smoothing = getattr(self.diversity, "smoothing", 0.0)
        total = 0.0
        for g, interest in enumerate(self.interests):
            share = math.fsum(self.aspects[position][g] for position in slate) / len(slate)
            smoothed = (1.0 - smoothing) * share + smoothing * interest
            if interest > 0:
                total += interest * math.log(interest / smoothed)
        return max(total, 0.0)


def _determinant(matrix: Sequence[Sequence[float]]) -> float:
    if not matrix:
        return 1.0
    minors = [[[*row[:j], *row[j + 1 :]] for row in matrix[1:]] for j in range(len(matrix))]
    return math.fsum(
        (-1) ** j * entry * _determinant(minors[j]) for j, entry in enumerate(matrix[0])
    )
