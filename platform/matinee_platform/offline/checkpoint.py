"""Keep the state of an arm's run at the end of days, so that an interrupted run goes on from there.

    RUN/checkpoints/ARM/day-DDDDD.npz    what changes while the arm runs, but for the wide rows
                                         of users, which stay in RUN/state/ARM (user_rows.py)

A checkpoint appears whole or not at all and replaces the one before. What the run wrote after its
last checkpoint is discarded, and written again bit for bit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from matinee_platform.part_writer import PART_SUFFIX
from matinee_policies.array_file import read_arrays, write_arrays
from matinee_policies.arrays import AnyArray
from matinee_policies.errors import DataError

_KIND = "checkpoint"
_CHECKPOINTS = "checkpoints"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """State at the end of a day.

    Attributes:
        day: the last day that is complete.
        arrays: by name.
        header: JSON values.
    """

    day: int
    arrays: Mapping[str, AnyArray]
    header: Mapping[str, Any]


def save_checkpoint(run: Path, arm: str, checkpoint: Checkpoint) -> None:
    """Write a checkpoint of one arm, then delete the older ones."""
    folder = run / _CHECKPOINTS / arm
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"day-{checkpoint.day:05d}.npz"
    write_arrays(path, kind=_KIND, arrays=checkpoint.arrays, header=checkpoint.header)
    for older in folder.glob("day-*.npz"):
        if older != path:
            older.unlink()


def last_checkpoint(run: Path, arm: str) -> Checkpoint | None:
    """The last checkpoint of one arm, if there is any.

    Args:
        run: folder of the run.
        arm: name of the arm.

    Raises:
        DataError: if it is damaged.
    """
    paths = sorted((run / _CHECKPOINTS / arm).glob("day-*.npz"))
    if not paths:
        return None
    arrays, header = read_arrays(paths[-1], kind=_KIND, names=None)
    return Checkpoint(int(paths[-1].stem.removeprefix("day-")), arrays, header)


def discard_after(run: Path, arm: str, *, day: int, snapshot: int) -> None:
    """Delete what an unfinished day left: parts of later days, partial parts, later snapshots.

    Args:
        run: folder of the run.
        arm: name of the arm.
        day: last complete day, -1 if there is none.
        snapshot: last version of the policy that belongs to it, -1 if there is none.
    """
    for part in run.glob(f"*/{arm}/part-*"):
        if part.suffix != PART_SUFFIX or int(part.stem.removeprefix("part-")) > day:
            part.unlink()
    for path in (run / "snapshots" / arm).glob("*.npz*"):
        if path.suffix != ".npz" or int(path.stem) > snapshot:
            path.unlink()


def restore_into(targets: Mapping[str, AnyArray], stored: Mapping[str, AnyArray]) -> None:
    """Copy stored arrays over live ones of the same names, shapes and types.

    Raises:
        DataError: naming the first array that is missing or does not fit; nothing is copied then.
    """
    for name, target in targets.items():
        found = stored.get(name)
        if found is None:
            raise DataError("checkpoint", rule=f"must hold the array {name}", value=sorted(stored))
        if found.shape != target.shape or found.dtype != target.dtype:
            raise DataError(
                "checkpoint",
                rule=f"{name} must be {target.dtype} of shape {target.shape}",
                value=f"{found.dtype} of shape {found.shape}",
            )
    for name, target in targets.items():
        np.copyto(target, stored[name])
