"""A copy of a service's data taken while it runs, and proof that it can be restored.

The copy is a data folder again: events, control data, the snapshots that barriers name, bundles,
and `backup.json`. Restoring is to check it, to give it the secret, and to start a service on it.
The secret itself is never in it: without the secret a copy opens nothing, and a service on it
cannot tell old users from new ones. Keep it elsewhere.

Control data go first. So every barrier of the copy names a place that its log has reached.
"""

import hashlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from matinee_platform.clock import Clock
from matinee_platform.json_file import read_json, write_json
from matinee_platform.storage.control_database import CONTROL_FILE
from matinee_platform.storage.event_log import SQLITE_FILE
from matinee_platform.storage.private_files import private_file, private_folder
from matinee_platform.storage.snapshot_store import FolderSnapshotStore
from matinee_policies.errors import ConfigError, DataError
from matinee_policies.snapshot_signature import SigningKeys

MANIFEST = "backup.json"
_FORMAT = "matinee-backup-1"
_SNAPSHOTS, _BUNDLES = "snapshots", "bundles"
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupFacts:
    """What a copy holds.

    Attributes:
        made_at: UTC milliseconds.
        last_seq: last place of its log.
        decisions: rows.
        rewards: rows.
        barriers: rows.
        snapshots: files.
    """

    made_at: int
    last_seq: int
    decisions: int
    rewards: int
    barriers: int
    snapshots: int


def back_up(data_dir: Path, target: Path, *, clock: Clock) -> BackupFacts:
    """Copy the data of a service in the SQLite tier; it goes on meanwhile.

    Args:
        data_dir: of the service.
        target: new folder; it appears whole or not at all.
        clock: tells when.

    Raises:
        ConfigError: the target is there, or the data are not.
        DataError: the copy is not consistent.
    """
    for name in (SQLITE_FILE, CONTROL_FILE):
        if not (data_dir / name).is_file():
            raise ConfigError(f"data folder must hold {name}, got {data_dir}")
    if target.exists():
        raise ConfigError(f"folder of a backup must be new, got {target}")
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    private_folder(partial)
    try:
        _copy_database(data_dir / CONTROL_FILE, partial / CONTROL_FILE)
        _copy_database(data_dir / SQLITE_FILE, partial / SQLITE_FILE)
        for experiment, arm, version in _needed_snapshots(partial):
            _copy_snapshot(data_dir, partial, Path(experiment, arm, f"{version:08d}.npz"))
        if (data_dir / _BUNDLES).is_dir():
            shutil.copytree(data_dir / _BUNDLES, partial / _BUNDLES)
        facts = _facts(partial, made_at=clock.now_ms())
        files = {str(path.relative_to(partial)): _digest(path) for path in _files(partial)}
        content = {"format": _FORMAT, **asdict(facts), "files": files}
        write_json(partial / MANIFEST, content)
        _sync_all(partial)
        partial.replace(target)
        _sync(target.absolute().parent)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return facts


def check_backup(folder: Path, *, keys: SigningKeys | None = None) -> BackupFacts:
    """See that a copy is whole, undamaged and consistent.

    Args:
        folder: that `back_up` made.
        keys: of the service, to check the newest snapshot of every arm besides; not without.

    Raises:
        DataError: on a file that is missing, foreign or damaged, and on contents that contradict
            each other.
        SnapshotError: a snapshot is not what its barrier says, or not signed.
    """
    manifest = read_json(folder / MANIFEST)
    if not isinstance(manifest, dict) or manifest.get("format") != _FORMAT:
        raise DataError(folder / MANIFEST, rule=f"must be of format {_FORMAT}")
    told = {name: manifest.get(name) for name in BackupFacts.__dataclass_fields__}
    files, made_at = manifest.get("files"), told["made_at"]
    if not isinstance(files, dict) or type(made_at) is not int:
        raise DataError(folder / MANIFEST, rule="must tell when it was made, and of which files")
    found = {str(path.relative_to(folder)) for path in _files(folder)} - {MANIFEST}
    if found != set(files):
        odd = sorted(found ^ set(files))[0]
        raise DataError(folder / odd, rule="must be in the backup and in its list alike")
    for name, digest in files.items():
        if _digest(folder / name) != digest:
            raise DataError(folder / name, rule="is damaged: its SHA-256 does not match")
    facts = _facts(folder, made_at=made_at)
    if told != asdict(facts):
        raise DataError(folder / MANIFEST, rule=f"must tell what is there, {asdict(facts)}")
    if keys is not None:
        _check_snapshots(folder, keys)
    return facts


def _copy_database(source: Path, target: Path) -> None:
    """One step, hence one moment of the database; writers are not held up by a reader in WAL."""
    private_file(target)
    with closing(sqlite3.connect(source)) as there, closing(sqlite3.connect(target)) as here:
        there.backup(here)
        # A plain file, so that it can be checked byte by byte.
        here.execute("PRAGMA journal_mode=DELETE")


def _copy_snapshot(data_dir: Path, target: Path, name: Path) -> None:
    source = data_dir / _SNAPSHOTS / name
    if source.is_file():
        (target / _SNAPSHOTS / name).parent.mkdir(parents=True, exist_ok=True)
        # The learner thins old ones out meanwhile; never the newest of an arm.
        with suppress(FileNotFoundError):
            shutil.copyfile(source, target / _SNAPSHOTS / name)


def _needed_snapshots(folder: Path) -> Iterator[tuple[str, str, int]]:
    with closing(_opened(folder / CONTROL_FILE)) as control:
        yield from control.execute("SELECT experiment, arm, version FROM barriers ORDER BY 1, 2, 3")


def _facts(folder: Path, *, made_at: int) -> BackupFacts:
    """Count, and refuse what contradicts itself."""
    with closing(_opened(folder / SQLITE_FILE)) as events:
        last_seq = _number(events, "SELECT coalesce(max(last), 0) FROM seq")
        decisions = _number(events, "SELECT count(*) FROM decisions")
        rewards = _number(events, "SELECT count(*) FROM rewards")
        for table in ("decisions", "rewards"):
            if _number(events, f"SELECT coalesce(max(seq), 0) FROM {table}") > last_seq:  # noqa: S608
                raise DataError(
                    folder / SQLITE_FILE, rule=f"{table} must end at or before seq {last_seq}"
                )
    with closing(_opened(folder / CONTROL_FILE)) as control:
        barriers = _number(control, "SELECT count(*) FROM barriers")
        newest = _number(control, "SELECT coalesce(max(seq), 0) FROM barriers")
    if newest > last_seq:
        raise DataError(
            folder / CONTROL_FILE,
            rule=f"barriers must be within the log, up to {last_seq}",
            value=newest,
        )
    snapshots = sum(1 for _ in (folder / _SNAPSHOTS).rglob("*.npz"))
    return BackupFacts(
        made_at=made_at,
        last_seq=last_seq,
        decisions=decisions,
        rewards=rewards,
        barriers=barriers,
        snapshots=snapshots,
    )


def _check_snapshots(folder: Path, keys: SigningKeys) -> None:
    store = FolderSnapshotStore(folder / _SNAPSHOTS, keys=keys)
    query = (
        "SELECT experiment, arm, version, snapshot_hash FROM barriers AS one WHERE version = "
        "(SELECT max(version) FROM barriers WHERE experiment = one.experiment AND arm = one.arm)"
    )
    with closing(_opened(folder / CONTROL_FILE)) as control:
        for experiment, arm, version, wanted in control.execute(query):
            found = store.load(experiment, arm, version).content_hash
            if found != wanted:
                path = store.path(experiment, arm, version)
                raise DataError(
                    path, rule=f"must be the state {wanted} of its barrier", value=found
                )


def _opened(path: Path) -> sqlite3.Connection:
    """A database of a copy, which nobody writes; whole, by SQLite's own check."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
    try:
        ((found,),) = connection.execute("PRAGMA integrity_check(1)").fetchall()
    except sqlite3.DatabaseError as error:
        connection.close()
        raise DataError(path, rule=f"must be a whole database ({error})") from None
    if found != "ok":
        connection.close()
        raise DataError(path, rule=f"must be a whole database ({found})")
    return connection


def _number(connection: sqlite3.Connection, query: str) -> int:
    ((found,),) = connection.execute(query).fetchall()
    return int(found)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _sync_all(folder: Path) -> None:
    """Make files and their names durable."""
    entries: list[Any] = [folder, *folder.rglob("*")]
    for path in entries:
        _sync(path)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
