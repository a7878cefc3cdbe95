"""What fixes the law of a batch of slates, and the checks that it and its slates must pass."""

from dataclasses import dataclass, field

import numpy as np

from matinee_policies.arrays import AnyArray, BoolArray, FloatArray, IndexArray
from matinee_policies.candidate_checks import (
    FINE,
    NO_VALUE,
    OUTSIDE,
    REPEATED,
    Fault,
    first_fault,
)
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
from matinee_policies.walk_arrays import NO_MASK, NO_MEMBERS, plain

NO_CAPS = Caps()
# A union would be made anew at every call.
_BY_VECTORS = (MMR, DPP)
_BY_ASPECTS = (Calibrated, XQuAD)


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
    _available: BoolArray = field(init=False, repr=False, compare=False)
    _kind: Diversity = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        diversity = diversity_of(self.diversity)
        if not isinstance(self.caps, Caps):
            raise ConfigError(f"caps must be Caps, got {self.caps!r}")
        shape = self.contexts.candidates.shape
        check_array(self.values, "values", np.float64, shape)
        if self.eligible is not None:
            check_array(self.eligible, "eligible", np.bool_, shape)
        is_voted = self.rule.code == VOTES
        members = _checked_members(self.members, shape) if is_voted else None
        object.__setattr__(self, "_kind", diversity)
        object.__setattr__(self, "_available", np.empty(shape, dtype=np.bool_))
        self._check_candidates(members)
        if isinstance(diversity, _BY_VECTORS) and diversity.price > 0:
            check_table(self.contexts.embeddings, "embeddings")
        _check_traits(self.contexts, diversity, self.caps)
        if diversity.price > 0 and isinstance(diversity, _BY_VECTORS):
            check_table(self.contexts.embeddings, "embeddings")

    def available(self) -> BoolArray:
        """Which candidates are real and eligible, pins and caps apart, `bool [B, K]`."""
        return self._available

    def kind(self) -> Diversity:
        """Kind and price of redundancy."""
        return self._kind

    def is_constrained(self) -> bool:
        """Whether a slot may have to stay empty while candidates remain."""
        return (
            self.eligible is not None
            or self.contexts.eligible is not None
            or self.contexts.pinned is not None
            or self.caps != NO_CAPS
        )

    def _check_candidates(self, members: FloatArray | None) -> None:
        """Refuse candidates and values that break a rule, and note which may be shown."""
        contexts = self.contexts
        fault = first_fault(
            plain(contexts.candidates),
            plain(self.values),
            NO_MEMBERS if members is None else plain(members),
            NO_MASK if self.eligible is None else plain(self.eligible),
            NO_MASK if contexts.eligible is None else plain(contexts.eligible),
            contexts.embeddings.shape[0],
            self._available,
        )
        if fault[0] != FINE:
            raise ContextError(_told(Fault(*fault), contexts, self.values, members))


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


def _told(
    fault: Fault, contexts: ContextBatch, values: FloatArray, members: FloatArray | None
) -> str:
    """What is wrong with a batch, in words."""
    row, place, member = fault.decision, fault.place, fault.member
    item = int(contexts.candidates[row, place])
    if fault.rule == OUTSIDE:
        return (
            f"candidates must be {PAD} or rows of a catalogue of "
            f"{contexts.embeddings.shape[0]} items, got {item}"
        )
    if fault.rule == REPEATED:
        return f"candidates of decision {row} must be distinct, got item {item} twice"
    if fault.rule == NO_VALUE or members is None:
        return (
            f"value of candidate {place} of decision {row} must be {_rule_of(values[row, place])}"
        )
    return (
        f"value of candidate {place} of decision {row} to member {member} must be "
        f"{_rule_of(members[row, member, place])}"
    )


def _rule_of(value: float) -> str:
    """What a value breaks, and the value."""
    wanted = f"in [-{MOST_VALUE:g}, {MOST_VALUE:g}]" if np.isfinite(value) else "finite"
    return f"{wanted}, got {value}"


def _checked_members(members: FloatArray | None, shape: tuple[int, int]) -> FloatArray:
    """The members that the rule of votes reads."""
    if members is None:
        raise ContextError("members must be given to the rule of votes, got None")
    B, K = shape
    count = members.shape[1] if isinstance(members, np.ndarray) and members.ndim == 3 else 0
    check_array(members, "members", np.float64, (B, max(count, 1), K))
    return members


def _check_traits(contexts: ContextBatch, diversity: Diversity, caps: Caps) -> None:
    if contexts.traits is None and caps != NO_CAPS:
        raise ContextError("contexts must hold traits where there are caps, got None")
    if diversity.price > 0 and isinstance(diversity, _BY_ASPECTS):
        for name in ("traits", "interests"):
            if getattr(contexts, name) is None:
                raise ContextError(
                    f"contexts must hold {name} for diversity of kind {diversity.kind}, got None"
                )
