"""The columns of the decision log and of the reward log.

One row of `decisions` is enough, with the catalogue and the snapshot it names, to re-score its
slate; one row of `rewards` is one event. Arrays have a fixed length per run: `S` state values, `K`
candidates, `L` slots.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from matinee_policies.arrays import (
    AnyArray,
    Float32Array,
    FloatArray,
    IndexArray,
    UInt64Array,
)
from matinee_policies.features import UnitStateBatch

SERVED_BY_POLICY = 0
"""Code in `served_by` of a slate that the arm's policy chose."""

COMPONENTS = ("click", "watch", "rating", "return_visit")
"""Reward components by their code in the reward log."""

WHOLE_PAGE = -1
"""Slot of a reward that belongs to the page and to no slot of it."""


@dataclass(frozen=True, slots=True)
class DecisionRows:
    """Decisions as logged: columns of equal length `n`.

    Attributes:
        decision_id: `uint64 [n]`, distinct.
        unit: keyed pseudonym, `uint64 [n]`.
        bucket: assignment bucket in ten-thousandths, `int16 [n]`.
        day: day of the run, from 0, `int16 [n]`.
        page: page within the session, from 0, `int16 [n]`.
        decided_at: UTC, milliseconds since 1970, `int64 [n]`.
        snapshot: version of the policy that chose, `int32 [n]`.
        feature_version: of the feature function, `int16 [n]`.
        catalogue_version: of the item features, first 16 hex digits as a number, `uint64 [n]`.
        served_by: `SERVED_BY_POLICY`, `int8 [n]`.
        last_watched: catalogue row, -1 for none, `int32 [n]`.
        unit_state: state as seen (`pack_state`), `float32 [n, S]`.
        candidates: catalogue rows, `int32 [n, K]`.
        scores: candidate scores, `float32 [n, K]`.
        slate: catalogue rows shown, `int32 [n, L]`, -1 for empty slots.
        propensities: of each slot, `float64 [n, L]`.
    """

    decision_id: UInt64Array
    unit: UInt64Array
    bucket: AnyArray
    day: AnyArray
    page: AnyArray
    decided_at: AnyArray
    snapshot: IndexArray
    feature_version: AnyArray
    catalogue_version: UInt64Array
    served_by: AnyArray
    last_watched: IndexArray
    unit_state: Float32Array
    candidates: IndexArray
    scores: Float32Array
    slate: IndexArray
    propensities: FloatArray


@dataclass(frozen=True, slots=True)
class RewardRows:
    """Reward events as logged: columns of equal length `n`.

    Attributes:
        decision_id: decision that the event belongs to, `uint64 [n]`.
        component: index into `COMPONENTS`, `int8 [n]`.
        slot: slot within the slate, `WHOLE_PAGE` for the page, `int16 [n]`.
        value: 1 for a click or a return visit, watched fraction, stars, `float32 [n]`.
        day: day of the run on which it happened, `int16 [n]`.
    """

    decision_id: UInt64Array
    component: AnyArray
    slot: AnyArray
    value: Float32Array
    day: AnyArray


def pack_state(state: UnitStateBatch) -> Float32Array:
    """Unit state as one row of floats; `last_watched` is a column of its own."""
    return np.ascontiguousarray(
        np.concatenate(
            [
                state.genre_history,
                state.genre_exposure,
                state.activity[:, None],
                state.days_since_visit[:, None],
            ],
            axis=1,
        )
    )


def unpack_state(unit_state: Float32Array, last_watched: IndexArray) -> UnitStateBatch:
    """The inverse of `pack_state`."""
    genres = (unit_state.shape[1] - 2) // 2
    return UnitStateBatch(
        genre_history=np.ascontiguousarray(unit_state[:, :genres]),
        genre_exposure=np.ascontiguousarray(unit_state[:, genres : 2 * genres]),
        last_watched=last_watched,
        activity=np.ascontiguousarray(unit_state[:, -2]),
        days_since_visit=np.ascontiguousarray(unit_state[:, -1]),
    )


_WORDS = {
    "served_by": pa.array(["policy", "fallback"]),
    "component": pa.array(list(COMPONENTS)),
}
"""The words of dictionary columns, in the order of their codes."""


def decision_table(rows: DecisionRows) -> pa.Table:
    """Arrow table of decisions; the arrays are not copied."""
    return pa.table(
        {
            "decision_id": rows.decision_id,
            "unit": rows.unit,
            "bucket": rows.bucket,
            "day": rows.day,
            "page": rows.page,
            "decided_at": pa.array(rows.decided_at).cast(pa.timestamp("ms", tz="UTC")),
            "snapshot": rows.snapshot,
            "feature_version": rows.feature_version,
            "catalogue_version": rows.catalogue_version,
            "served_by": pa.DictionaryArray.from_arrays(
                pa.array(rows.served_by), _WORDS["served_by"]
            ),
            "last_watched": rows.last_watched,
            "unit_state": _fixed(rows.unit_state),
            "candidates": _fixed(rows.candidates),
            "scores": _fixed(rows.scores),
            "slate": _fixed(rows.slate),
            "propensities": _fixed(rows.propensities),
        }
    )


def reward_table(rows: RewardRows) -> pa.Table:
    """Arrow table of reward events."""
    return pa.table(
        {
            "decision_id": rows.decision_id,
            "component": pa.DictionaryArray.from_arrays(
                pa.array(rows.component), _WORDS["component"]
            ),
            "slot": rows.slot,
            "value": rows.value,
            "day": rows.day,
        }
    )


def feature_table(decision_ids: UInt64Array, features: Float32Array) -> pa.Table:
    """Arrow table of full features `[n, K, d]`, flattened to `K d` values a row."""
    flat = features.reshape(decision_ids.size, -1)
    return pa.table({"decision_id": decision_ids, "features": _fixed(flat)})


def column_values(table: pa.Table) -> dict[str, AnyArray]:
    """The columns of a log table as the arrays they were written from."""
    return {name: _values(name, table[name].combine_chunks()) for name in table.column_names}


def _values(name: str, column: pa.Array) -> AnyArray:
    if pa.types.is_fixed_size_list(column.type):
        return matrix(column)
    if name in _WORDS:
        # A file keeps the words, not the codes that they had.
        column = pc.index_in(column.cast(pa.string()), value_set=_WORDS[name]).cast(pa.int8())
    elif pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    values: AnyArray = column.to_numpy(zero_copy_only=False)
    return values


def matrix(column: pa.ChunkedArray | pa.Array) -> AnyArray:
    """A fixed-size list column as a matrix `[n, width]`."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    values: AnyArray = column.flatten().to_numpy(zero_copy_only=False)
    return values.reshape(len(column), column.type.list_size)


def _fixed(values: AnyArray) -> pa.FixedSizeListArray:
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
