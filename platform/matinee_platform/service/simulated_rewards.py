"""Which rewards may bring a time of their own: those of decisions of simulated users."""

from collections.abc import Collection

from matinee_platform.service.errors import InvalidError
from matinee_platform.service.running import Service
from matinee_platform.storage.ports import EventReader


async def untimed_decisions(service: Service, numbers: Collection[int]) -> dict[int, InvalidError]:
    """Decisions whose rewards must not bring a time, and why.

    Args:
        service: as it runs.
        numbers: decisions whose rewards bring one.

    Raises:
        LogUnavailableError: the log cannot be read.
    """
    if not numbers:
        return {}

    def find(reader: EventReader) -> dict[int, str]:
        return reader.experiments_of(sorted(numbers))

    found = await service.threads.read(find)
    refused: dict[int, InvalidError] = {}
    for number in numbers:
        key = found.get(number)
        if key is None:
            refused[number] = InvalidError(
                "at: a reward that brings its own time comes after its decision, which is not in "
                "the log"
            )
        elif not service.parts.is_simulated(key):
            refused[number] = InvalidError(
                f"at: it must not be given: experiment {key!r} is not marked simulated, so the "
                "clock of the service tells when"
            )
    return refused
