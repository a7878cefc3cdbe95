"""One decision from end to end: candidates -> features -> policy -> a row for the log.

The engine knows no world and no clock: an offline run calls it with many simulated units, a service
with one. It does not write; the caller logs the rows before it answers.
"""

from dataclasses import dataclass

import numpy as np

from matinee_platform.context_builder import ContextBuilder
from matinee_platform.decision_keys import decision_keys
from matinee_platform.log_rows import SERVED_BY_POLICY, DecisionRows, pack_state
from matinee_policies.arrays import AnyArray, Float32Array, IndexArray, UInt64Array
from matinee_policies.features import (
    FEATURE_VERSION,
    ItemFeatures,
    UnitStateBatch,
    rows_of,
    shown_features,
)
from matinee_policies.policy import Policy, reads_features
from matinee_policies.records import ContextBatch, SlateBatch

FEATURE_SAMPLE = 100
"""One decision in so many logs its full features."""


@dataclass(frozen=True, slots=True)
class Decisions:
    """Slates decided for `n` units, with what their log rows and their learning need.

    Attributes:
        ids: decision ids, `uint64 [n]`.
        contexts: what the policy saw.
        slates: what it chose.
        snapshot: version of the policy that chose.
        catalogue_version: of the item features, first 16 hex digits as a number.
        shown: features of the items shown, `float32 [n, L, d]`; without columns if the policy does
            not learn.
    """

    ids: UInt64Array
    contexts: ContextBatch
    slates: SlateBatch
    snapshot: int
    catalogue_version: int
    shown: Float32Array

    def sampled(self) -> IndexArray:
        """Rows whose full features are logged: about one in `FEATURE_SAMPLE`, by decision id."""
        return np.flatnonzero(self.ids % np.uint64(FEATURE_SAMPLE) == 0).astype(np.int32)


class Engine:
    """Decides slates of one arm.

    Args:
        policy: the arm's policy.
        contexts: builds what the policy sees, the rules of the arm's pages among it.
        slots: items per slate.
        secret: 16 bytes that key the random draws of this arm.
    """

    def __init__(
        self, policy: Policy, *, contexts: ContextBuilder, slots: int, secret: bytes
    ) -> None:
        self.policy = policy
        self.snapshot = 0
        self._contexts = contexts
        self._catalogue_version = catalogue_number(contexts.items)
        self._slots = slots
        self._secret = secret

    def decide(
        self,
        ids: UInt64Array,
        state: UnitStateBatch,
        candidates: IndexArray,
        scores: Float32Array,
    ) -> Decisions:
        """Decide one slate per row.

        Args:
            ids: decision ids, `uint64 [n]`; the same id draws the same slate.
            state: unit state as seen.
            candidates: catalogue rows, `int32 [n, K]`.
            scores: candidate scores, `float32 [n, K]`.

        Raises:
            ContextError: if the policy breaks a rule of the arm's pages.
        """
        contexts = self._contexts.build(
            state, candidates, scores, with_features=reads_features(self.policy)
        )
        slates = self.policy.decide(
            contexts, slots=self._slots, keys=decision_keys(self._secret, ids)
        )
        if self._contexts.rules is not None:
            self._contexts.rules.check(contexts, slates, policy=self.policy.name)
        if self.policy.learns:
            shown = shown_features(contexts.features, slates.positions)
        else:
            shown = np.empty((*slates.positions.shape, 0), dtype=np.float32)
        return Decisions(ids, contexts, slates, self.snapshot, self._catalogue_version, shown)

    def features(
        self, decisions: Decisions, state: UnitStateBatch, rows: IndexArray
    ) -> Float32Array:
        """Full features of some decisions, whether or not the policy read them.

        Args:
            decisions: as decided by this engine.
            state: unit state as seen, of all of them.
            rows: which decisions, `int32 [m]`.

        Returns:
            `float32 [m, K, d]`.
        """
        contexts = decisions.contexts
        if contexts.features.shape[2]:
            return contexts.features[rows]
        return self._contexts.features(
            rows_of(state, rows), contexts.candidates[rows], contexts.scores[rows]
        )


def catalogue_number(items: ItemFeatures) -> int:
    """The version of the item features as the number that the log holds."""
    return int(items.version, 16)


def log_rows(
    decisions: Decisions,
    state: UnitStateBatch,
    *,
    unit: UInt64Array,
    bucket: AnyArray,
    day: int,
    page: int,
    decided_at: int,
) -> DecisionRows:
    """Rows of the decision log.

    Args:
        decisions: as decided.
        state: unit state as seen.
        unit: pseudonyms, `uint64 [n]`.
        bucket: assignment buckets, `int16 [n]`.
        day: day of the run.
        page: page within the session.
        decided_at: UTC milliseconds since 1970.
    """
    n = decisions.ids.size
    return DecisionRows(
        decision_id=decisions.ids,
        unit=unit,
        bucket=bucket,
        day=np.full(n, day, dtype=np.int16),
        page=np.full(n, page, dtype=np.int16),
        decided_at=np.full(n, decided_at, dtype=np.int64),
        snapshot=np.full(n, decisions.snapshot, dtype=np.int32),
        feature_version=np.full(n, FEATURE_VERSION, dtype=np.int16),
        catalogue_version=np.full(n, decisions.catalogue_version, dtype=np.uint64),
        served_by=np.full(n, SERVED_BY_POLICY, dtype=np.int8),
        last_watched=state.last_watched,
        unit_state=pack_state(state),
        candidates=decisions.contexts.candidates,
        scores=decisions.contexts.scores,
        slate=decisions.slates.items,
        propensities=decisions.slates.propensities,
    )
