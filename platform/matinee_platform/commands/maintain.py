"""`matinee maintain`: care of a service's data: retention, forget, backup, export."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from matinee_platform.commands.service_options import (
    AsJson,
    Database,
    DataDir,
    control_engine,
    service_secrets,
    whoever,
)
from matinee_policies.errors import ConfigError

if TYPE_CHECKING:
    from matinee_platform.maintenance.caretaker import Caretaker
    from matinee_platform.storage.ports import EventReader

app = typer.Typer(
    help="Care of a service's data: retention, forget, backup, export.", no_args_is_help=True
)

NewFolder = Annotated[Path, typer.Option("--out", metavar="DIR", help="New folder.")]
_DAY_MS = 86_400_000


@app.command()
def retention(
    data_dir: DataDir,
    days: Annotated[
        float, typer.Option("--days", metavar="N", min=1, help="Keep raw events for so long.")
    ] = 90.0,
    database: Database = "sqlite",
    as_json: AsJson = False,
) -> None:
    """Delete raw events that are older; states and their history stay.

    A service on SQLite must be stopped, or asked itself: POST /v1/admin/retention.
    Example: matinee maintain retention --data-dir service --days 90
    """
    from matinee_platform.clock import SystemClock

    before_ms = SystemClock().now_ms() - round(days * _DAY_MS)
    with _caretaker(data_dir, database, route="/v1/admin/retention") as caretaker:
        removed = caretaker.retain(before_ms=before_ms, who=whoever())
    _show(asdict(removed), as_json=as_json)


@app.command()
def forget(
    unit: Annotated[str, typer.Argument(metavar="UNIT", help="The unit's own id.")],
    data_dir: DataDir,
    database: Database = "sqlite",
    as_json: AsJson = False,
) -> None:
    """Remove everything of one unit; an audit entry stays, by its pseudonym.

    A service on SQLite must be stopped, or asked itself: POST /v1/admin/forget. Backups and exports
    that were made before keep what they hold.
    """
    with _caretaker(data_dir, database, route="/v1/admin/forget") as caretaker:
        removed = caretaker.forget(unit, who=whoever())
    _show(asdict(removed), as_json=as_json)


@app.command()
def backup(data_dir: DataDir, out: NewFolder, as_json: AsJson = False) -> None:
    """Copy the data of a service on SQLite while it runs; the secret is not in the copy.

    Data in PostgreSQL are copied by its own pg_dump.
    """
    from matinee_platform.clock import SystemClock
    from matinee_platform.maintenance.backup import back_up
    from matinee_platform.maintenance.caretaker import MAINTENANCE
    from matinee_platform.storage.lease import FileLease

    if not data_dir.is_dir():
        raise ConfigError(f"data folder must be there, got {data_dir}")
    lease = FileLease(data_dir)
    if not lease.acquire(MAINTENANCE):
        raise ConfigError("other maintenance of this data is at work: try again when it ends")
    try:
        facts = back_up(data_dir, out, clock=SystemClock())
    finally:
        lease.release(MAINTENANCE)
    _show(asdict(facts), as_json=as_json)


@app.command("restore-check")
def restore_check(
    backup_dir: Annotated[Path, typer.Argument(metavar="BACKUP", help="Folder of a backup.")],
    data_dir: Annotated[
        Path | None,
        typer.Option("--data-dir", metavar="DIR", help="Whose secret must have signed snapshots."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """See that a backup is whole, undamaged and consistent."""
    from matinee_platform.maintenance.backup import check_backup

    keys = None if data_dir is None else service_secrets(data_dir, "sqlite").signing
    _show(asdict(check_backup(backup_dir, keys=keys)), as_json=as_json)


@app.command()
def export(
    data_dir: DataDir,
    out: NewFolder,
    database: Database = "sqlite",
    after: Annotated[
        int, typer.Option("--after", metavar="SEQ", min=0, help="Go on from an earlier export.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Write the event log as Parquet files while the service runs."""
    from contextlib import closing

    from matinee_platform.maintenance.export import export_log

    with closing(_reader(data_dir, database)) as reader:
        facts = export_log(reader, out, after=after)
    _show(asdict(facts), as_json=as_json)


def _reader(data_dir: Path, database: str) -> "EventReader":
    from matinee_platform.service.settings import ServiceSettings
    from matinee_platform.storage.event_log import SQLITE_FILE, event_reader

    if database == "sqlite" and not (data_dir / SQLITE_FILE).is_file():
        raise ConfigError(f"data folder must hold {SQLITE_FILE}, got {data_dir}")
    return event_reader(ServiceSettings(data_dir=data_dir, database=database, experiments=[]))


@contextmanager
def _caretaker(data_dir: Path, database: str, *, route: str) -> "Iterator[Caretaker]":
    """Who removes rows, in place of the service that alone may write its events on SQLite."""
    from matinee_platform.clock import SystemClock
    from matinee_platform.maintenance.caretaker import Caretaker, others_know
    from matinee_platform.maintenance.removal import SqlEventEraser, open_events
    from matinee_platform.storage.lease import FileLease, PostgresLease

    with control_engine(data_dir, database) as control:
        lease: FileLease | PostgresLease = FileLease(data_dir)
        if database != "sqlite":
            lease = PostgresLease(database)
        elif not lease.acquire("events"):
            raise ConfigError(
                "a service runs on this data, and SQLite takes one writer: "
                f"ask the service itself (POST {route}), or stop it first"
            )
        events = open_events(data_dir, database)
        try:
            yield Caretaker(
                SqlEventEraser(events),
                control=control,
                pseudonym_secret=service_secrets(data_dir, database).pseudonyms,
                clock=SystemClock(),
                lease=lease,
                spooled=lambda: _spool_bytes(data_dir),
                known=others_know(database),
            )
        finally:
            events.dispose()
            lease.release("events")


def _spool_bytes(data_dir: Path) -> int:
    spool = data_dir / "spool"
    # Copies of damaged ones are nobody's to drain.
    return sum(path.stat().st_size for path in spool.glob("*.spool"))


def _show(facts: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    for name, value in facts.items():
        told = str(value).lower() if isinstance(value, bool) else f"{value:,}"
        print(f"{name:<10} {told}")
