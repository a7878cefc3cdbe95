"""What the key figures ask of a service's log, in SQL that SQLite and PostgreSQL know.

All of them speak of the decisions of one experiment from the first place after `started` on, with
`earliest <= decided_at < until`, and of their rewards. A reward counts as `storage.reward_states`
says, and as the statements of `analysis.unit_days` count it: within its window, at a slot that
showed something, the first of its decision, component and slot in the order of the log.

`:name` is a bound value; `+` keeps a condition from choosing the index. `after < seq <= upto` is a
range of the log's own order, so that each is read by an index, whatever the log's length.
"""

from collections.abc import Sequence
from typing import Any

_CHOSEN = """
    decisions.experiment = :experiment AND decided_at >= :earliest AND decided_at < :until
    AND +decisions.seq > :started
"""

_ROW = """
    decisions.seq, decisions.unit, arm, bucket, decided_at, served_by, catalogue_version, slate,
    propensities, candidates
"""

DECISIONS = f"""
    SELECT {_ROW} FROM decisions
    WHERE {_CHOSEN} AND decisions.seq > :after AND decisions.seq <= :upto ORDER BY decisions.seq
"""  # noqa: S608 - all of it is ours
"""Decisions of a range of the log."""

SLATES = f"""
    SELECT arm, catalogue_version, slate FROM decisions
    WHERE {_CHOSEN} AND decisions.seq > :after AND decisions.seq <= :upto
"""  # noqa: S608
"""What was shown in a range of the log."""

_COUNTS = f"""
    {_CHOSEN} AND component IN (:click, :watch) AND rewards.received_at < :until
    AND rewards.received_at <= decided_at + :window
    AND rewards.slot >= 0 AND length(slate) > 4 * rewards.slot
    AND substr(slate, 4 * rewards.slot + 1, 4) <> :empty
    AND NOT EXISTS (
        SELECT 1 FROM rewards AS earlier
        WHERE earlier.decision_id = rewards.decision_id AND earlier.component = rewards.component
            AND earlier.slot = rewards.slot AND earlier.seq < rewards.seq
            AND earlier.received_at <= decided_at + :window
    )
"""  # noqa: S608

_REWARD = "decisions.unit, component, value, decided_at"

NEW_REWARDS = f"""
    SELECT {_REWARD} FROM rewards JOIN decisions ON decisions.decision_id = rewards.decision_id
    WHERE rewards.seq > :after AND rewards.seq <= :upto AND decisions.seq <= :upto AND {_COUNTS}
"""  # noqa: S608
"""Rewards of a range of the log whose decision is there by its end."""

EARLY_REWARDS = f"""
    SELECT {_REWARD} FROM decisions JOIN rewards ON rewards.decision_id = decisions.decision_id
    WHERE decisions.seq > :after AND decisions.seq <= :upto AND rewards.seq <= :after AND {_COUNTS}
"""  # noqa: S608
"""Rewards from before a range of the log whose decision came within it."""

LAST = "SELECT last FROM seq"
"""Last place of the log."""

NEWEST = """
    SELECT decision_id FROM decisions WHERE seq <= :seq ORDER BY seq DESC LIMIT 1
"""
"""The newest decision up to a place: it tells one log from another."""


def of_units(units: Sequence[int], arms: Sequence[str]) -> tuple[str, str, dict[str, Any]]:
    """Statements for all decisions and all rewards of some units up to a place of the log.

    Args:
        units: signed, as the log holds them.
        arms: of the experiment; the index of units begins with them.

    Returns:
        Decisions as `DECISIONS`, rewards as `NEW_REWARDS`, and the values that both name besides.
    """
    values: dict[str, Any] = {f"unit_{place}": unit for place, unit in enumerate(units)}
    values |= {f"arm_{place}": arm for place, arm in enumerate(arms)}
    # Two at least: an IN of one name stands for a whole list in statements of the log.
    some = ", ".join(f":unit_{place}" for place in [*range(len(units)), 0])
    own = ", ".join(f":arm_{place}" for place in range(len(arms)))
    chosen = f"arm IN ({own}) AND decisions.unit IN ({some}) AND decisions.seq <= :upto"
    decisions = f"""
        SELECT {_ROW} FROM decisions WHERE {_CHOSEN} AND {chosen} ORDER BY decisions.seq
    """  # noqa: S608
    rewards = f"""
        SELECT {_REWARD} FROM decisions JOIN rewards ON rewards.decision_id = decisions.decision_id
        WHERE {chosen} AND rewards.seq <= :upto AND {_COUNTS}
    """  # noqa: S608
    return decisions, rewards, values
