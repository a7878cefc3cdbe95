"""Kill a service's learner again and again under traffic, then hold what it learned to the log.

    python -m matinee_platform.learning.testing_kills --kills 30

A log in SQLite, a bundle without a catalogue, and `matinee learn` as a process of its own that is
killed (SIGKILL) at random moments after it has made a barrier. Afterwards one learner catches up:
every decision must have been learned once, and replay must give every barrier and every decision.
Learners are forked from a process that has everything imported, so that a kill costs no start.
"""

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from matinee_platform.clock import SystemClock
from matinee_platform.learning.learning_arm import LearningArm
from matinee_platform.learning.replay_service import replay_service
from matinee_platform.learning.service_arms import ServiceStores, open_stores
from matinee_platform.learning.testing_live import CANDIDATES, SLOTS, ExampleTraffic
from matinee_platform.service.secrets import Secrets
from matinee_platform.service.settings import ServiceSettings
from matinee_platform.serving.deploy import deploy_policy
from matinee_platform.storage.event_log import make_event_log
from matinee_platform.storage.records import Barrier, ServedBy

EXPERIMENT, ARM, BUNDLE = "home", "new", "kills"
_WINDOW_SECONDS = 0.3
_SECONDS = 120.0
_MODULE = "matinee_platform.learning.testing_kills"


@dataclass(frozen=True, slots=True, kw_only=True)
class Killed:
    """What came of it.

    Attributes:
        kills: learners killed.
        barriers: made, before and after.
        decisions: in the log.
        learned: items that the last snapshot has learned.
        wanted: items that decisions of the policy showed.
        replayed: whether every barrier and every decision came out again.
        catch_up_seconds: that the last learner took.
    """

    kills: int
    barriers: int
    decisions: int
    learned: int
    wanted: int
    replayed: bool
    catch_up_seconds: float

    @property
    def passed(self) -> bool:
        """Whether nothing was lost or learned twice."""
        return self.replayed and self.learned == self.wanted > 0


def make_service(
    data_dir: Path, *, kind: str = "lin_ucb", database: str = "sqlite"
) -> ServiceSettings:
    """The data folder of a service with one experiment of one arm, and its settings."""
    settings = ServiceSettings.model_validate(
        {
            "data_dir": data_dir,
            "database": database,
            "learn_every_seconds": 0.05,
            "experiments": [
                {
                    "key": EXPERIMENT,
                    "salt": "kills-1",
                    "slots": SLOTS,
                    "candidates": CANDIDATES,
                    "engagement_minutes": _WINDOW_SECONDS / 60.0,
                    "arms": [{"name": ARM, "bundle": BUNDLE}],
                }
            ],
        }
    )
    secrets = Secrets.load(settings)
    deploy_policy(
        kind,
        {},
        features=6,
        name=BUNDLE,
        data_dir=data_dir,
        slots=SLOTS,
        candidates=CANDIDATES,
        keys=secrets.signing,
    )
    with open_stores(settings, clock=SystemClock()) as stores:
        for experiment in settings.experiments:
            stores.control.ensure(experiment, who="test")
    return settings


def kill_learners(data_dir: Path, *, kills: int, seed: int = 0) -> Killed:
    """Run traffic and learners, and kill `kills` of them."""
    settings = make_service(data_dir)
    config = data_dir / "serve.yaml"
    config.write_text(yaml.safe_dump(settings.model_dump(mode="json")), encoding="utf-8")
    rng = np.random.default_rng(seed)
    stop = threading.Event()
    with open_stores(settings, clock=SystemClock()) as stores, _learners(config) as start:
        (experiment,) = settings.experiments
        arm = stores.arm(experiment, experiment.arms[0])
        writer = threading.Thread(target=write_traffic, args=(settings, arm, stop))
        writer.start()
        try:
            for _ in range(kills):
                _kill_one(start, stores, delay=float(rng.uniform(0.0, 0.3)))
        finally:
            stop.set()
            writer.join()
        time.sleep(_WINDOW_SECONDS + 1.1)
        started = time.monotonic()
        process = start("once")
        while _alive(process):
            time.sleep(0.005)
        caught_up = time.monotonic() - started
        (found,) = replay_service(settings)
        last = _last(stores)
        assert last is not None  # noqa: S101 - for the type checker
        state = stores.snapshots.load(EXPERIMENT, ARM, last.version)
        rows = stores.reader.decisions(upto=stores.reader.last_seq(), limit=10_000_000)
        shown = [
            np.frombuffer(one.record.slate, dtype=np.int32)
            for one in rows
            if one.record.served_by != ServedBy.FALLBACK
        ]
        return Killed(
            kills=kills,
            barriers=last.version + 1,
            decisions=len(rows),
            learned=int(state.manifest["rows"]),
            wanted=sum(int((slate >= 0).sum()) for slate in shown),
            replayed=found.passed,
            catch_up_seconds=caught_up,
        )


def _kill_one(start: Callable[[str], int], stores: ServiceStores, *, delay: float) -> None:
    """Start a learner, wait until it has made a barrier, and kill it a moment later."""
    before = _last(stores)
    process = start("on")
    end = time.monotonic() + _SECONDS
    while (now := _last(stores)) is None or now == before:
        if not _alive(process) or time.monotonic() > end:
            raise RuntimeError("the learner made no barrier")
        time.sleep(0.005)
    time.sleep(delay)
    os.kill(process, signal.SIGKILL)
    while _alive(process):
        time.sleep(0.005)


@contextmanager
def _learners(config: Path) -> Iterator[Callable[[str], int]]:
    """Gives a function that starts a learner and tells its process id."""
    command = [sys.executable, "-m", _MODULE, "--nursery", str(config)]
    with subprocess.Popen(  # noqa: S603 - our own program
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as nursery:
        given, told = nursery.stdin, nursery.stdout
        assert given is not None  # noqa: S101 - for the type checker
        assert told is not None  # noqa: S101

        def start(how: str) -> int:
            given.write(f"{how}\n")
            given.flush()
            return int(told.readline())

        yield start
        given.close()


def _nursery(config: Path) -> int:
    """Start a learner for each line of standard input."""
    # Children are not waited for one by one: they vanish when they die.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            _learn(config, once=line.strip() == "once")
            os._exit(0)
        print(child, flush=True)
    return 0


def _learn(config: Path, *, once: bool) -> None:
    from matinee_platform.commands.learn import learn

    learn(config=config, arms=None, once=once, as_json=False, metrics_port=None, supervised=False)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def _last(stores: ServiceStores) -> Barrier | None:
    return stores.barriers.last(EXPERIMENT, ARM)


def write_traffic(settings: ServiceSettings, arm: LearningArm, stop: threading.Event) -> None:
    """Append traffic until told to stop, in the states that learners make."""
    asyncio.run(_writing(settings, arm, stop))


async def _writing(settings: ServiceSettings, arm: LearningArm, stop: threading.Event) -> None:
    traffic = ExampleTraffic(arm, clock=SystemClock(), seed=1)
    log = await make_event_log(settings, windows=lambda _: arm.windows_ms)
    with open_stores(settings, clock=SystemClock()) as stores:
        while not stop.is_set():
            last = _last(stores)
            if last is not None and last.version != traffic.version:
                traffic.swap(last.version, stores.snapshots.load(EXPERIMENT, ARM, last.version))
            for record in traffic.decide(4):
                await log.appender.append_decision(record)
            await log.appender.append_rewards(traffic.rewards(8))
            await asyncio.sleep(0.02)
    await log.appender.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it, print what came of it; 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--nursery", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.nursery is not None:
        return _nursery(options.nursery)
    with tempfile.TemporaryDirectory(prefix="matinee-kills-") as folder:
        found = kill_learners(Path(folder), kills=options.kills, seed=options.seed)
    facts = {name: getattr(found, name) for name in Killed.__slots__}
    print(json.dumps(facts | {"passed": found.passed}, indent=2))
    return 0 if found.passed else 1


if __name__ == "__main__":
    raise SystemExit(main())
