"""What the live service stores: decisions, rewards, barriers. Storage shapes live in `tables.py`.

Arrays are kept as little-endian bytes; a decision of 100 candidates and 10 slots takes about
1.2 KB. Numbers of 64 bits without sign (ids, pseudonyms) are plain Python ints here.
"""

from dataclasses import dataclass
from enum import IntEnum

MAX_ID = 2**64 - 1
"""Largest decision id, pseudonym and catalogue version."""


class ServedBy(IntEnum):
    """Who chose a slate."""

    POLICY = 0
    """The arm's policy: learned from, re-scored."""
    FALLBACK = 1
    """The order of the candidates, because the policy failed or was late: counted, not learned."""
    DEFAULT = 2
    """The order of the candidates, because the arm is an apprentice or in the holdout. Apprentices
    learn from it."""


class RewardState(IntEnum):
    """What becomes of a reward event; a function of log order and times (`reward_states.py`)."""

    JOINED = 0
    """Within its window, the first of its decision, component and slot."""
    EARLY = 1
    """Its decision is not known yet; it is judged anew when the decision comes."""
    LATE = 2
    """Its window had closed."""
    DUPLICATE = 3
    """Another event of the same decision, component and slot came before."""
    ORPHAN = 4
    """The decision showed nothing at its slot, or never came."""


class Outcome(IntEnum):
    """What an append did."""

    STORED = 0
    REPEATED = 1
    """The id was there with the same body: the first answer stands."""
    CONFLICT = 2
    """The id was there with another body: nothing was stored."""
    CAPPED = 3
    """The decision has as many rewards as it may have: nothing was stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRecord:
    """One decision, complete: with its snapshot and catalogue it can be taken again.

    Attributes:
        decision_id: within 0 and 2^64 - 1, distinct.
        body_digest: 16 bytes, BLAKE2b of the request as parsed; tells a repeated request from
            another one under the same id.
        experiment: key of the experiment.
        arm: name of the arm.
        unit: keyed pseudonym.
        bucket: assignment bucket in ten-thousandths.
        decided_at: server's time, UTC milliseconds.
        page: page within the unit's session, from 0.
        snapshot: version of the policy.
        feature_version: of the feature function; 0 for features that the caller gave.
        catalogue_version: as in the offline log; 0 where the caller names the items.
        served_by: who chose.
        last_watched: catalogue row, -1 for none.
        unit_state: state as seen (`log_rows.pack_state`), `float32 [S]`.
        candidates: rows of items, `int32 [K]`, -1 from the right.
        scores: candidate scores, `float32 [K]`.
        slate: rows of the items shown, `int32 [L]`, -1 for empty slots.
        propensities: of each slot, `float64 [L]`.
        features: `float32 [K, d]` if the caller gave them, or of a sampled decision; else None.
        base: which base of a mixture drew the slate; None for other policies.
        base_propensity: probability of that draw.
    """

    decision_id: int
    body_digest: bytes
    experiment: str
    arm: str
    unit: int
    bucket: int
    decided_at: int
    page: int
    snapshot: int
    feature_version: int
    catalogue_version: int
    served_by: ServedBy
    last_watched: int
    unit_state: bytes
    candidates: bytes
    scores: bytes
    slate: bytes
    propensities: bytes
    features: bytes | None = None
    base: int | None = None
    base_propensity: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardRecord:
    """One reward event.

    Attributes:
        reward_key: 16 bytes, BLAKE2b of the caller's reward id: the id itself is not kept.
        body_digest: 16 bytes, of the event as parsed.
        decision_id: decision that it names, known or not.
        component: index into `log_rows.COMPONENTS`.
        slot: slot within the slate, -1 for the whole page.
        value: 1 for a click or a return visit, watched fraction, stars.
        received_at: server's time, UTC milliseconds; windows go by it.
        occurred_at: the caller's time, for analysis only; None if not given.
    """

    reward_key: bytes
    body_digest: bytes
    decision_id: int
    component: int
    slot: int
    value: float
    received_at: int
    occurred_at: int | None = None


@dataclass(frozen=True, slots=True)
class LoggedDecision:
    """A decision as the log holds it, with its place in the log's order."""

    seq: int
    record: DecisionRecord


@dataclass(frozen=True, slots=True)
class LoggedReward:
    """A reward as the log holds it, with its place in the log's order."""

    seq: int
    record: RewardRecord


@dataclass(frozen=True, slots=True)
class DecisionReceipt:
    """What became of a decision that was handed to the log.

    Attributes:
        outcome: what was done.
        seq: place in the log; -1 while the database is away and the spool holds it.
        stored: the decision that stands, if it is another one than was handed in (REPEATED).
    """

    outcome: Outcome
    seq: int
    stored: DecisionRecord | None = None


@dataclass(frozen=True, slots=True)
class RewardReceipt:
    """What became of a reward that was handed to the log.

    Attributes:
        outcome: what was done.
        seq: place in the log; -1 while the database is away and the spool holds it.
        state: as known when it was stored; None if spooled or a conflict.
    """

    outcome: Outcome
    seq: int
    state: RewardState | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Barrier:
    """A point in the log at which a learner made a new snapshot.

    Version `v` has learned, of every decision of its arm with `seq <= seq` of the barrier, each
    component whose window ended at `time_ms` or before, with the rewards up to `seq`, once. Version
    0 is the state before the first decision: its barrier has `seq = 0`.

    Attributes:
        experiment: key.
        arm: name.
        version: of the snapshot, from 0, without gaps.
        seq: last place of the log that was read.
        time_ms: server's time up to which windows count as closed.
        snapshot_hash: content hash of the snapshot.
        created_at: when, UTC milliseconds.
        genesis: whether replay starts here: version 0, and the first one after a unit was forgotten
            or raw events were deleted.
    """

    experiment: str
    arm: str
    version: int
    seq: int
    time_ms: int
    snapshot_hash: str
    created_at: int
    genesis: bool = False
