"""What fixes the law of a batch of slates, and the checks that it and its slates must pass."""

from dataclasses import dataclass

import numpy as np

from matinee_policies.arrays import AnyArray, BoolArray, FloatArray, IndexArray
from matinee_policies.compiled import kernel
from matinee_policies.diversity import (
    DPP,
    MMR,
    MOST_VALUE,
    Calibrated,
    Caps,
    Diversity,
    XQuAD,
    diversity_of,
)
from matinee_policies.embedding_check import check_table
from matinee_policies.errors import ConfigError, ContextError
from matinee_policies.records import PAD, ContextBatch
from matinee_policies.rules import VOTES, Rule

NO_CAPS = Caps()


@dataclass(frozen=True, slots=True)
class SlateProblem:
    """What fixes the law of `B` slates, apart from their length.

    Attributes:
        contexts: candidates, similarity vectors and, where they are read, traits and interests of
            the unit, pins and eligibility; each row's candidates are distinct.
        values: value of each candidate, in [-1e12, 1e12] where eligible, `float64 [B, K]`.
        rule: turns utilities into probabilities.
        diversity: kind and price of redundancy; a number is the price of `MMR` in value units.
        eligible: candidates the law may choose, `bool [B, K]`; `None` means all. The others, and
            those that `contexts.eligible` excludes, have probability 0. A pin stands above it.
        caps: most items of one aspect or creator on a slate.
        members: value of each candidate to each member of an ensemble, in [-1e12, 1e12] where
            eligible, `float64 [B, M, K]`; the rule of votes needs them, and takes `values` (their
            mean) for what the best candidate is.

    Raises:
        ContextError: if the arrays break a rule above, or similarity vectors that `diversity` reads
            are of a length other than one or zero; a table is looked at once (`check_table`).
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
        diversity = diversity_of(self.diversity)
        if not isinstance(self.caps, Caps):
            raise ConfigError(f"caps must be Caps, got {self.caps!r}")
        shape = self.contexts.candidates.shape
        check_array(self.values, "values", np.float64, shape)
        if self.eligible is not None:
            check_array(self.eligible, "eligible", np.bool_, shape)
        _check_candidates(self.contexts)
        available = self.available()
        _check_values(self.values, available)
        if self.rule.code == VOTES:
            _check_members(self.members, available)
        _check_traits(self.contexts, diversity, self.caps)
        if diversity.price > 0 and isinstance(diversity, MMR | DPP):
            check_table(self.contexts.embeddings, "embeddings")

    def available(self) -> BoolArray:
        """Which candidates are real and eligible, pins and caps apart, `bool [B, K]`."""
        available: BoolArray = self.contexts.candidates != PAD
        for mask in (self.eligible, self.contexts.eligible):
            if mask is not None:
                available = available & mask
        return available

    def is_constrained(self) -> bool:
        """Whether a slot may have to stay empty while candidates remain."""
        return (
            self.eligible is not None
            or self.contexts.eligible is not None
            or self.contexts.pinned is not None
            or self.caps != NO_CAPS
        )


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


def check_slates(slates: IndexArray, problem: SlateProblem) -> None:
    """Refuse positions that are no slates of this problem.

    Args:
        slates: positions among the candidates, `int32 [B, L]`.
        problem: what fixes their law.

    Raises:
        ContextError: on a repeated or unknown position, or padding while candidates remain where
            no constraint could ask for it.
    """
    slots = slate_length(slates)
    check_positions(slates, problem.contexts)
    if problem.is_constrained():
        return
    expected = np.minimum((problem.contexts.candidates != PAD).sum(axis=1), slots)
    wrong = (slates != PAD) != (np.arange(slots) < expected[:, None])
    if wrong.any():
        row, slot = (int(place) for place in np.argwhere(wrong)[0])
        raise ContextError(
            f"slates must fill the first {int(expected[row])} slots of decision {row} and pad the "
            f"rest with {PAD}, got {int(slates[row, slot])} at slot {slot}"
        )


def check_positions(positions: IndexArray, contexts: ContextBatch) -> None:
    """Refuse anything but distinct positions of real candidates, or padding."""
    check_array(positions, "slates", np.int32, (len(contexts), positions.shape[1]))
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


def check_array(array: AnyArray, name: str, dtype: type, shape: tuple[int, ...]) -> None:
    """Refuse anything but an array of this type and shape."""
    if not isinstance(array, np.ndarray) or array.dtype != dtype or array.shape != shape:
        got = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else repr(array)
        raise ContextError(f"{name} must be {np.dtype(dtype).name} of shape {shape}, got {got}")


def _check_candidates(contexts: ContextBatch) -> None:
    """Refuse rows outside the catalogue and an item that stands twice in one decision."""
    catalogue = contexts.embeddings.shape[0]
    candidates = contexts.candidates
    if not candidates.flags.carray:
        candidates = np.require(candidates, requirements=["C", "W"])
    row, item = _first_bad(candidates, catalogue)
    if row == PAD:
        return
    if not PAD <= item < catalogue:
        raise ContextError(
            f"candidates must be {PAD} or rows of a catalogue of {catalogue} items, got {item}"
        )
    raise ContextError(f"candidates of decision {row} must be distinct, got item {item} twice")


@kernel
def _first_bad(candidates: IndexArray, catalogue: int) -> tuple[int, int]:
    """Decision and item that break a rule of candidates; `PAD` twice if none does."""
    # Open addressing over four times as many places as candidates; a place is free for a decision
    # unless that decision marked it, so nothing is cleared between decisions.
    K = candidates.shape[1]
    size = 8
    while size < 4 * K:
        size *= 2
    owner = np.full(size, PAD, np.int32)
    kept = np.empty(size, np.int32)
    for b in range(candidates.shape[0]):
        for k in range(K):
            item = candidates[b, k]
            if item < PAD or item >= catalogue:
                return b, item
            if item == PAD:
                continue
            spot = (item * 40503) & (size - 1)
            while owner[spot] == b:
                if kept[spot] == item:
                    return b, item
                spot = (spot + 1) & (size - 1)
            owner[spot] = b
            kept[spot] = item
    return PAD, PAD


def _check_values(values: FloatArray, available: BoolArray) -> None:
    if _all_within(values):
        return
    bad = available & ~(np.abs(values) <= MOST_VALUE)
    if bad.any():
        row, place = (int(index) for index in np.argwhere(bad)[0])
        raise ContextError(
            f"value of candidate {place} of decision {row} must be {_rule_of(values[row, place])}"
        )


def _check_members(members: FloatArray | None, available: BoolArray) -> None:
    if members is None:
        raise ContextError("members must be given to the rule of votes, got None")
    B, K = available.shape
    count = members.shape[1] if isinstance(members, np.ndarray) and members.ndim == 3 else 0
    check_array(members, "members", np.float64, (B, max(count, 1), K))
    if _all_within(members):
        return
    bad = available[:, None, :] & ~(np.abs(members) <= MOST_VALUE)
    if bad.any():
        row, member, place = (int(index) for index in np.argwhere(bad)[0])
        raise ContextError(
            f"value of candidate {place} of decision {row} to member {member} must be "
            f"{_rule_of(members[row, member, place])}"
        )


def _all_within(values: FloatArray) -> bool:
    """Whether all are finite and no larger than a value may be; two reads, no copy."""
    return not values.size or bool(values.max() <= MOST_VALUE and values.min() >= -MOST_VALUE)


def _rule_of(value: float) -> str:
    """What a value breaks, and the value."""
    wanted = f"in [-{MOST_VALUE:g}, {MOST_VALUE:g}]" if np.isfinite(value) else "finite"
    return f"{wanted}, got {value}"


def _check_traits(contexts: ContextBatch, diversity: Diversity, caps: Caps) -> None:
    if caps != NO_CAPS and contexts.traits is None:
        raise ContextError("contexts must hold traits where there are caps, got None")
    if diversity.price > 0 and isinstance(diversity, Calibrated | XQuAD):
        for name in ("traits", "interests"):
            if getattr(contexts, name) is None:
                raise ContextError(
                    f"contexts must hold {name} for diversity of kind {diversity.kind}, got None"
                )
