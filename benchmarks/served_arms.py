"""Services to load, side by side: ours with a deployed arm, and the bare endpoint."""

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chaos.databases import database
from chaos.served_arm import matinee
from live_service import LiveService, free_port, with_children
from matinee_platform.service.analysis_process import COMMAND

ARM = "lin_ucb"
EXPERIMENT = "home"
FLOOR = "bare + "
"""How names of bare endpoints with a log begin; a kind of database follows."""

_LOOK_SECONDS, _IDLE_SHARE, _LONGEST_SECONDS = 2.0, 0.2, 180.0
_TICKS = os.sysconf("SC_CLK_TCK")
_NO_LIMIT = {"requests_per_second": 1e9, "burst": 1_000_000_000, "in_flight": 100_000}
_APART = {b"learn", COMMAND[-1].encode(), b"matinee_platform.kpis.kpi_process"}
"""Arguments that tell what learns, analyses or sums key figures from a process that answers."""
_PROGRAMS = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Served:
    """A service that runs.

    Attributes:
        name: of it.
        port: on loopback.
        group: its process group.
        database: folder of its PostgreSQL, if it has one.
    """

    name: str
    port: int
    group: int
    database: Path | None = None

    def cpu_seconds(self) -> float:
        """CPU that its answering processes used so far: without learner and analyses."""
        return _cpu_seconds(self._is_ours)

    def all_seconds(self) -> float:
        """CPU of all its processes so far."""
        return _cpu_seconds(lambda folder, _: os.getpgid(int(folder.name)) == self.group)

    def database_seconds(self) -> float:
        """CPU that the processes of its database used so far, but for those that ended."""
        if self.database is None:
            return 0.0
        first = int((self.database / "postmaster.pid").read_text().split()[0])
        return _cpu_seconds(lambda folder, parent: first in (int(folder.name), parent))

    def _is_ours(self, folder: Path, _: int) -> bool:
        if os.getpgid(int(folder.name)) != self.group:
            return False
        return _APART.isdisjoint((folder / "cmdline").read_bytes().split(b"\0"))


def wait_until_idle(servers: Collection[Served]) -> None:
    """Wait until learners and key figures have worked through what was decided.

    Raises:
        RuntimeError: they have not in the longest time that is waited.
    """
    end = time.monotonic() + _LONGEST_SECONDS
    before = sum(one.all_seconds() for one in servers)
    while time.monotonic() < end:
        time.sleep(_LOOK_SECONDS)
        now = sum(one.all_seconds() for one in servers)
        if now - before < _IDLE_SHARE * _LOOK_SECONDS:
            return
        before = now
    raise RuntimeError(f"services are busy with nothing to answer after {_LONGEST_SECONDS:g} s")


def _cpu_seconds(counts: Callable[[Path, int], bool]) -> float:
    """CPU of the processes that count, by their folder in `/proc` and the id of their parent."""
    used = 0
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            if counts(folder, int(fields[1])):
                used += int(fields[11]) + int(fields[12])
    return used / _TICKS


@contextmanager
def ours(
    name: str, *, run: Path, folder: Path, kind: str = "sqlite", workers: int = 1, slots: int = 10
) -> Iterator[Served]:
    """`matinee serve` with the LinUCB arm of a run, all its defaults but the limit of requests.

    Args:
        name: of the service.
        run: folder of a finished run with an arm `lin_ucb`.
        folder: for its configuration and data.
        kind: `sqlite` or `postgresql`.
        workers: processes that answer.
        slots: of a slate.
    """
    manifest = json.loads((run / "settings.json").read_text(encoding="utf-8"))
    experiment = {
        "key": EXPERIMENT,
        "salt": "home-1",
        "slots": slots,
        "candidates": manifest["candidates"],
        "arms": [{"name": ARM, "bundle": ARM}],
    }
    folder.mkdir(parents=True, exist_ok=True)
    with database(kind, folder) as kept:
        settings: dict[str, Any] = {
            "database": kept.address,
            "workers": workers,
            "limits": _NO_LIMIT,
            "experiments": [experiment],
        }
        service = LiveService(folder, settings)
        with service:
            matinee("deploy", f"{run}:{ARM}", "--to", str(service.data), "--as", ARM)
            service.start(wait_s=300.0)
            group = 0 if service.process is None else service.process.pid
            yield Served(name, service.port, group, _server(kind, folder))
            service.stop()


def item_ids(folder: Path) -> Path:
    """File of the catalogue's ids that `ours` deployed into a folder."""
    return folder / "data" / "bundles" / ARM / "item_ids.json"


@contextmanager
def bare(name: str = "bare", *, kind: str = "", where: str = "") -> Iterator[Served]:
    """The endpoint without work.

    Args:
        name: of it.
        kind: of the log that it keeps, if any: `sqlite`, `postgresql`.
        where: file or address of that log.
    """
    port = free_port()
    log = f", {kind!r}, {where!r}" if kind else ""
    process = subprocess.Popen(
        [sys.executable, "-c", f"import bare_endpoint as it; it.serve({port}{log})"],
        start_new_session=True,
        cwd=_PROGRAMS,
    )
    try:
        _wait(f"http://127.0.0.1:{port}/readyz")
        yield Served(name, port, process.pid)
    finally:
        with_children(process.pid, 15)
        process.wait()


@contextmanager
def bare_with_log(name: str, *, kind: str, folder: Path) -> Iterator[Served]:
    """The endpoint whose only work is that a row is durable before it answers."""
    folder.mkdir(parents=True, exist_ok=True)
    with database(kind, folder) as kept:
        where = str(folder / "events.sqlite") if kind == "sqlite" else kept.address
        with bare(name, kind=kind, where=where) as served:
            yield replace(served, database=_server(kind, folder))


def _server(kind: str, folder: Path) -> Path | None:
    return folder / "postgresql" if kind == "postgresql" else None


def _wait(address: str, *, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=5):  # noqa: S310
            return
        time.sleep(0.05)
    raise RuntimeError(f"{address} does not answer after {seconds:g} s")


def all_of(stack: ExitStack, *, run: Path, folder: Path, databases: bool) -> dict[str, Served]:
    """Ours on each database and the bare endpoints, all at once.

    Args:
        stack: closes them.
        run: folder of a finished run.
        folder: for their data.
        databases: whether PostgreSQL is wanted too.
    """
    found = {"bare": stack.enter_context(bare())}
    for kind in ("sqlite", "postgresql") if databases else ("sqlite",):
        name = f"{FLOOR}{kind}"
        found[name] = stack.enter_context(
            bare_with_log(name, kind=kind, folder=folder / f"bare_{kind}")
        )
    kinds = [("sqlite", "sqlite", 1)]
    if databases:
        kinds += [("postgresql", "postgresql", 1), ("postgresql 2", "postgresql", 2)]
    for name, kind, workers in kinds:
        found[name] = stack.enter_context(
            ours(name, run=run, folder=folder / name.replace(" ", "_"), kind=kind, workers=workers)
        )
    return found
