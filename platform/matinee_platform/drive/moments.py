"""Times of simulated users as they travel."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(at_ms: int) -> datetime:
    """UTC milliseconds as a moment, exactly.

    Example:
        >>> moment(1_577_836_800_001).isoformat()
        '2020-01-01T00:00:00.001000+00:00'
    """
    return _EPOCH + timedelta(milliseconds=at_ms)
