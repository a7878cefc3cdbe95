"""Whether an interrupted run may go on: the same settings, on the same versions."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from matinee_platform.json_file import read_json
from matinee_policies.errors import ConfigError


def differences(stored: Any, wanted: Any, place: str = "") -> Iterator[str]:
    """Settings that differ, one line each.

    Args:
        stored: JSON values of the interrupted run.
        wanted: JSON values asked for now.
        place: dotted path of both.

    Example:
        >>> list(differences({"users": 10, "days": 3}, {"users": 20, "days": 3}))
        ['users: 10 in the interrupted run, 20 now']
    """
    if isinstance(stored, dict) and isinstance(wanted, dict):
        for key in sorted({*stored, *wanted}):
            deeper = f"{place}.{key}" if place else str(key)
            yield from differences(stored.get(key), wanted.get(key), deeper)
    elif isinstance(stored, list) and isinstance(wanted, list) and len(stored) == len(wanted):
        for number, (one, other) in enumerate(zip(stored, wanted, strict=True)):
            name = one.get("name", number) if isinstance(one, dict) else number
            yield from differences(one, other, f"{place}.{name}")
    elif stored != wanted:
        yield f"{place}: {stored!r} in the interrupted run, {wanted!r} now"


def check_same(
    path: Path, wanted: Any, *, what: str, read: Callable[[Any], Any] = lambda stored: stored
) -> None:
    """Refuse to go on unless a file of the interrupted run holds what is asked for now.

    Args:
        path: JSON file of the run's folder.
        wanted: JSON values asked for now.
        what: what the file holds, in a word.
        read: what a file of an older version says today, from what it holds.

    Raises:
        ConfigError: listing every difference.
        DataError: if the file is missing or not JSON.
    """
    found = list(differences(read(read_json(path)), wanted))
    if found:
        raise ConfigError(
            f"{path.parent} cannot be resumed, since its {what} differ; resume with the same or "
            "start anew with --overwrite:\n  " + "\n  ".join(found)
        )
