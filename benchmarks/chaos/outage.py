"""Take PostgreSQL away under load and bring it back: with a spool nothing shows (R11).

    python -m chaos.outage [--seconds 60] [--connections N] [--json]

First with `on_database_loss: spool`: decisions go on being answered, and afterwards every
acknowledged event is there, once. Then with `strict`: a request is told 503 within a second.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from chaos.databases import Database, database
from chaos.remembered import ask_again
from chaos.served_arm import EXPERIMENT, deploy, service_settings, tiny_run
from http_connection import HttpConnection, post_bytes
from live_load import Users
from live_service import LiveService

_CALM_SECONDS = 3.0


@dataclass(slots=True, kw_only=True)
class Figures:
    """What an outage did.

    Attributes:
        seconds: that the database was away.
        answered_while_away: decisions acknowledged meanwhile, with a spool.
        failed_while_away: answers other than 200 meanwhile, with a spool.
        statuses: those answers by status, from the start; 0 counts broken connections.
        events: acknowledged in all.
        lost: of these, not there afterwards.
        changed: decisions that are answered otherwise afterwards.
        back_after_s: from the database's return to an empty spool.
        strict_status: answer without a spool.
        strict_worst_ms: how long it took, the slowest of ten.
        strict_back_after_s: from the database's return to the next acknowledged decision.
    """

    seconds: float
    answered_while_away: int = 0
    failed_while_away: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    events: int = 0
    lost: int = 0
    changed: int = 0
    back_after_s: float = 0.0
    strict_status: int = 0
    strict_worst_ms: float = 0.0
    strict_back_after_s: float = 0.0

    @property
    def kept(self) -> bool:
        """Whether every promise was kept."""
        spooled = self.answered_while_away > 0 and not (self.lost or self.changed)
        return spooled and self.strict_status == 503 and self.strict_worst_ms <= 1_000.0


async def with_spool(
    service: LiveService, kept: Database, figures: Figures, *, connections: int
) -> None:
    """Load, outage, load; then everything is asked for again."""
    users = Users(service.port, experiment=EXPERIMENT)
    load = asyncio.create_task(users.run(connections=connections))
    await asyncio.sleep(_CALM_SECONDS)
    before, failed = len(users.seen.slates), _failed(users)
    await asyncio.to_thread(_must(kept.stop))
    await asyncio.sleep(figures.seconds)
    figures.answered_while_away = len(users.seen.slates) - before
    figures.failed_while_away = _failed(users) - failed
    others = users.seen.statuses.items()
    figures.statuses = {str(status): count for status, count in others if status != 200}
    await asyncio.to_thread(_must(kept.start))
    back = time.perf_counter()
    while time.perf_counter() - back < 120 and not await asyncio.to_thread(_drained, service):
        await asyncio.sleep(0.1)
    figures.back_after_s = time.perf_counter() - back
    await asyncio.sleep(_CALM_SECONDS)
    users.stop()
    await load
    figures.events = users.seen.events
    found = await ask_again(service.port, users.seen)
    figures.lost, figures.changed = found.lost, found.changed


async def strictly(service: LiveService, kept: Database, figures: Figures) -> None:
    """Without a spool: 503 while the database is away, and 200 again when it is back."""
    connection = HttpConnection("127.0.0.1", service.port)
    request = post_bytes("/v1/decisions", {"experiment": EXPERIMENT, "unit": "one"})
    await connection.send(request)
    await asyncio.to_thread(_must(kept.stop))
    for _ in range(10):
        began = time.perf_counter()
        reply = await connection.send(request)
        figures.strict_status = reply.status
        taken = (time.perf_counter() - began) * 1_000.0
        figures.strict_worst_ms = max(figures.strict_worst_ms, taken)
    await asyncio.to_thread(_must(kept.start))
    back = time.perf_counter()
    while time.perf_counter() - back < 60:
        if (await connection.send(request)).status == 200:
            break
        await asyncio.sleep(0.05)
    figures.strict_back_after_s = time.perf_counter() - back
    await connection.close()


def _drained(service: LiveService) -> bool:
    for line in service.text("/metrics").splitlines():
        if line.startswith("matinee_log_spooled_rows"):
            return float(line.rsplit(" ", 1)[1]) == 0.0
    raise RuntimeError("the service tells no matinee_log_spooled_rows")


def _failed(users: Users) -> int:
    return sum(count for status, count in users.seen.statuses.items() if status != 200)


def _must(one: Callable[[], None] | None) -> Callable[[], None]:
    if one is None:
        raise RuntimeError("this database has no server to take away")
    return one


def run(folder: Path, *, seconds: float, connections: int) -> Figures:
    """The whole program."""
    figures = Figures(seconds=seconds)
    offline = tiny_run(folder)
    for mode in ("spool", "strict"):
        own = folder / mode
        own.mkdir()
        settings = {"on_database_loss": mode}
        with database("postgresql", own) as kept:
            whole = service_settings(database=kept.address, **settings)
            with LiveService(own, whole) as service:
                deploy(offline, service.data)
                service.start()
                if mode == "spool":
                    asyncio.run(with_spool(service, kept, figures, connections=connections))
                else:
                    asyncio.run(strictly(service, kept, figures))
                service.stop()
    return figures


def main(argv: Sequence[str] | None = None) -> int:
    """Run and print; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="matinee-outage-") as folder:
        path = Path(folder)
        path.chmod(0o755)
        figures = run(path, seconds=given.seconds, connections=given.connections)
    if given.json:
        print(json.dumps({**asdict(figures), "kept": figures.kept}))
    else:
        for name, value in asdict(figures).items():
            print(f"{name:20} {value:.2f}" if isinstance(value, float) else f"{name:20} {value}")
        print("kept" if figures.kept else "BROKEN")
    return 0 if figures.kept else 1


if __name__ == "__main__":
    sys.exit(main())
