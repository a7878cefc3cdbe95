"""What counts since a start is told by the log's order: machines' clocks may be an hour apart."""

import shutil
from functools import partial
from pathlib import Path

import pytest
import structlog

from matinee_platform.analysis.experiment.of_service import event_database, service_units
from matinee_platform.clock import FakeClock
from matinee_platform.experiments.lifecycle import State
from matinee_platform.kpis.kpi_job import JobStores, KpiJob
from matinee_platform.service.compose import open_parts
from matinee_platform.service.parts import ServiceParts
from matinee_platform.service.settings import ServiceSettings
from matinee_platform.serving.asks import Ask
from matinee_platform.storage.control_database import control_url, open_engine
from matinee_platform.storage.control_store import ControlStore
from matinee_platform.storage.forgotten_units import ForgottenUnits
from matinee_platform.storage.last_place import last_place
from matinee_platform.storage.records import DecisionRecord
from matinee_platform.storage.testing_events import START_MS, asynchronous, example_reward

HOUR_SECONDS = 3_600
DAY_MS = 86_400_000


@pytest.mark.parametrize("ahead", [-HOUR_SECONDS, HOUR_SECONDS])
@asynchronous
async def test_the_clock_of_who_decides_may_be_wrong(
    deployed: Path, tmp_path: Path, ahead: int
) -> None:
    folder = tmp_path / "data"
    shutil.copytree(deployed, folder)
    settings = ServiceSettings.model_validate(
        {"data_dir": folder, "decision_budget_ms": 10_000, "experiments": [_home()]}
    )
    right, clock = FakeClock(START_MS), FakeClock(START_MS + 1_000 * ahead)
    parts = await open_parts(settings, clock=clock, log=structlog.get_logger())
    before = [await _decide(parts, "ada", number) for number in range(2)]
    await _click(parts, 0, clock)
    # Another machine, whose clock is right, starts the experiment anew.
    engine = open_engine(control_url(folder, "sqlite"))
    control = ControlStore(engine, clock=right, last_seq=partial(last_place, folder, "sqlite"))
    for one in (right, clock):
        one.advance(seconds=60)
    control.stop("home", who="test")
    started = control.start("home", salt="second", who="test")
    assert (started.started_at, started.started_seq) == (right.now_ms(), 3)
    await parts.changed()
    for one in (right, clock):
        one.advance(seconds=60)
    again = [await _decide(parts, name, 10 + place) for place, name in enumerate(["ada", "bo"])]
    again.append(await _decide(parts, "ada", 12))
    await _click(parts, 10, clock)
    # The state of units begins anew, and goes on from there.
    assert [one.page for one in before] == [0, 1]
    assert [one.page for one in again] == [0, 0, 1]
    assert again[0].unit_state == again[1].unit_state
    # The counts of the results route.
    (arm,) = parts.counts.arm_counts(
        "home",
        windows=started.definition.windows_ms(),
        upto=2**40,
        since_ms=started.started_at or 0,
        since_seq=started.started_seq,
    )
    assert (arm.units, sum(arm.served_by.values()), arm.rewards) == (2, 3, {0: 1})
    # The analysis and the key figures, from the log.
    _, units = service_units(folder, "sqlite", key="home", until_ms=right.now_ms() + DAY_MS)
    assert units.unit.size == 2
    assert units.pages.sum() == 3
    assert units.clicks.sum() == 1
    assert set(units.exposed_on) == set(units.row_calendar_day) == {0}
    stores = JobStores(
        data_dir=folder,
        events=event_database(folder, "sqlite"),
        running=lambda: control.experiments(state=State.RUNNING),
        check=lambda key, since: None,
        forgotten=ForgottenUnits(engine, clock=right),
        catalogues=lambda _: {},
    )
    (told,) = KpiJob(stores, clock=right, rest=lambda _: None).look()
    found = told.arms["new"]
    assert (found.exposed, found.pages, found.clicks) == (2, 3, 1)
    engine.dispose()
    await parts.close()


def test_the_first_start_of_a_new_log_is_its_beginning(tmp_path: Path) -> None:
    assert last_place(tmp_path, "sqlite") == 0


def _home() -> dict[str, object]:
    return {
        "key": "home",
        "salt": "first",
        "slots": 4,
        "candidates": 20,
        "arms": [{"name": "new", "bundle": "new"}],
    }


async def _decide(parts: ServiceParts, unit: str, number: int) -> DecisionRecord:
    ask = Ask(experiment="home", unit=unit, decision_id=number, body_digest=bytes(16))
    found = await parts.runtime.decide(ask)
    assert found.record is not None
    await parts.appender.append_decision(found.record)
    return found.record


async def _click(parts: ServiceParts, decision: int, clock: FakeClock) -> None:
    now_ms = clock.now_ms()
    await parts.appender.append_rewards(
        [example_reward(decision, decision=decision, received_at=now_ms)]
    )
