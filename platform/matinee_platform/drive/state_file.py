"""How far a drive has come, in one small file: it goes on from the last day that was complete.

What was sent of a day that was not is sent again: the ids are the same, so the service answers as
it did and counts nothing twice.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matinee_platform.drive.arm_users import ArmUsers
from matinee_platform.drive.plan import DrivePlan
from matinee_policies.array_file import read_arrays, write_arrays
from matinee_policies.arrays import AnyArray
from matinee_policies.errors import ConfigError

_KIND = "drive"


def identity(plan: DrivePlan) -> dict[str, Any]:
    """What must be the same for a drive to go on; more days are the same drive."""
    settings = plan.settings.model_dump(mode="json", exclude={"days", "analysis"})
    return {"settings": settings, "experiment": plan.experiment.model_dump(mode="json")}


def save_state(
    path: Path,
    plan: DrivePlan,
    arms: Sequence[ArmUsers],
    *,
    next_day: int,
    facts: Mapping[str, Any],
) -> None:
    """Write the file; it appears whole or not at all.

    Args:
        path: of the file.
        plan: of the drive.
        arms: users of each arm, between two days.
        next_day: the day that comes.
        facts: JSON values to go on with.
    """
    arrays: dict[str, AnyArray] = {}
    for arm in arms:
        arrays |= {f"{arm.name}/{name}": array for name, array in arm.arrays().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    header = {"identity": identity(plan), "next_day": next_day, "facts": dict(facts)}
    write_arrays(path, kind=_KIND, arrays=arrays, header=header)


def load_state(
    path: Path, plan: DrivePlan, arms: Sequence[ArmUsers]
) -> tuple[int, Mapping[str, Any]]:
    """Take up what `save_state` wrote.

    Returns:
        The day that comes, and the facts.

    Raises:
        ConfigError: it is not there, or of another drive.
        DataError: it is damaged.
    """
    if not path.exists():
        raise ConfigError(f"no drive to go on with at {path}; without --resume it begins anew")
    arrays, header = read_arrays(path, kind=_KIND, names=None)
    wanted = identity(plan)
    if header["identity"] != wanted:
        raise ConfigError(
            f"{path} is of another drive: run, users and experiment must be the same to go on; "
            "without --resume it begins anew"
        )
    next_day: int = header["next_day"]
    for arm in arms:
        own = {
            name.removeprefix(f"{arm.name}/"): array
            for name, array in arrays.items()
            if name.startswith(f"{arm.name}/")
        }
        arm.restore(own, next_day=next_day)
    return next_day, header["facts"]
