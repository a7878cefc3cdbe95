"""Whether the learner that a service supervises runs, from its last sign of life."""

from typing import Literal

from matinee_platform.learning.learner_status import LearnerStatus

LEARNER_AWAY_MS = 60_000
"""Age of the learner's last sign of life at which it counts as away, and how long a service that
has just started waits for the first one."""


def learner_condition(
    status: LearnerStatus | None, *, supervised: bool, started_ms: int, now_ms: int
) -> Literal["ok", "away", "none"]:
    """What readiness says of the learner.

    Args:
        status: what the learner said last, None if nothing; it may be of one long gone.
        supervised: whether the service runs one.
        started_ms: when this process of the service started, UTC milliseconds.
        now_ms: UTC milliseconds.

    Example:
        >>> learner_condition(None, supervised=True, started_ms=0, now_ms=60_000)
        'ok'
        >>> learner_condition(None, supervised=True, started_ms=0, now_ms=60_001)
        'away'
    """
    if not supervised:
        return "none"
    seen_ms = started_ms if status is None else max(started_ms, status.beat_ms)
    return "away" if now_ms - seen_ms > LEARNER_AWAY_MS else "ok"
