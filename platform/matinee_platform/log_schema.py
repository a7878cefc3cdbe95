"""The columns of the decision log and of the reward log, as Arrow tables.

Arrays have a fixed length per run: `S` state values, `K` candidates, `L` slots.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from matinee_platform.log_rows import COMPONENTS, DecisionRows, RewardRows
from matinee_policies.arrays import AnyArray, Float32Array, UInt64Array

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
