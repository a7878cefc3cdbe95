"""Records of the event log to rows of its tables and back, in the order of the columns."""

from collections.abc import Sequence
from typing import Any

from matinee_platform.storage.int64 import to_signed, to_unsigned
from matinee_platform.storage.records import (
    DecisionRecord,
    LoggedDecision,
    LoggedReward,
    RewardRecord,
    ServedBy,
)

Row = tuple[Any, ...]
"""Values of one row."""


def decision_row(logged: LoggedDecision) -> Row:
    """Values of `event_tables.DECISION_COLUMNS`."""
    one = logged.record
    return (
        logged.seq,
        to_signed(one.decision_id),
        one.body_digest,
        one.experiment,
        one.arm,
        to_signed(one.unit),
        one.bucket,
        one.decided_at,
        one.page,
        one.snapshot,
        one.feature_version,
        to_signed(one.catalogue_version),
        int(one.served_by),
        one.last_watched,
        one.unit_state,
        one.candidates,
        one.scores,
        one.slate,
        one.propensities,
        one.features,
        one.base,
        one.base_propensity,
    )


def decision_from_row(row: Sequence[Any]) -> LoggedDecision:
    """The inverse of `decision_row`."""
    return LoggedDecision(
        row[0],
        DecisionRecord(
            decision_id=to_unsigned(row[1]),
            body_digest=row[2],
            experiment=row[3],
            arm=row[4],
            unit=to_unsigned(row[5]),
            bucket=row[6],
            decided_at=row[7],
            page=row[8],
            snapshot=row[9],
            feature_version=row[10],
            catalogue_version=to_unsigned(row[11]),
            served_by=ServedBy(row[12]),
            last_watched=row[13],
            unit_state=row[14],
            candidates=row[15],
            scores=row[16],
            slate=row[17],
            propensities=row[18],
            features=row[19],
            base=row[20],
            base_propensity=row[21],
        ),
    )


def reward_row(logged: LoggedReward) -> Row:
    """Values of `event_tables.REWARD_COLUMNS`."""
    one = logged.record
    return (
        logged.seq,
        one.reward_key,
        one.body_digest,
        to_signed(one.decision_id),
        one.component,
        one.slot,
        one.value,
        one.received_at,
        one.occurred_at,
    )


def reward_from_row(row: Sequence[Any]) -> LoggedReward:
    """The inverse of `reward_row`."""
    return LoggedReward(
        row[0],
        RewardRecord(
            reward_key=row[1],
            body_digest=row[2],
            decision_id=to_unsigned(row[3]),
            component=row[4],
            slot=row[5],
            value=row[6],
            received_at=row[7],
            occurred_at=row[8],
        ),
    )
