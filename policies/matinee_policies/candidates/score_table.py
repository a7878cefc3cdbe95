"""Ranked lists of units, made by another recommender, with a factor model behind them.

A unit's candidates are its own list, best first, without what it must not see now. Where the list
is used up, or a unit has none, the best items of the fallback follow. So that scores keep falling,
a fallback score is multiplied by the lowest score of the list before it (by 1 without a list).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from matinee_policies.array_file import read_arrays, write_arrays
from matinee_policies.arrays import (
    AnyArray,
    Float32Array,
    FloatArray,
    IndexArray,
    Int64Array,
    UInt64Array,
)
from matinee_policies.candidates.factor_model import FactorModel
from matinee_policies.candidates.seen import is_seen
from matinee_policies.candidates.top_k import Candidates, rank, rank_reference
from matinee_policies.compiled import kernel
from matinee_policies.errors import ContextError, DataError
from matinee_policies.records import PAD

ABSENT = -1
"""Row of a unit that is not in a table."""

FILE_KIND = "score table"
_ARRAYS = ("keys", "starts", "items", "scores", "n_items")
_ONE = np.uint64(1)
# As in `rank`: beyond this distance from the mean a float32 score would round to 0 or 1.
_FARTHEST = 15.0


@dataclass(frozen=True, eq=False, kw_only=True)
class ScoreTable:
    """Lists of `U` units over a catalogue of `n_items`.

    Attributes:
        keys: keys of the units, rising, `uint64 [U]`.
        starts: where each list starts in `items`, then the end, `int64 [U + 1]`.
        items: catalogue rows, distinct within a list, best first, `int32 [n]`.
        scores: in (0, 1), falling within a list, `float32 [n]`.
        n_items: items of the catalogue.

    Raises:
        ContextError: if a rule above is broken.
    """

    keys: UInt64Array
    starts: Int64Array
    items: IndexArray
    scores: Float32Array
    n_items: int

    def __post_init__(self) -> None:
        n, units = self.items.size, self.keys.size
        _check("keys", self.keys, np.uint64, (units,))
        _check("starts", self.starts, np.int64, (units + 1,))
        _check("items", self.items, np.int32, (n,))
        _check("scores", self.scores, np.float32, (n,))
        if (self.keys[1:] <= self.keys[:-1]).any():
            raise ContextError("keys must rise")
        if self.starts[0] != 0 or self.starts[-1] != n or (np.diff(self.starts) < 0).any():
            raise ContextError(f"starts must rise from 0 to {n}")
        if n and not (self.items.min() >= 0 and self.items.max() < self.n_items):
            raise ContextError(f"items must be within 0 and {self.n_items - 1}")
        if not ((self.scores > 0.0) & (self.scores < 1.0)).all():
            raise ContextError("scores must be above 0 and below 1")
        owner = np.repeat(np.arange(units), np.diff(self.starts))
        within = owner[1:] == owner[:-1]
        if (within & (np.diff(self.scores) > 0.0)).any():
            raise ContextError("scores must fall within a list")
        pairs = np.sort(owner * np.int64(max(self.n_items, 1)) + self.items)
        if (pairs[1:] == pairs[:-1]).any():
            raise ContextError("items must be distinct within a list")

    def __len__(self) -> int:
        return int(self.keys.size)

    def rows_of(self, keys: UInt64Array) -> Int64Array:
        """Row of each unit by its key, `ABSENT` for a unit without a list, `int64 [n]`."""
        return find_keys(self.keys, keys)

    def save(self, path: Path) -> None:
        """Write all fields to one `.npz` file."""
        arrays: dict[str, AnyArray] = {
            "keys": self.keys,
            "starts": self.starts,
            "items": self.items,
            "scores": self.scores,
            "n_items": np.array(self.n_items, dtype=np.int64),
        }
        write_arrays(path, kind=FILE_KIND, arrays=arrays, header={})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            DataError: the file is missing, damaged or breaks a rule of the table.
        """
        arrays, _ = read_arrays(path, kind=FILE_KIND, names=_ARRAYS)
        n_items = int(arrays.pop("n_items"))
        try:
            return cls(**arrays, n_items=n_items)
        except ContextError as error:
            raise DataError(path, rule=f"must hold a valid score table ({error})") from None


def find_keys(known: UInt64Array, keys: UInt64Array) -> Int64Array:
    """Place of each key among rising `known` keys, `ABSENT` if it is not there, `int64 [n]`."""
    if known.size == 0:
        return np.full(keys.size, ABSENT, dtype=np.int64)
    place = np.searchsorted(known, keys)
    found = known[np.minimum(place, known.size - 1)] == keys
    return np.where(found, place, ABSENT).astype(np.int64)


def build_score_table(
    keys: UInt64Array, items: IndexArray, raw: Float32Array, *, scores: Float32Array, n_items: int
) -> ScoreTable:
    """Order pairs into lists: by falling `raw`, ties to the lowest item.

    Args:
        keys: key of the unit of each pair, in any order, `uint64 [n]`.
        items: catalogue row of each pair, `int32 [n]`.
        raw: what the list is ordered by, `float32 [n]`.
        scores: the same mapped into (0, 1) by a map that does not fall, `float32 [n]`.
        n_items: items of the catalogue.
    """
    order = best_first(keys, items, raw)
    units, counts = np.unique(keys, return_counts=True)
    starts = np.zeros(units.size + 1, dtype=np.int64)
    np.cumsum(counts, out=starts[1:])
    return ScoreTable(
        keys=units, starts=starts, items=items[order], scores=scores[order], n_items=n_items
    )


def best_first(keys: UInt64Array, items: IndexArray, raw: Float32Array) -> Int64Array:
    """The order by key, then falling `raw`, then item: `np.lexsort((items, -raw, keys))`, faster.

    Args:
        keys: `uint64 [n]`.
        items: at least 0, `int32 [n]`.
        raw: finite, `float32 [n]`.
    """
    # 31 bits of item, or 32 of the score's sortable bits, below the number of the unit.
    unit = np.unique(keys, return_inverse=True)[1].astype(np.int64) << 32
    by_item = np.argsort(unit + items)
    # Adding 0 makes minus zero zero, so that both tie.
    bits = (np.float32(0.0) - raw + np.float32(0.0)).view(np.int32)
    rising = (bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))).astype(np.int64) + (1 << 31)
    order = by_item[np.argsort((unit + rising)[by_item], kind="stable")]
    return order.astype(np.int64)


def logistic_scores(raw: Float32Array, *, mean: float, sd: float) -> Float32Array:
    """Raw scores mapped into (0, 1): 1 / (1 + exp(-(raw - mean) / sd)), the exponent within 15.

    Example:
        >>> logistic_scores(np.array([2.0, 9.0], dtype=np.float32), mean=2.0, sd=0.0).tolist()
        [0.5, 0.9990889430046082]
    """
    z = (raw.astype(np.float64) - mean) / (sd if sd > 0.0 else 1.0)
    result: FloatArray = 1.0 / (1.0 + np.exp(-np.clip(z, -_FARTHEST, _FARTHEST)))
    return result.astype(np.float32)


def rank_table(
    table: ScoreTable,
    rows: Int64Array,
    *,
    fallback: FactorModel,
    vectors: Float32Array,
    hidden: UInt64Array,
    k: int,
) -> Candidates:
    """The `k` best items of units that are not hidden: their lists, then the fallback.

    Args:
        table: the lists.
        rows: row of each unit in the table, or `ABSENT`, `int64 [B]`.
        fallback: what follows a list.
        vectors: vectors of the units under the fallback, `float32 [B, f]`.
        hidden: items to leave out, one bit each, `uint64 [B, W]`.
        k: how many items, at least 1; where fewer are left, the rest is padding.
    """
    items = np.full((rows.size, k), PAD, dtype=np.int32)
    scores = np.zeros((rows.size, k), dtype=np.float32)
    filled = np.zeros(rows.size, dtype=np.int64)
    closed = np.array(hidden, order="C")
    _take_listed(rows, table.starts, table.items, table.scores, closed, items, scores, filled)
    short = np.flatnonzero(filled < k)
    if short.size:
        more = rank(fallback, vectors[short], closed[short], k)
        _append(short, filled, more.items, more.scores, items, scores)
    return Candidates(items, scores)


def rank_table_reference(
    table: ScoreTable,
    rows: Int64Array,
    *,
    fallback: FactorModel,
    vectors: Float32Array,
    hidden: UInt64Array,
    k: int,
) -> Candidates:
    """The readable twin of `rank_table`."""
    items = np.full((rows.size, k), PAD, dtype=np.int32)
    scores = np.zeros((rows.size, k), dtype=np.float32)
    for b, row in enumerate(rows):
        listed = slice(0, 0) if row == ABSENT else slice(table.starts[row], table.starts[row + 1])
        own, own_scores = table.items[listed], table.scores[listed]
        left = ~is_seen(hidden, np.full(own.size, b), own)
        own, own_scores = own[left], own_scores[left]
        lowest = own_scores[-1] if own.size else np.float32(1.0)
        every = rank_reference(fallback, vectors[b : b + 1], hidden[b : b + 1], fallback.n_items)
        other = ~np.isin(every.items[0], [*own.tolist(), PAD])
        merged = np.concatenate([own, every.items[0][other]])[:k]
        items[b, : merged.size] = merged
        together = np.concatenate([own_scores, lowest * every.scores[0][other]])[:k]
        scores[b, : merged.size] = together
    return Candidates(items, scores)


@kernel
def _take_listed(
    rows: Int64Array,
    starts: Int64Array,
    listed: IndexArray,
    listed_scores: Float32Array,
    closed: UInt64Array,
    items: IndexArray,
    scores: Float32Array,
    filled: Int64Array,
) -> None:
    """Copy what is open of each list, and close it."""
    for b in range(rows.size):
        if rows[b] < 0:
            continue
        taken = 0
        for place in range(starts[rows[b]], starts[rows[b] + 1]):
            if taken == items.shape[1]:
                break
            item = listed[place]
            bit = _ONE << np.uint64(item & 63)
            if closed[b, item >> 6] & bit == 0:
                closed[b, item >> 6] |= bit
                items[b, taken] = item
                scores[b, taken] = listed_scores[place]
                taken += 1
        filled[b] = taken


@kernel
def _append(
    short: Int64Array,
    filled: Int64Array,
    more: IndexArray,
    more_scores: Float32Array,
    items: IndexArray,
    scores: Float32Array,
) -> None:
    for t in range(short.size):
        b = short[t]
        lowest = np.float32(1.0)
        if filled[b] > 0:
            lowest = scores[b, filled[b] - 1]
        for place in range(items.shape[1] - filled[b]):
            items[b, filled[b] + place] = more[t, place]
            scores[b, filled[b] + place] = lowest * more_scores[t, place]


def _check(name: str, array: AnyArray, dtype: type, shape: tuple[int, ...]) -> None:
    if array.dtype != dtype or array.shape != shape:
        raise ContextError(
            f"{name} must be {np.dtype(dtype).name} of shape {shape}, "
            f"got {array.dtype} of shape {array.shape}"
        )
