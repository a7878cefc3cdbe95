"""What `event_log` asks of a service's database, in SQL that SQLite and PostgreSQL know.

All of them speak of the decisions of one experiment from the first place after `started`
up to one place of the log, with `earliest <= decided_at < until`, and of their rewards up to the
same place and time. A unit's days are of 24 hours
from its first decision; a visit begins where nothing of the unit came within `gap` before. A reward
counts as `storage.reward_states` says: within its window, at a slot that showed something, the
first of its decision, component and slot in the order of the log.

`:name` is a bound value. `slate` holds little-endian `int32` rows, so that `{hex}` of an empty slot
is eight F; no other eight digits within a slate are, since rows are below 2^31 (their last byte
begins with a digit below 8): removing them counts empty slots.
"""

_WHERE = """
    experiment = :experiment AND decided_at >= :earliest AND decided_at < :until
    AND seq > :started AND seq <= :upto
"""

_CHOSEN = f"""
    SELECT seq, decision_id, unit, arm, bucket, decided_at, served_by, slate,
        min(decided_at) OVER (PARTITION BY unit) AS exposed
    FROM decisions WHERE {_WHERE}
"""  # noqa: S608 - all of it is ours

ARMS = f"""
    SELECT arm, count(*) FROM decisions WHERE {_WHERE} GROUP BY arm
"""  # noqa: S608
"""Decisions by arm."""

TWICE = f"""
    SELECT decision_id, count(*) FROM decisions WHERE {_WHERE}
    GROUP BY decision_id HAVING count(*) > 1 ORDER BY decision_id
"""  # noqa: S608
"""Decision ids that occur more than once."""

BACKWARDS = f"""
    SELECT decision_id, latest - decided_at FROM (
        SELECT seq, decision_id, decided_at, max(decided_at) OVER (ORDER BY seq) AS latest
        FROM decisions WHERE {_WHERE}
    ) AS ordered WHERE latest - decided_at > :tolerance ORDER BY seq
"""  # noqa: S608
"""Decisions that are earlier than one before them in the log, and by how much."""

UNIT_DAYS = f"""
    WITH chosen AS ({_CHOSEN}), visits AS (
        SELECT seq, unit, arm, bucket, decided_at, served_by, slate, exposed,
            decided_at - lag(decided_at) OVER (PARTITION BY unit ORDER BY decided_at, seq) AS pause
        FROM chosen
    )
    SELECT unit, (decided_at - exposed) / :day AS day,
        min(exposed), min(arm), max(arm), min(bucket), max(bucket), min(decided_at),
        sum(CASE WHEN pause <= :gap THEN 0 ELSE 1 END), count(*),
        sum(length(replace({{hex}}, 'FFFFFFFF', '')) / 8),
        sum(CASE WHEN served_by = :fallback THEN 1 ELSE 0 END)
    FROM visits GROUP BY unit, day ORDER BY unit, day
"""  # noqa: S608
"""Sums of decisions by unit and day."""

REWARDS = f"""
    WITH chosen AS ({_CHOSEN}), counted AS (
        SELECT unit, (decided_at - exposed) / :day AS day, component, value,
            row_number() OVER (
                PARTITION BY rewards.decision_id, component, slot ORDER BY rewards.seq
            ) AS place
        FROM chosen JOIN rewards ON rewards.decision_id = chosen.decision_id
        WHERE component IN (:click, :watch) AND rewards.seq <= :upto AND received_at < :until
            AND received_at <= decided_at + :window
            AND slot >= 0 AND length(slate) > 4 * slot
            AND substr(slate, 4 * slot + 1, 4) <> :empty
    )
    SELECT unit, day,
        sum(CASE WHEN component = :click AND value > 0 THEN 1 ELSE 0 END),
        sum(CASE WHEN component = :watch THEN value ELSE 0 END)
    FROM counted WHERE place = 1 GROUP BY unit, day ORDER BY unit, day
"""  # noqa: S608
"""Sums of clicks and watches by unit and day."""

VALUES = f"""
    SELECT rewards.decision_id, component, value
    FROM (SELECT decision_id FROM decisions WHERE {_WHERE}) AS chosen
    JOIN rewards ON rewards.decision_id = chosen.decision_id
    WHERE component IN (:click, :watch) AND rewards.seq <= :upto
        AND (value IS NULL OR NOT (value >= 0 AND value <= 1))
    ORDER BY rewards.seq
"""  # noqa: S608
"""Rewards whose value is none."""

ORPHANS = f"""
    SELECT count(*)
    FROM (SELECT decision_id, slate FROM decisions WHERE {_WHERE}) AS chosen
    JOIN rewards ON rewards.decision_id = chosen.decision_id
    WHERE component IN (:click, :watch) AND rewards.seq <= :upto AND received_at < :until
        AND NOT (slot >= 0 AND length(slate) > 4 * slot
            AND substr(slate, 4 * slot + 1, 4) <> :empty)
"""  # noqa: S608
"""Clicks and watches of a slot that showed nothing.

One whose decision is not in the log names no experiment: it is nobody's here.
"""

STATES = f"""
    SELECT decisions.unit, unit_state FROM decisions JOIN (
        SELECT min(seq) AS seq FROM decisions WHERE {_WHERE} GROUP BY unit
    ) AS firsts ON firsts.seq = decisions.seq
"""  # noqa: S608
"""State at the first decision of each unit."""
