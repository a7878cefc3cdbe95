"""Take logged decisions again: the same snapshot, context and id must give the same slate."""

from dataclasses import dataclass

import numpy as np

from matinee_platform.decision_keys import decision_keys
from matinee_platform.learning.learning_arm import LearningArm
from matinee_platform.learning.live_contexts import CatalogueContexts
from matinee_platform.learning.live_rows import LiveRows, live_rows
from matinee_platform.learning.rebuilt_state import state_of
from matinee_platform.storage.ports import BarrierStore, EventReader, SnapshotStore
from matinee_platform.storage.records import LoggedDecision
from matinee_policies.arrays import BoolArray
from matinee_policies.policy import Policy, reads_features
from matinee_policies.records import SlateBatch


@dataclass(frozen=True, slots=True)
class Again:
    """Decisions taken again.

    Attributes:
        slates: as the policy chooses them now.
        equal: which of them are those of the log, with their propensities, `bool [n]`.
        features_compared: rows whose full features are in the log.
        features_unequal: of these, rows whose features are others now.
    """

    slates: SlateBatch
    equal: BoolArray
    features_compared: int
    features_unequal: int


def decide_again(arm: LearningArm, policy: Policy, rows: LiveRows) -> Again:
    """Decide logged decisions anew.

    Args:
        arm: that logged them.
        policy: in the state that chose them.
        rows: of one number of candidates and slots, as they were asked.

    Raises:
        ContextError: if the rows are of another catalogue or other features.
        DataError: if a slate shows what was no candidate.
    """
    arm.contexts.check(rows)
    contexts = arm.contexts.contexts(rows, with_features=reads_features(policy))
    slates = policy.decide(
        contexts, slots=rows.slate.shape[1], keys=decision_keys(arm.secret, rows.ids)
    )
    equal = (slates.positions == rows.positions()).all(axis=1)
    equal &= (slates.propensities == rows.propensities).all(axis=1)
    if slates.base is not None and slates.base_propensity is not None:
        if rows.base is None or rows.base_propensity is None:
            equal[:] = False
        else:
            equal &= (slates.base == rows.base) & (slates.base_propensity == rows.base_propensity)
    compared, unequal = _compare_features(arm, rows)
    return Again(slates, equal, compared, unequal)


def decide_one_again(
    arm: LearningArm,
    decision: LoggedDecision,
    *,
    reader: EventReader,
    barriers: BarrierStore,
    snapshots: SnapshotStore,
) -> Again:
    """Decide one logged decision of a policy anew, in the state that chose it.

    Args:
        arm: that logged it.
        decision: served by the policy.
        reader: of the log.
        barriers: of all arms.
        snapshots: of all arms; one that was thinned out is rebuilt.

    Raises:
        SnapshotError: if that state is damaged, not signed as it must be, or cannot be rebuilt.
        ContextError: if the decision is of another catalogue or other features.
    """
    state = state_of(
        arm, decision.record.snapshot, reader=reader, barriers=barriers, snapshots=snapshots
    )
    return decide_again(arm, arm.restored(state), live_rows([decision]))


def _compare_features(arm: LearningArm, rows: LiveRows) -> tuple[int, int]:
    """Rows whose features were logged for proof, and those of them that differ."""
    if not isinstance(arm.contexts, CatalogueContexts):
        return 0, 0
    sampled = np.flatnonzero(np.array([one is not None for one in rows.features], dtype=np.bool_))
    if not sampled.size:
        return 0, 0
    some = rows.take(sampled)
    features = arm.contexts.contexts(some).features
    pairs = zip(features, some.features.tolist(), strict=True)
    return int(sampled.size), sum(here.tobytes() != logged for here, logged in pairs)
