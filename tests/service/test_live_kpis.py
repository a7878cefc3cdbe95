"""Key figures folded range by range equal the analysis of the whole log, whatever comes between."""

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from matinee_platform import metrics
from matinee_platform.clock import FakeClock
from matinee_platform.kpis import experiment_fold, kpi_job, week_by_week
from matinee_platform.kpis.fold_file import fold_path
from matinee_platform.kpis.kpi_job import KpiJob
from matinee_platform.kpis.kpi_status import ExperimentKpis, KpiStatus
from matinee_platform.kpis.testing_live import (
    PSEUDONYMS,
    Live,
    assert_equals_analysis,
    assert_equals_rows,
    assert_weeks_equal_rows,
    in_log_order,
    lives,
    of_home,
    started,
    unit_name,
)
from matinee_platform.kpis.unit_sums import PAGE_SUMS, SUMS, Pages, UnitSums
from matinee_platform.metrics import KPI_METRICS, LIVE_KPI_METRICS
from matinee_platform.service.kpi_metrics import KpiCollector
from matinee_platform.storage.control_store import ControlStore
from matinee_platform.storage.event_migrations import postgres_url
from matinee_platform.storage.event_migrations import upgrade as upgrade_events
from matinee_platform.storage.records import DecisionRecord, RewardRecord
from matinee_platform.storage.testing_events import example_decision
from matinee_policies.errors import DataError


@pytest.fixture(params=["sqlite", "postgres"])
def live(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Live]:
    if request.param == "sqlite":
        found = started(tmp_path, "sqlite")
    else:
        database = request.getfixturevalue("new_postgres_database")()
        upgrade_events(postgres_url(database))
        found = started(tmp_path, database)
    yield found
    found.engine.dispose()


@pytest.fixture(autouse=True)
def small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiment_fold, "ROWS_AT_ONCE", 211)
    monkeypatch.setattr(kpi_job, "RANGES_AT_ONCE", 1_000)
    monkeypatch.setattr(week_by_week, "LEAST_USERS", 8)


def test_every_look_equals_the_analysis_of_the_whole_log(live: Live) -> None:
    job = live.job()
    for piece in in_log_order(lives(), 3):
        live.write(piece)
        until_ms = live.until()
        told = of_home(job.look())
        assert_equals_analysis(live, told, until_ms=until_ms)
        assert_equals_rows(told, live.written, until_ms=until_ms)
        assert_weeks_equal_rows(told, live.written, until_ms=until_ms)
        assert None not in {weeks.departure for weeks in told.weeks.values()}
    assert told.several == 1
    assert told.arms["old"].retention[28].eligible > 5


def test_a_job_that_was_killed_goes_on_from_what_was_kept(live: Live) -> None:
    pieces = in_log_order(lives(), 4)
    live.write(pieces[0])
    live.until()
    first = live.job()
    first.look()
    first.save("home")
    live.write(pieces[1])
    live.until()
    first.look()
    del first  # nothing was kept of what it folded last
    live.write([*pieces[2], *pieces[3]])
    until_ms = live.until()
    second = live.job()
    told = of_home(second.look())
    assert_equals_analysis(live, told, until_ms=until_ms)
    assert_equals_rows(told, live.written, until_ms=until_ms)
    assert_weeks_equal_rows(told, live.written, until_ms=until_ms)
    second.close()
    for harm in (b"", fold_path(live.data_dir, "home").read_bytes()[:-200]):
        fold_path(live.data_dir, "home").write_bytes(harm)
        assert_equals_analysis(live, of_home(live.job().look()), until_ms=until_ms)


def test_a_unit_that_is_forgotten_leaves_no_trace(live: Live) -> None:
    pieces = in_log_order(lives(), 3)
    live.write([*pieces[0], *pieces[1]])
    live.until()
    job = live.job()
    before = of_home(job.look())
    gone = PSEUDONYMS[7]
    assert live.forget(unit_name(7)) > 0
    told = of_home(job.look())
    until_ms = live.until()
    assert sum(arm.exposed for arm in told.arms.values()) == (
        sum(arm.exposed for arm in before.arms.values()) - 1
    )
    assert_equals_analysis(live, told, until_ms=until_ms)
    assert_equals_rows(told, live.written, until_ms=until_ms, gone=gone)
    others = [row for row in live.written if isinstance(row, RewardRecord) or row.unit != gone]
    assert_weeks_equal_rows(told, others, until_ms=until_ms)
    kept = fold_path(live.data_dir, "home").read_bytes()
    assert gone.to_bytes(8, "little") not in kept
    # It may come again, as somebody new.
    again = [row for row in pieces[2] if isinstance(row, RewardRecord) or row.unit != gone]
    live.write(again)
    until_ms = live.until()
    for one in (job, live.job()):
        told = of_home(one.look())
        assert_equals_analysis(live, told, until_ms=until_ms)


def test_what_is_kept_of_an_experiment_that_stopped_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = started(tmp_path, "sqlite")
    live.write([row for row in lives() if isinstance(row, DecisionRecord)][:200])
    live.until()
    gone = PSEUDONYMS[7].to_bytes(8, "little")
    path, control = fold_path(tmp_path, "home"), ControlStore(live.engine, clock=live.clock)

    def kept() -> KpiJob:
        job = live.job()
        job.look()
        job.save("home", at_once=True)
        assert gone in path.read_bytes()
        return job

    # Another process makes the figures from now on.
    job = kept()
    job.stand_by()
    assert not path.exists()
    job.close()
    assert not path.exists()
    # It runs, and its first rows are gone: nobody looks at it any more.
    job = kept()
    monkeypatch.setattr(job, "_stores", replace(job._stores, check=refuse))
    assert of_home(job.look()).reason
    assert not path.exists()
    # Of a unit that is forgotten while there is no room for another file.
    job = kept()
    with monkeypatch.context() as patch:
        patch.setattr(kpi_job, "save_fold", no_room)
        assert live.forget(unit_name(8)) > 0
        job.look()
    assert not path.exists()
    # It stops while the process looks on, and while there is none.
    job = kept()
    draft = path.with_name("home.npz.partial")
    draft.write_bytes(path.read_bytes())
    whole = path.read_bytes()
    control.stop("home", who="test")
    assert live.forget(unit_name(7)) > 0
    assert job.look() == ()
    assert (path.exists(), draft.exists()) == (False, False)
    job.close()
    path.write_bytes(whole)
    assert live.job().look() == ()
    assert not path.exists()
    live.engine.dispose()


def no_room(*_: object, **__: object) -> None:
    raise OSError("no room")


def refuse(key: str, since_ms: int) -> None:
    raise DataError(f"log of experiment {key!r}", rule="its first rows are gone", value=since_ms)


def test_a_log_that_was_restored_is_folded_from_its_beginning(tmp_path: Path) -> None:
    rows = lives()
    whole = started(tmp_path, "sqlite")
    whole.write(rows)
    whole.until()
    job = whole.job()
    job.look()
    job.close()
    for path in tmp_path.glob("events.sqlite*"):
        path.unlink()
    whole.written.clear()
    whole.write(lives(seed=4)[: len(rows) // 2])
    until_ms = whole.until()
    assert_equals_analysis(whole, of_home(whole.job().look()), until_ms=until_ms)
    # As long as the one that was folded.
    whole.write(lives(seed=4)[len(rows) // 2 :])
    until_ms = whole.until()
    assert_equals_analysis(whole, of_home(whole.job().look()), until_ms=until_ms)
    whole.engine.dispose()


def test_a_log_that_cannot_be_folded_is_told_and_figures_grow_old(tmp_path: Path) -> None:
    live = started(tmp_path, "sqlite")
    pieces = in_log_order(lives(), 2)
    live.write(pieces[0])
    live.until()
    job = live.job(catalogues=False)
    before = of_home(job.look())
    assert math.isnan(before.arms["old"].coverage)
    live.write([replace(example_decision(900_000), arm="third", decided_at=live.clock.now_ms())])
    live.until()
    told = of_home(job.look())
    assert "must be one of old, new, holdout" in told.reason
    assert (told.until_ms, told.arms) == (before.until_ms, before.arms)
    ControlStore(live.engine, clock=live.clock).stop("home", who="test")
    assert job.look() == ()
    live.engine.dispose()


def test_a_log_that_is_long_is_told_as_unread_until_it_is_folded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kpi_job, "RANGES_AT_ONCE", 3)
    live = started(tmp_path, "sqlite")
    pieces = in_log_order(lives(), 8)
    live.write(pieces[0])
    live.until()
    job = live.job()
    while (before := of_home(job.look())).unread:
        assert (before.until_ms, before.arms) == (0, {})
    assert before.until_ms == live.clock.now_ms()
    for piece in pieces[1:]:
        live.write(piece)
    until_ms, behind = live.until(), sum(len(piece) for piece in pieces[1:])
    looks = -(-behind // (3 * 211))
    assert looks > 3
    for look in range(1, looks):
        told = of_home(job.look())
        assert told.unread == behind - 3 * 211 * look
        # The others of before, and their age grows: half a log would be wrong.
        assert (told.until_ms, told.arms) == (before.until_ms, before.arms)
        status = KpiStatus(process=1, beats=2, holds=True, experiments=(told,))
        assert samples(status, live.clock)[metrics.KPI_UNREAD.name, "home"] == told.unread
    told = of_home(job.look())
    assert_equals_analysis(live, told, until_ms=until_ms)
    assert_equals_rows(told, live.written, until_ms=until_ms)
    live.engine.dispose()


def samples(
    status: KpiStatus, clock: FakeClock, *, collector: KpiCollector | None = None
) -> dict[tuple[str, ...], float]:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector or KpiCollector(lambda: status, clock=clock))
    labels = {one.name: one.labels for one in (*KPI_METRICS, *LIVE_KPI_METRICS)}
    return {
        (sample.name, *(sample.labels[label] for label in labels[family.name])): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
    }


def test_metrics_show_the_figures_and_their_age(tmp_path: Path) -> None:
    live = started(tmp_path, "sqlite")
    live.write(lives())
    until_ms = live.until()
    told = of_home(live.job().look())
    status = KpiStatus(process=1, beats=2, holds=True, experiments=(told,))
    assert KpiStatus.from_json(json.loads(json.dumps(status.to_json()))) == status
    live.clock.advance(seconds=40)
    found = samples(status, live.clock)
    assert {name for name, *_ in found} == {one.name for one in (*KPI_METRICS, *LIVE_KPI_METRICS)}
    assert found[metrics.KPI_AGE.name, "home"] == 40
    assert found[metrics.KPI_SUCCESS.name, "home", "old"] == until_ms / 1_000
    assert found[metrics.EXPOSED_USERS.name, "home", "new"] == told.arms["new"].exposed
    assert found[metrics.RETENTION_RETURNED.name, "home", "new", "7"] == (
        told.arms["new"].retention[7].returned
    )
    never = KpiStatus(
        process=1, beats=3, holds=True, experiments=(ExperimentKpis(key="home", reason="no log"),)
    )
    assert samples(never, live.clock) == {
        (metrics.KPI_AGE.name, "home"): 0,
        (metrics.KPI_FAILED.name, "home"): 1,
        (metrics.KPI_UNREAD.name, "home"): 0,
    }
    # Of an experiment that is new: no older than this process knows of it.
    told_last = [KpiStatus(process=1, beats=3, holds=True)]
    collector = KpiCollector(lambda: told_last[0], clock=live.clock)
    assert samples(told_last[0], live.clock, collector=collector) == {}
    live.clock.advance(seconds=86_400)
    told_last[0] = never
    ages = []
    for _ in range(2):
        found = samples(never, live.clock, collector=collector)
        ages.append(found[metrics.KPI_AGE.name, "home"])
        live.clock.advance(seconds=30)
    assert ages == [0, 30]
    live.engine.dispose()


def test_rows_of_units_are_found_by_an_order_that_is_kept() -> None:
    draws = np.random.default_rng(1)
    units, seen = UnitSums(0), set[int]()
    assert not units.has(np.array([3], dtype=np.int64)).any()
    for turn in range(20):
        new = draws.integers(-(2**63), 2**63, size=30)
        unit = draws.permutation(np.append(new, np.array([*seen][:10], dtype=np.int64)))
        assert np.array_equal(units.has(unit), np.isin(unit, units["unit"]))
        count = unit.size
        units.fold(
            Pages(
                unit=unit,
                arm=np.zeros(count, dtype=np.int16),
                bucket=np.zeros(count, dtype=np.int16),
                at=np.full(count, turn, dtype=np.int64),
                sums={
                    name: np.full(count, name == "pages", dtype=SUMS[name]) for name in PAGE_SUMS
                },
            )
        )
        seen |= set(unit.tolist())
        assert set(units["unit"].tolist()) == seen
        assert len(units) == len(seen)
        gone = np.array([*seen][:3], dtype=np.int64)
        units.drop(gone)
        seen -= set(gone.tolist())
    # The rows that each unit's pages went to are its own: 10 old ones came each turn.
    assert units["pages"].min() >= 1
    assert units.has(np.array([*seen], dtype=np.int64)).all()
