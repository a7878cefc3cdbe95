"""A stop and a new start on PostgreSQL: what another process decides meanwhile."""

import asyncio
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import structlog

from matinee_platform.clock import SystemClock
from matinee_platform.experiments.definition import LiveExperiment
from matinee_platform.experiments.errors import UnknownExperimentError
from matinee_platform.experiments.layers import Assigner
from matinee_platform.service.compose import open_parts
from matinee_platform.service.parts import ServiceParts
from matinee_platform.service.settings import Holdout, ServiceSettings
from matinee_platform.serving.asks import Ask
from matinee_platform.storage.testing_events import asynchronous


@asynchronous
async def test_nobody_assigns_by_the_salt_of_a_former_start(
    deployed: Path, tmp_path: Path, new_postgres_database: Callable[[], str]
) -> None:
    folder, database = tmp_path / "data", new_postgres_database()
    shutil.copytree(deployed, folder)
    settings = ServiceSettings.model_validate(
        {
            "data_dir": folder,
            "database": database,
            "decision_budget_ms": 10_000,
            "experiments": [_home().model_dump(mode="json")],
        }
    )
    one = await open_parts(settings, clock=SystemClock(), log=structlog.get_logger())
    other = await open_parts(settings, clock=SystemClock(), log=structlog.get_logger())
    await _decide(other, 0)
    asked = asyncio.create_task(_decide_on(other))
    await asyncio.to_thread(one.control.stop, "home", who="test")
    started = await asyncio.to_thread(
        one.control.start, "home", salt="second", coverage=None, who="test"
    )
    await one.changed()
    decided = await asked
    assigner = Assigner([_home().model_copy(update={"salt": "second"})], Holdout())
    with closing(one.reader()) as reader:
        rows = reader.decisions(after=started.started_seq or 0, upto=reader.last_seq())
    assert 0 < len(rows) < decided
    wanted = {number: assigner.assign("home", f"unit {number}").bucket for number in range(600)}
    assert [row.record.bucket for row in rows] == [wanted[row.record.decision_id] for row in rows]
    await other.close()
    await one.close()


def _home() -> LiveExperiment:
    return LiveExperiment.model_validate(
        {
            "key": "home",
            "salt": "first",
            "slots": 4,
            "candidates": 20,
            "arms": [{"name": "new", "bundle": "new"}, {"name": "same", "bundle": "new"}],
        }
    )


async def _decide_on(parts: ServiceParts) -> int:
    """Decide until the experiment has stopped and runs again; how many there were."""
    seen_stopped, number, after = False, 1, 0
    while after < 20 and number < 500:
        try:
            await _decide(parts, number)
            after += seen_stopped
        except UnknownExperimentError:
            seen_stopped = True
        number += 1
        await asyncio.sleep(0.01)
    return number


async def _decide(parts: ServiceParts, number: int) -> None:
    ask = Ask(experiment="home", unit=f"unit {number}", decision_id=number, body_digest=bytes(16))
    found = await parts.runtime.decide(ask)
    assert found.record is not None
    await parts.appender.append_decision(found.record)
