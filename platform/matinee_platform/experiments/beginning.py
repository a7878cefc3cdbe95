"""From where on rows of the log count for an experiment."""


def rows_after(since_ms: int, since_seq: int | None) -> tuple[int, int]:
    """The earliest time of a decision that counts, and the place after which it must be.

    Times of decisions are told by the machine that decided, the time of a start by the one that
    was asked for it: where they differ, only the place tells before from after.

    Args:
        since_ms: of the start, UTC milliseconds.
        since_seq: last place of the log at the start; None where a former version started the
            experiment and noted the time alone, which decides then.

    Example:
        >>> rows_after(1_767_225_600_000, 12)
        (0, 12)
        >>> rows_after(1_767_225_600_000, None)
        (1767225600000, 0)
    """
    return (since_ms, 0) if since_seq is None else (0, since_seq)
