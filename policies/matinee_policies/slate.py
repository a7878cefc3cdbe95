"""The slate sampler: draws slates from a law over candidates, and scores any slate under it.

Slots are filled in order. At slot l, with items J chosen before, candidate i has the utility

    u_l(i) = value(i) - lambda * redundancy(i | J)          (`similarity.py`)

and a rule (`rules.py`) turns the utilities of the candidates that remain into probabilities. The
item is drawn by inversion of their running sum, in the order of the candidates, with the uniform
number of (decision key, slot). Diversity is therefore inside the law, and the probability of each
choice is exact.

Drawing and scoring are one compiled walk, so scoring a drawn slate gives the drawn propensities to
the last bit, whatever the other decisions of the batch are.
"""

from dataclasses import dataclass

import numpy as np

from matinee_policies.arrays import (
    AnyArray,
    BoolArray,
    Float32Array,
    FloatArray,
    IndexArray,
    UInt64Array,
)
from matinee_policies.compiled import kernel
from matinee_policies.diversity import MMR, Caps, Diversity, diversity_of
from matinee_policies.errors import ConfigError, ContextError
from matinee_policies.philox import uniform
from matinee_policies.records import PAD, ContextBatch, SlateBatch
from matinee_policies.rules import VOTES, Rule, fill_law, rule_law_reference
from matinee_policies.similarity import gather_vectors, raise_redundancy, redundancy_reference

_CLOSED = -np.inf
NO_CAPS = Caps()
_NO_KEYS = np.zeros(0, dtype=np.uint64)


@dataclass(frozen=True, slots=True)
class SlateProblem:
    """What fixes the law of `B` slates, apart from their length.

    Attributes:
        contexts: candidates and similarity vectors; each row's candidates are distinct.
        values: value of each candidate, finite where eligible, `float64 [B, K]`.
        rule: turns utilities into probabilities.
        diversity: kind and price of redundancy; a number is the price of `MMR` in value units.
        eligible: candidates the law may choose, `bool [B, K]`; `None` means all. The others have
            probability 0.
        caps: most items of one aspect or creator on a slate.
        members: value of each candidate to each member of an ensemble, `float64 [B, M, K]`; the
            rule of votes needs them.

    Raises:
        ContextError: if the arrays break a rule above.
        ConfigError: if `diversity` does.
    """

    contexts: ContextBatch
    values: FloatArray
    rule: Rule
    diversity: float | Diversity = 0.0
    eligible: BoolArray | None = None
    caps: Caps = NO_CAPS
    members: FloatArray | None = None

    def __post_init__(self) -> None:
        if not isinstance(diversity_of(self.diversity), MMR):
            raise ConfigError("not yet")
        if self.caps != Caps() or self.rule.code == VOTES or self.rule.budget != 1.0:
            raise ConfigError("not yet")
        _check_array(self.values, "values", np.float64, self.contexts.candidates.shape)
        if self.eligible is not None:
            _check_array(self.eligible, "eligible", np.bool_, self.contexts.candidates.shape)
        _check_candidates(self.contexts)
        _check_values(self.values, self.available())

    def available(self) -> BoolArray:
        """Which candidates may be chosen at the first slot, `bool [B, K]`."""
        present: BoolArray = self.contexts.candidates != PAD
        return present if self.eligible is None else present & self.eligible


def sample_slates(problem: SlateProblem, *, slots: int, keys: UInt64Array) -> SlateBatch:
    """Draw one slate per decision.

    Args:
        problem: what fixes the law.
        slots: length `L` of every slate, at least 1.
        keys: decision keys, `uint64 [B]`; the same key draws the same slate.

    Returns:
        Slates of distinct items; a slot is padding once eligible candidates have run out.

    Raises:
        ContextError: if `slots` or `keys` break a rule above.
    """
    check_slots(slots)
    _check_array(keys, "keys", np.uint64, (len(problem.contexts),))
    positions = np.empty((len(problem.contexts), slots), dtype=np.int32)
    items, propensities = _run(problem, positions, slots=slots, keys=keys)
    return SlateBatch(positions=positions, items=items, propensities=propensities)


def score_slates(problem: SlateProblem, slates: IndexArray) -> FloatArray:
    """Probability of each item of any slates, given the items before it in its slate.

    Args:
        problem: what fixes the law.
        slates: positions among the candidates, distinct in a row, `int32 [B, L]`; `PAD` fills the
            slots after the last candidate.

    Returns:
        Values in [0, 1], `float64 [B, L]`, 1 at padding; 0 only where the law excludes the item.

    Raises:
        ContextError: if `slates` break a rule above.
    """
    check_slates(slates, problem.contexts)
    positions = np.array(slates, order="C")
    return _run(problem, positions, slots=slates.shape[1])[1]


def next_law(problem: SlateProblem, prefix: IndexArray, *, slots: int) -> FloatArray:
    """Law of the slot that follows a prefix.

    Args:
        problem: what fixes the law.
        prefix: positions at the first slots, distinct items without padding, `int32 [B, P]`.
        slots: length of the whole slate, above `P`.

    Returns:
        Probability of each candidate, `float64 [B, K]`; rows sum to 1, or are 0 where no eligible
        candidate remains.

    Raises:
        ContextError: if `prefix` or `slots` break a rule above.
    """
    check_slots(slots)
    _check_positions(prefix, problem.contexts)
    if (prefix == PAD).any():
        raise ContextError("prefix must hold no padding, got -1")
    if prefix.shape[1] >= slots:
        raise ContextError(f"prefix must be shorter than slots {slots}, got {prefix.shape[1]}")
    blank = np.full((len(prefix), 1), PAD, dtype=np.int32)
    positions = np.ascontiguousarray(np.concatenate([prefix, blank], axis=1))
    laws = np.zeros(problem.contexts.candidates.shape)
    _run(problem, positions, slots=slots, laws=laws)
    return laws


def exploration_cost(problem: SlateProblem, slates: IndexArray) -> FloatArray:
    """Expected utility that exploration gives up along each slate.

    Args:
        problem: what fixes the law.
        slates: as `score_slates` takes them, `int32 [B, L]`.

    Returns:
        Sum over slots of the largest utility minus the mean utility under the law, given the items
        before it in the slate, `float64 [B]`, at least 0, in value units.
    """
    raise ConfigError("not yet")


def sample_slate_reference(
    problem: SlateProblem, decision: int, *, slots: int, key: int
) -> tuple[list[int], list[float]]:
    """One slate from the definition: the readable twin of the compiled walk.

    Args:
        problem: what fixes the law.
        decision: row of the problem.
        slots: length of the slate.
        key: decision key.

    Returns:
        Positions and their propensities.
    """
    candidates = problem.contexts.candidates[decision]
    is_open = problem.available()[decision]
    chosen: list[int] = []
    propensities: list[float] = []
    for slot in range(slots):
        if not is_open.any():
            return chosen + [PAD] * (slots - slot), propensities + [1.0] * (slots - slot)
        redundancy = redundancy_reference(
            candidates, problem.contexts.embeddings, np.array(chosen, dtype=np.int32)
        )
        utility = np.where(
            is_open,
            problem.values[decision] - diversity_of(problem.diversity).price * redundancy,
            -np.inf,
        )
        law = rule_law_reference(utility, problem.rule, slots=slots)
        draw = uniform(np.uint64(key), np.uint64(slot), np.uint64(0))
        pick = min(
            int(np.searchsorted(law.cumsum(), draw, side="right")), int(law.nonzero()[0][-1])
        )
        chosen.append(pick)
        propensities.append(float(law[pick]))
        is_open = is_open & (np.arange(len(law)) != pick)
    return chosen, propensities


def check_slots(slots: int) -> None:
    """Refuse a slate length that is not a whole number of at least 1."""
    if isinstance(slots, bool) or not isinstance(slots, int | np.integer) or slots < 1:
        raise ContextError(f"slots must be a whole number >= 1, got {slots!r}")


def slate_length(slates: IndexArray) -> int:
    """Slots of a batch of slates, refusing anything but an `int32 [B, L]` array, `L` >= 1."""
    if not isinstance(slates, np.ndarray) or slates.dtype != np.int32 or slates.ndim != 2:
        raise ContextError(f"slates must be an int32 array with 2 dimensions, got {slates!r}")
    check_slots(slates.shape[1])
    return int(slates.shape[1])


def check_slates(slates: IndexArray, contexts: ContextBatch) -> None:
    """Refuse positions that are no slates of these contexts.

    Args:
        slates: positions among the candidates, `int32 [B, L]`.
        contexts: the decisions they belong to.

    Raises:
        ContextError: on a repeated or unknown position, or padding while candidates remain.
    """
    slots = slate_length(slates)
    _check_positions(slates, contexts)
    expected = np.minimum((contexts.candidates != PAD).sum(axis=1), slots)
    wrong = (slates != PAD) != (np.arange(slots) < expected[:, None])
    if wrong.any():
        row, slot = (int(place) for place in np.argwhere(wrong)[0])
        raise ContextError(
            f"slates must fill the first {int(expected[row])} slots of decision {row} and pad the "
            f"rest with {PAD}, got {int(slates[row, slot])} at slot {slot}"
        )


def _run(
    problem: SlateProblem,
    positions: IndexArray,
    *,
    slots: int,
    keys: UInt64Array = _NO_KEYS,
    laws: FloatArray | None = None,
) -> tuple[IndexArray, FloatArray]:
    """Draw `positions` if there are keys, else follow them; gives items and propensities."""
    items = np.empty_like(positions)
    propensities = np.empty(positions.shape)
    _walk(
        # Numba compiles anew for arrays that are read-only; only the large table is worth that.
        np.require(problem.values, requirements=["C", "W"]),
        np.ascontiguousarray(problem.available()),
        np.require(problem.contexts.candidates, requirements=["C", "W"]),
        np.ascontiguousarray(problem.contexts.embeddings),
        float(diversity_of(problem.diversity).price),
        problem.rule.code,
        float(problem.rule.parameter),
        problem.rule.uniform_weight(slots),
        np.require(keys, requirements=["C", "W"]),
        positions,
        items,
        propensities,
        np.empty((0, 0)) if laws is None else laws,
    )
    return items, propensities


@kernel
def _walk(
    values: FloatArray,
    available: BoolArray,
    candidates: IndexArray,
    embeddings: Float32Array,
    diversity: float,
    code: int,
    parameter: float,
    uniform_weight: float,
    keys: UInt64Array,
    positions: IndexArray,
    items: IndexArray,
    propensities: FloatArray,
    laws: FloatArray,
) -> None:
    """Fill slates slot by slot: drawn where there are keys, else following `positions`."""
    # Loops rather than slices: numba compiles an assignment to a slice ten times as long.
    K = values.shape[1]
    L = positions.shape[1]
    open_values = np.empty(K)
    utility = np.empty(K)
    redundancy = np.empty(K)
    law = np.empty(K)
    scratch = np.empty(K)
    block = np.empty((embeddings.shape[1], K), dtype=np.float32)
    for b in range(positions.shape[0]):
        remaining = 0
        for k in range(K):
            open_values[k] = values[b, k] if available[b, k] else _CLOSED
            remaining += available[b, k]
            redundancy[k] = 0.0
        if diversity > 0.0 and L > 1:
            gather_vectors(candidates[b], embeddings, block)
        for slot in range(L):
            for k in range(K):
                law[k] = 0.0
            if remaining > 0:
                for k in range(K):
                    utility[k] = open_values[k] - diversity * redundancy[k]
                fill_law(utility, remaining, code, parameter, uniform_weight, law)
            if keys.shape[0] > 0:
                draw = uniform(keys[b], np.uint64(slot), np.uint64(0))
                positions[b, slot] = draw_position(law, draw)
            chosen = positions[b, slot]
            if chosen == PAD:
                items[b, slot] = PAD
                propensities[b, slot] = 1.0
                continue
            items[b, slot] = candidates[b, chosen]
            propensities[b, slot] = law[chosen]
            if open_values[chosen] > _CLOSED:
                open_values[chosen] = _CLOSED
                remaining -= 1
            if diversity > 0.0 and slot + 1 < L:
                raise_redundancy(block, chosen, scratch, redundancy)
        if laws.shape[0] > 0:
            for k in range(K):
                laws[b, k] = law[k]


@kernel
def draw_position(law: FloatArray, draw: float) -> int:
    """First candidate at which the running sum of a law exceeds a uniform number.

    Args:
        law: probabilities that sum to about 1, or all 0, `float64 [K]`.
        draw: in [0, 1).

    Returns:
        A position of probability above 0; `PAD` if there is none.
    """
    total = 0.0
    last = PAD
    for k in range(law.shape[0]):
        if law[k] > 0.0:
            # Should rounding leave the sum below the draw, the last possible candidate takes it.
            last = k
            total += law[k]
            if draw < total:
                break
    return last


def _check_array(array: AnyArray, name: str, dtype: type, shape: tuple[int, ...]) -> None:
    if not isinstance(array, np.ndarray) or array.dtype != dtype or array.shape != shape:
        got = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else repr(array)
        raise ContextError(f"{name} must be {np.dtype(dtype).name} of shape {shape}, got {got}")


def _check_candidates(contexts: ContextBatch) -> None:
    """Refuse rows outside the catalogue and an item that stands twice in one decision."""
    if contexts.candidates.size == 0:
        return
    ordered = np.sort(contexts.candidates, axis=1)
    catalogue = contexts.embeddings.shape[0]
    lowest, highest = int(ordered[:, 0].min()), int(ordered[:, -1].max())
    if lowest < PAD or highest >= catalogue:
        raise ContextError(
            f"candidates must be {PAD} or rows of a catalogue of {catalogue} items, "
            f"got {lowest if lowest < PAD else highest}"
        )
    twice = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != PAD)
    if twice.any():
        row, place = (int(index) for index in np.argwhere(twice)[0])
        raise ContextError(
            f"candidates of decision {row} must be distinct, got item {ordered[row, place]} twice"
        )


def _check_values(values: FloatArray, available: BoolArray) -> None:
    bad = available & ~np.isfinite(values)
    if bad.any():
        row, place = (int(index) for index in np.argwhere(bad)[0])
        raise ContextError(
            f"value of candidate {place} of decision {row} must be finite, got {values[row, place]}"
        )


def _check_positions(positions: IndexArray, contexts: ContextBatch) -> None:
    """Refuse anything but distinct positions of real candidates, or padding."""
    _check_array(positions, "slates", np.int32, (len(contexts), positions.shape[1]))
    K = contexts.candidates.shape[1]
    if ((positions < PAD) | (positions >= K)).any():
        worst = positions[(positions < PAD) | (positions >= K)][0]
        raise ContextError(f"slates must hold positions below {K} or {PAD}, got {worst}")
    shown = positions != PAD
    if K and (shown & (np.take_along_axis(contexts.candidates, positions.clip(0), 1) == PAD)).any():
        raise ContextError("slates must hold positions of candidates, got a position of padding")
    ordered = np.sort(positions, axis=1)
    twice = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != PAD)
    if twice.any():
        raise ContextError(
            f"slates must not repeat a position, got {ordered[:, 1:][twice][0]} twice"
        )
