"""Kill the service again and again under load: what it acknowledged must be there (R1, R3, R7).

    python -m chaos.kills [--kills N] [--database sqlite|postgresql] [--connections N] [--json]

Every few hundred milliseconds one of its processes, or all of them, get SIGKILL. In the end every
acknowledged decision and reward is asked for again, and the log is replayed from genesis.
"""

import argparse
import asyncio
import json
import random
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from chaos.databases import database
from chaos.remembered import ask_again
from chaos.served_arm import ARMS, EXPERIMENT, deploy, matinee, service_settings, tiny_run
from live_load import Users
from live_service import LiveService, children_of
from matinee_platform.clock import SystemClock
from matinee_platform.storage.barrier_store import SqlBarrierStore
from matinee_platform.storage.control_database import control_url, open_engine


@dataclass(slots=True, kw_only=True)
class Figures:
    """What the kills did.

    Attributes:
        database: what kept the log.
        kills: of the whole service.
        learner_kills: of its learner alone.
        events: acknowledged.
        events_per_second: while the service was up.
        lost: acknowledged events that are not there.
        changed: acknowledged decisions with another slate.
        contradictions: answers that no honest client may get.
        restart_worst_s: from the start of a process to ready.
        restart_median_s: the same.
        replay_equal: whether every snapshot is equal, learned again from the log.
        snapshots: that were compared.
    """

    database: str
    kills: int = 0
    learner_kills: int = 0
    events: int = 0
    events_per_second: float = 0.0
    lost: int = 0
    changed: int = 0
    contradictions: int = 0
    restart_worst_s: float = 0.0
    restart_median_s: float = 0.0
    replay_equal: bool = False
    snapshots: int = 0

    @property
    def kept(self) -> bool:
        """Whether every promise was kept; a replay of no snapshot says nothing."""
        wrong = self.lost or self.changed or self.contradictions
        return not wrong and self.replay_equal and self.snapshots > 0


async def kill_again_and_again(
    service: LiveService, figures: Figures, *, kills: int, connections: int, seed: int
) -> Users:
    """Load the service, kill it `kills` times, and come to rest with it running.

    Args:
        service: not started yet.
        figures: filled in.
        kills: how many.
        connections: of the load.
        seed: of the moments and the victims.
    """
    choose = random.Random(seed)  # noqa: S311 - not a secret
    await asyncio.to_thread(service.start)
    users = Users(service.port, experiment=EXPERIMENT, seed=seed)
    load = asyncio.create_task(users.run(connections=connections))
    restarts: list[float] = []
    up = 0.0
    for _ in range(kills):
        lasts = choose.uniform(0.3, 1.5)
        await asyncio.sleep(lasts)
        up += lasts
        learners = children_of(service, "learn")
        if learners and choose.random() < 0.3:
            figures.learner_kills += 1
            for pid in learners:
                send_kill(pid)
            continue
        figures.kills += 1
        await asyncio.to_thread(service.kill)
        restarts.append(await asyncio.to_thread(service.start))
    await asyncio.sleep(1.0)
    users.stop()
    await load
    figures.events = users.seen.events
    figures.events_per_second = users.seen.events / (up + 1.0)
    figures.contradictions = len(users.seen.contradictions)
    restarts.sort()
    if restarts:
        figures.restart_worst_s = restarts[-1]
        figures.restart_median_s = restarts[len(restarts) // 2]
    return users


def send_kill(pid: int) -> None:
    """SIGKILL to one process, if it is there."""
    import contextlib
    import os

    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def wait_until_learned(service: LiveService, database: str, *, seconds: float = 180.0) -> None:
    """Wait until every arm has a barrier from after this moment; what was asked last is in it.

    Args:
        service: running, and no longer loaded.
        database: its setting.
        seconds: at most: a learner that makes none by then is for the replay to tell of.
    """
    now_ms, until = SystemClock().now_ms(), time.monotonic() + seconds
    engine = open_engine(control_url(service.data, database))
    barriers = SqlBarrierStore(engine, clock=SystemClock())
    waiting = set(ARMS)
    while waiting and time.monotonic() < until:
        time.sleep(0.5)
        for arm in tuple(waiting):
            last = barriers.last(EXPERIMENT, arm)
            if last is not None and last.created_at > now_ms:
                waiting.remove(arm)
    engine.dispose()


def run(folder: Path, *, kills: int, kind: str, connections: int, seed: int) -> Figures:
    """The whole program."""
    figures = Figures(database=kind)
    offline = tiny_run(folder)
    with (
        database(kind, folder) as kept,
        LiveService(folder, service_settings(database=kept.address)) as service,
    ):
        deploy(offline, service.data)
        users = asyncio.run(
            kill_again_and_again(service, figures, kills=kills, connections=connections, seed=seed)
        )
        found = asyncio.run(ask_again(service.port, users.seen))
        figures.lost, figures.changed = found.lost, found.changed
        wait_until_learned(service, kept.address)
        service.stop()
        told = json.loads(matinee("replay", "--verify", "--config", str(service.config), "--json"))
        figures.replay_equal = all(bool(arm["passed"]) for arm in told)
        figures.snapshots = sum(int(arm["barriers"]) for arm in told)
    return figures


def main(argv: Sequence[str] | None = None) -> int:
    """Run and print; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="matinee-chaos-") as folder:
        figures = run(
            Path(folder),
            kills=given.kills,
            kind=given.database,
            connections=given.connections,
            seed=given.seed,
        )
    if given.json:
        print(json.dumps({**asdict(figures), "kept": figures.kept}))
    else:
        for name, value in asdict(figures).items():
            print(f"{name:20} {value:.2f}" if isinstance(value, float) else f"{name:20} {value}")
        print("kept" if figures.kept else "BROKEN")
    return 0 if figures.kept else 1


if __name__ == "__main__":
    sys.exit(main())
