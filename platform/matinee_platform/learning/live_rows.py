"""Logged decisions of the service as arrays: a struct of arrays in the order of the log.

Rows may differ in their numbers of candidates and of slots; shorter ones are padded on the right.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from matinee_platform.log_rows import unpack_state
from matinee_platform.logged_slates import slate_positions
from matinee_platform.pseudonyms import shard_of
from matinee_platform.storage.records import DecisionRecord, LoggedDecision
from matinee_policies.arrays import (
    AnyArray,
    BoolArray,
    Float32Array,
    FloatArray,
    IndexArray,
    Int8Array,
    Int64Array,
    UInt8Array,
    UInt64Array,
)
from matinee_policies.errors import ContextError
from matinee_policies.features import UnitStateBatch
from matinee_policies.records import PAD

_LOG = Path("decision log")


@dataclass(frozen=True, slots=True)
class LiveRows:
    """Decisions as logged: columns of equal length `n`.

    Attributes:
        seq: place in the log, `int64 [n]`.
        ids: decision ids, `uint64 [n]`.
        unit: keyed pseudonyms, `uint64 [n]`.
        decided_at: UTC milliseconds, `int64 [n]`.
        snapshot: version of the policy, `int32 [n]`.
        served_by: `storage.records.ServedBy`, `int8 [n]`.
        feature_version: of the feature function, 0 for features that the caller gave, `int32 [n]`.
        catalogue_version: `uint64 [n]`.
        last_watched: catalogue row, -1 for none, `int32 [n]`.
        unit_state: as seen (`log_rows.pack_state`), `float32 [n, S]`.
        candidates: rows of items, `PAD` from the right, `int32 [n, K]`.
        scores: `float32 [n, K]`, 0 at padding.
        slate: rows of the items shown, `PAD` at empty slots, `int32 [n, L]`.
        propensities: of each slot, 1 at padding, `float64 [n, L]`.
        features: bytes of `float32 [K, d]` if the row has its features, else None, `object [n]`.
        base: which base of a mixture drew the slate, -1 where nothing says so, `int8 [n]`; None if
            no row says so.
        base_propensity: probability of that draw, `float64 [n]`; comes with `base`.
    """

    seq: Int64Array
    ids: UInt64Array
    unit: UInt64Array
    decided_at: Int64Array
    snapshot: IndexArray
    served_by: Int8Array
    feature_version: IndexArray
    catalogue_version: UInt64Array
    last_watched: IndexArray
    unit_state: Float32Array
    candidates: IndexArray
    scores: Float32Array
    slate: IndexArray
    propensities: FloatArray
    features: AnyArray
    base: Int8Array | None = None
    base_propensity: FloatArray | None = None

    def __len__(self) -> int:
        return int(self.ids.size)

    @property
    def shown(self) -> BoolArray:
        """Which slots held an item, `bool [n, L]`."""
        shown: BoolArray = self.slate != PAD
        return shown

    @property
    def shards(self) -> UInt8Array:
        """Shard of each unit, `uint8 [n]`."""
        return shard_of(self.unit)

    def positions(self) -> IndexArray:
        """Where each item shown stands among the candidates, `int32 [n, L]`.

        Raises:
            DataError: if an item was shown that was no candidate.
        """
        return slate_positions(self.candidates, self.slate, _LOG)

    def state(self) -> UnitStateBatch:
        """The state of the units as seen."""
        return unpack_state(self.unit_state, self.last_watched)

    def take(self, index: AnyArray) -> "LiveRows":
        """Some of the rows, by index or mask."""
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(
            self, **{name: part[index] for name, part in parts.items() if part is not None}
        )


def live_rows(decisions: Sequence[LoggedDecision]) -> LiveRows:
    """Arrays of logged decisions, in their order.

    Raises:
        ContextError: if the bytes of a row are no array of their type, or rows of one arm hold
            states of different lengths.
    """
    records = [one.record for one in decisions]

    def column(name: str, dtype: type) -> AnyArray:
        return np.array([getattr(record, name) for record in records], dtype=dtype)

    drawn = any(record.base is not None for record in records)
    return LiveRows(
        seq=np.array([one.seq for one in decisions], dtype=np.int64),
        ids=column("decision_id", np.uint64),
        unit=column("unit", np.uint64),
        decided_at=column("decided_at", np.int64),
        snapshot=column("snapshot", np.int32),
        served_by=column("served_by", np.int8),
        feature_version=column("feature_version", np.int32),
        catalogue_version=column("catalogue_version", np.uint64),
        last_watched=column("last_watched", np.int32),
        unit_state=_state_matrix(records),
        candidates=blob_matrix([one.candidates for one in records], "candidates", "<i4", fill=PAD),
        scores=blob_matrix([one.scores for one in records], "scores", "<f4", fill=0),
        slate=blob_matrix([one.slate for one in records], "slate", "<i4", fill=PAD),
        propensities=blob_matrix(
            [one.propensities for one in records], "propensities", "<f8", fill=1
        ),
        features=_objects([one.features for one in records]),
        base=_optional(records, lambda one: one.base, np.int8, fill=-1) if drawn else None,
        base_propensity=_optional(records, lambda one: one.base_propensity, np.float64, fill=1)
        if drawn
        else None,
    )


def same_shape(decisions: Sequence[LoggedDecision]) -> Iterator[tuple[AnyArray, LiveRows]]:
    """The decisions in groups of equal numbers of candidates and slots, with their places.

    A policy is asked again in the shape in which it was asked, so that padding has no say.

    Yields:
        Places among `decisions`, `int64 [m]`, and their rows.
    """
    groups: dict[tuple[int, int], list[int]] = {}
    for place, one in enumerate(decisions):
        shape = len(one.record.candidates), len(one.record.slate)
        groups.setdefault(shape, []).append(place)
    for places in groups.values():
        yield np.array(places, dtype=np.int64), live_rows([decisions[place] for place in places])


def blob_matrix(
    blobs: Sequence[bytes], name: str, dtype: str, *, fill: int, width: int | None = None
) -> Any:
    """Arrays from their bytes, one a row, padded on the right with `fill`.

    Args:
        blobs: little-endian arrays.
        name: for errors.
        dtype: of the items, as numpy writes it.
        fill: at padding.
        width: items of a row; by default those of the longest one.

    Raises:
        ContextError: if bytes do not make whole items, or more than `width`.
    """
    size = np.dtype(dtype).itemsize
    lengths = {len(blob) for blob in blobs}
    widest = max(lengths, default=0) // size if width is None else width
    if any(length % size or length > widest * size for length in lengths):
        raise ContextError(
            f"{name} of a logged decision must be at most {widest} items of {size} bytes, "
            f"got {max(lengths)} bytes"
        )
    if lengths == {widest * size}:
        # A copy, since kernels are compiled for arrays that can be written.
        return np.frombuffer(bytearray().join(blobs), dtype=dtype).reshape(len(blobs), widest)
    matrix = np.full((len(blobs), widest), fill, dtype=dtype)
    for row, blob in enumerate(blobs):
        matrix[row, : len(blob) // size] = np.frombuffer(blob, dtype=dtype)
    return matrix


def _state_matrix(records: Sequence[DecisionRecord]) -> Float32Array:
    blobs = [record.unit_state for record in records]
    if len({len(blob) for blob in blobs}) > 1:
        raise ContextError("unit states of one arm must have one length, got several")
    states: Float32Array = blob_matrix(blobs, "unit_state", "<f4", fill=0)
    return states


def _objects(values: Sequence[bytes | None]) -> AnyArray:
    objects = np.empty(len(values), dtype=object)
    objects[:] = values
    return objects


def _optional(
    records: Sequence[DecisionRecord],
    value: Callable[[DecisionRecord], float | None],
    dtype: type,
    *,
    fill: int,
) -> AnyArray:
    found = [value(record) for record in records]
    return np.array([fill if one is None else one for one in found], dtype=dtype)
