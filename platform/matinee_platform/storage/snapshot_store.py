"""Signed snapshots by experiment, arm and version: in a folder, or in the control database.

A signature says that this service wrote the file. That it is the state of this arm and version
says the barrier, which names its content hash: whoever loads compares the two.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import Engine
from sqlmodel import col, delete, select

from matinee_platform.storage.control_database import reading, writing
from matinee_platform.storage.control_tables import BarrierRow, SnapshotRow
from matinee_platform.storage.errors import LeaseLostError
from matinee_policies.errors import ConfigError, SnapshotError
from matinee_policies.snapshot import Snapshot
from matinee_policies.snapshot_signature import SigningKeys

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_FILE = re.compile(r"([0-9]{8,})\.npz")


class FolderSnapshotStore:
    """Snapshots as files `EXPERIMENT/ARM/00000007.npz`; a `SnapshotStore`.

    Args:
        folder: made when the first snapshot comes.
        keys: the first signs, any of them must have signed what is read.
    """

    def __init__(self, folder: Path, *, keys: SigningKeys) -> None:
        self._folder = folder
        self._keys = keys

    def save(self, experiment: str, arm: str, version: int, snapshot: Snapshot) -> None:
        """Store a snapshot durably; the file appears whole or not at all."""
        path = self.path(experiment, arm, version)
        path.parent.mkdir(parents=True, exist_ok=True)
        snapshot.save(path, keys=self._keys)
        for folder in (path.parent, path.parent.parent, self._folder):
            _sync(folder)

    def load(self, experiment: str, arm: str, version: int) -> Snapshot:
        """Read one back.

        Raises:
            SnapshotError: it is missing, damaged or not signed as it must be.
        """
        return Snapshot.load(self.path(experiment, arm, version), keys=self._keys)

    def versions(self, experiment: str, arm: str) -> list[int]:
        """Stored versions, rising."""
        folder = self.path(experiment, arm, 0).parent
        if not folder.is_dir():
            return []
        found = (_FILE.fullmatch(entry.name) for entry in folder.iterdir())
        return sorted(int(one[1]) for one in found if one is not None)

    def delete(self, experiment: str, arm: str, versions: Iterable[int]) -> None:
        """Remove versions; those that are not there are no error."""
        for version in versions:
            self.path(experiment, arm, version).unlink(missing_ok=True)

    def path(self, experiment: str, arm: str, version: int) -> Path:
        """Where a snapshot is, or would be.

        Raises:
            ConfigError: on names that are not those of an experiment and an arm.
        """
        _check_place(experiment, arm, version)
        return self._folder / experiment / arm / f"{version:08d}.npz"


class SqlSnapshotStore:
    """Snapshots as rows of the control database; a `SnapshotStore`.

    Args:
        engine: of the control database.
        keys: the first signs, any of them must have signed what is read.
    """

    def __init__(self, engine: Engine, *, keys: SigningKeys) -> None:
        self._engine = engine
        self._keys = keys

    def save(self, experiment: str, arm: str, version: int, snapshot: Snapshot) -> None:
        """Store a snapshot durably.

        Raises:
            LeaseLostError: a barrier names the one of this version: another learner was faster.
        """
        _check_place(experiment, arm, version)
        row = SnapshotRow(
            experiment=experiment,
            arm=arm,
            version=version,
            content=snapshot.to_bytes(keys=self._keys),
        )
        with writing(self._engine) as session:
            if session.get(BarrierRow, (experiment, arm, version)) is not None:
                raise LeaseLostError(
                    f"another learner made snapshot {version} of {experiment}/{arm} already"
                )
            session.merge(row)

    def load(self, experiment: str, arm: str, version: int) -> Snapshot:
        """Read one back.

        Raises:
            SnapshotError: it is missing, damaged or not signed as it must be.
        """
        _check_place(experiment, arm, version)
        origin = f"{experiment}/{arm}/{version:08d}"
        with reading(self._engine) as session:
            row = session.get(SnapshotRow, (experiment, arm, version))
            if row is None:
                raise SnapshotError(f"snapshot {origin} cannot be read: there is none")
            content = row.content
        return Snapshot.from_bytes(content, origin=origin, keys=self._keys)

    def versions(self, experiment: str, arm: str) -> list[int]:
        """Stored versions, rising."""
        _check_place(experiment, arm, 0)
        query = select(SnapshotRow.version).where(
            SnapshotRow.experiment == experiment, SnapshotRow.arm == arm
        )
        with reading(self._engine) as session:
            return list(session.exec(query.order_by(col(SnapshotRow.version))))

    def delete(self, experiment: str, arm: str, versions: Iterable[int]) -> None:
        """Remove versions; those that are not there are no error."""
        _check_place(experiment, arm, 0)
        with writing(self._engine) as session:
            session.exec(
                delete(SnapshotRow).where(
                    col(SnapshotRow.experiment) == experiment,
                    col(SnapshotRow.arm) == arm,
                    col(SnapshotRow.version).in_(list(versions)),
                )
            )


def _check_place(experiment: str, arm: str, version: int) -> None:
    for name, value in (("experiment", experiment), ("arm", arm)):
        if not _NAME.fullmatch(value):
            raise ConfigError(
                f"{name} must be 1-40 lower-case letters, digits and _, a letter first, "
                f"got {value!r}"
            )
    if version < 0:
        raise ConfigError(f"version must be >= 0, got {version}")


def _sync(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
