"""What a business asks of an arm's pages: items never shown, and items pinned to a slot.

Excluded items are hidden before candidates are ranked, so that others take their places. A pinned
item is shown in its slot on the first page of every visit, whatever the unit saw or watched before;
later pages of the visit do not repeat it. Both are a function of candidates and rules alone, so a
log is re-scored under the very contexts that were decided.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from matinee_policies.array_file import read_arrays, write_arrays
from matinee_policies.arrays import BoolArray, Float32Array, IndexArray, UInt64Array
from matinee_policies.candidates.seen import empty_seen, mark_seen
from matinee_policies.candidates.top_k import Candidates
from matinee_policies.candidates.unit_ranker import UnitRanker
from matinee_policies.errors import ContextError, DataError
from matinee_policies.records import PAD, ContextBatch, SlateBatch

_KIND = "page rules"
_ARRAYS = ("excluded", "pinned")
_NOWHERE = np.inf


@dataclass(frozen=True, slots=True, eq=False)
class PageRules:
    """The rules of one arm.

    Attributes:
        excluded: items that are never shown, `bool [M]`.
        pinned: catalogue row that slot `l` shows, `PAD` where it is free, `int32 [P]`; slots from
            `P` on are free. Distinct, none of them excluded.
    """

    excluded: BoolArray
    pinned: IndexArray

    def __post_init__(self) -> None:
        if self.excluded.dtype != np.bool_ or self.excluded.ndim != 1:
            raise ContextError(f"excluded must be bool [M], got {self.excluded.dtype}")
        if self.pinned.dtype != np.int32 or self.pinned.ndim != 1:
            raise ContextError(f"pinned must be int32 [P], got {self.pinned.dtype}")
        items = self.pins
        if items.size and not (items.min() >= 0 and items.max() < self.excluded.size):
            raise ContextError(f"pinned must be rows below {self.excluded.size}, got {items}")
        if np.unique(items).size != items.size or self.excluded[items].any():
            raise ContextError(f"pinned items must be distinct and not excluded, got {items}")

    @property
    def pins(self) -> IndexArray:
        """The items pinned, from the top slot down, `int32 [p]`."""
        pins: IndexArray = self.pinned[self.pinned != PAD]
        return pins

    def hide(self, hidden: UInt64Array) -> UInt64Array:
        """Add the excluded items to those hidden from units, one bit per item, `uint64 [n, W]`."""
        closed: UInt64Array = hidden | _bits(
            np.flatnonzero(self.excluded).astype(np.int32), self.excluded.size
        )
        return closed

    def apply(self, contexts: ContextBatch) -> ContextBatch:
        """The contexts under these rules and no other."""
        candidates = contexts.candidates
        eligible = None
        if self.excluded.any():
            eligible = (candidates == PAD) | ~self.excluded[candidates]
        return replace(contexts, eligible=eligible, pinned=self._positions(candidates))

    def check(self, contexts: ContextBatch, slates: SlateBatch, *, policy: str) -> None:
        """Refuse slates that leave out a pinned item or hold an excluded one.

        Args:
            contexts: as `apply` gave them.
            slates: decided for these contexts.
            policy: name of the policy, for the error.

        Raises:
            ContextError: naming slot and item.
        """
        if contexts.pinned is not None:
            # A slate may be shorter than the rules foresee: its last pins have no slot then.
            both = min(contexts.pinned.shape[1], slates.positions.shape[1])
            pinned, shown = contexts.pinned[:, :both], slates.positions[:, :both]
            wrong = (pinned != PAD) & (shown != pinned)
            if wrong.any():
                slot = int(np.nonzero(wrong)[1][0])
                raise ContextError(
                    f"policy {policy!r} must show the pinned item {int(self.pinned[slot])} at slot "
                    f"{slot}, and does not"
                )
        items = slates.items[slates.items != PAD]
        if self.excluded[items].any():
            item = int(items[self.excluded[items]][0])
            raise ContextError(f"policy {policy!r} must not show the excluded item {item}")

    def with_pins(
        self,
        ranked: Candidates,
        ranker: UnitRanker,
        units: IndexArray,
        vectors: Float32Array,
        k: int,
    ) -> Candidates:
        """The ranking with every pinned item among the best `k`, and nothing else reordered.

        A pinned item that stands lower, or nowhere because it is hidden from the unit, moves to the
        end of the best `k` with the score that its source gives it.

        Args:
            ranked: of these units, without excluded items.
            ranker: of the arm's candidate source.
            units: as the ranker numbers them, `int32 [n]`.
            vectors: of the units, `float32 [n, f]`.
            k: candidates of a page, at least the number of pins.
        """
        if not self.pins.size:
            return ranked
        scores = _scores_of(self.pins, ranker, units, vectors, self.excluded.size)
        return _inserted(ranked, self.pins, scores, k)

    def save(self, path: Path) -> None:
        """Write to one `.npz` file."""
        write_arrays(
            path,
            kind=_KIND,
            arrays={name: getattr(self, name) for name in _ARRAYS},
            header={},
        )

    @classmethod
    def load(cls, path: Path) -> "PageRules":
        """Read what `save` wrote.

        Raises:
            DataError: if the file is missing, damaged or breaks a rule.
        """
        arrays, _ = read_arrays(path, kind=_KIND, names=_ARRAYS)
        try:
            return cls(arrays["excluded"], arrays["pinned"])
        except ContextError as error:
            raise DataError(path, rule=f"must hold valid page rules ({error})") from None

    def _positions(self, candidates: IndexArray) -> IndexArray | None:
        """Where the pinned items stand, `int32 [n, P]`; `PAD` where one is no candidate."""
        if not self.pins.size:
            return None
        match = candidates[:, None, :] == self.pinned[None, :, None]
        there = match.any(axis=2) & (self.pinned != PAD)
        return np.where(there, match.argmax(axis=2), PAD).astype(np.int32)


def _bits(items: IndexArray, n_items: int) -> UInt64Array:
    """One bit per item, `uint64 [1, W]`, set for `items`."""
    bits = empty_seen(1, n_items)
    mark_seen(bits, np.zeros(items.size, dtype=np.int32), items)
    return bits


def _scores_of(
    pins: IndexArray, ranker: UnitRanker, units: IndexArray, vectors: Float32Array, n_items: int
) -> Float32Array:
    """Scores of single items by their source: a ranking of all others hidden, `float32 [n, p]`."""
    hidden = np.tile(~_bits(pins, n_items), (units.size, 1))
    found = ranker.rank(units, vectors, hidden, pins.size)
    at = (found.items[:, None, :] == pins[None, :, None]).argmax(axis=2)
    return np.take_along_axis(found.scores, at, axis=1)


def _inserted(ranked: Candidates, pins: IndexArray, scores: Float32Array, k: int) -> Candidates:
    """Move pins that stand below place `k - p`, or nowhere, to the end of the first `k`."""
    depth = ranked.items.shape[1]
    p = pins.size
    stays = (ranked.items[:, None, : k - p] == pins[None, :, None]).any(axis=2)
    moved = ~stays
    here = np.isin(ranked.items, pins) & (np.arange(depth) >= k - p)
    # Sort keys: what is kept is ranked anew, so that moved pins come right before place k - moved.
    kept = ~here & (ranked.items != PAD)
    keys = np.where(kept, np.cumsum(kept, axis=1) - 1.0, _NOWHERE)
    first = k - moved.sum(axis=1, keepdims=True) - 0.5
    keys = np.concatenate([keys, np.where(moved, first, _NOWHERE)], axis=1)
    items = np.concatenate(
        [np.where(here, PAD, ranked.items), np.where(moved, pins[None, :], PAD)], axis=1
    )
    order = np.argsort(keys, axis=1, kind="stable")[:, :depth]
    taken = np.take_along_axis(items, order, axis=1).astype(np.int32)
    given = np.concatenate([ranked.scores, scores], axis=1)
    sorted_scores = np.take_along_axis(given, order, axis=1)
    return Candidates(taken, np.where(taken == PAD, np.float32(0.0), sorted_scores))


def with_pins_reference(items: list[int], pins: list[int], k: int) -> list[int]:
    """The order of `PageRules.with_pins` for one unit, in plain Python; no padding."""
    keep = k - len(pins)
    moved = [pin for pin in pins if pin not in items[:keep]]
    rest = [item for item in items if item not in moved]
    place = k - len(moved)
    return [*rest[:place], *moved, *rest[place:]][: len(items)]
