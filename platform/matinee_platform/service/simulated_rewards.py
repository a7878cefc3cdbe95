"""Which rewards bring a time of their own: those of decisions of simulated users, and no others."""

from collections.abc import Collection

from matinee_platform.service.errors import InvalidError, OverloadedError
from matinee_platform.service.running import Service
from matinee_platform.storage.errors import LogUnavailableError
from matinee_platform.storage.ports import EventReader


async def time_faults(
    service: Service, asked: Collection[tuple[int, bool]]
) -> dict[tuple[int, bool], InvalidError]:
    """Rewards that bring a time and must not, or bring none and must.

    Those without a time are looked up only where there are simulated experiments and the log is at
    hand: rewards of people never wait for a log that is away.

    Args:
        service: as it runs.
        asked: decision of a reward, and whether the reward brings a time.

    Returns:
        What is wrong with those that cannot be taken in.

    Raises:
        LogUnavailableError: the log cannot be read, and some bring a time.
    """
    timed = {number for number, brings in asked if brings}
    untimed: set[int] = set()
    if service.parts.has_simulated() and service.parts.appender.state == "ok":
        untimed = {number for number, brings in asked if not brings}
    if not timed and not untimed:
        return {}

    def find(reader: EventReader) -> dict[int, str]:
        return reader.experiments_of(sorted(timed | untimed))

    try:
        found = await service.threads.read(find)
    except (LogUnavailableError, OverloadedError):
        if timed:
            raise
        return {}
    refused: dict[tuple[int, bool], InvalidError] = {}
    for number in timed:
        key = found.get(number)
        if key is None:
            refused[number, True] = InvalidError(
                "at: a reward that brings its own time comes after its decision, which is not in "
                "the log"
            )
        elif not service.parts.is_simulated(key):
            refused[number, True] = InvalidError(
                f"at: it must not be given: experiment {key!r} is not marked simulated, so the "
                "clock of the service tells when"
            )
    for number in untimed:
        key = found.get(number)
        if key is not None and service.parts.is_simulated(key):
            refused[number, False] = InvalidError(
                f"at: it must be given: experiment {key!r} is marked simulated, and its "
                "users bring their own time"
            )
    return refused
