"""What a row of the decision log and of the reward log holds, as arrays.

One row of `decisions` is enough, with the catalogue and the snapshot it names, to re-score its
slate; one row of `rewards` is one event. The tables of files are in `log_schema.py`.
"""

from dataclasses import dataclass

import numpy as np

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
