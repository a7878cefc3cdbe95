"""Key figures folded range by range equal the analysis of the whole log, whatever comes between."""

import asyncio
import json
import math
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine

from matinee_platform import metrics
from matinee_platform.analysis.experiment.of_service import analyse_live
from matinee_platform.analysis.experiment.removed_rows import refuse_removed_rows
from matinee_platform.analysis.inference.sequential_srm import sequential_srm
from matinee_platform.analysis.slate_metrics import intra_list_diversity_reference
from matinee_platform.analysis.unit_days.event_log import read_event_unit_days
from matinee_platform.assignment import bucket_ranges, choose_arms
from matinee_platform.clock import FakeClock
from matinee_platform.experiments.definition import LiveExperiment
from matinee_platform.experiments.lifecycle import State
from matinee_platform.kpis import experiment_fold, kpi_supervisor
from matinee_platform.kpis.figures import KpiFigures
from matinee_platform.kpis.fold_file import fold_path
from matinee_platform.kpis.kpi_job import JobStores, KpiJob
from matinee_platform.kpis.kpi_status import STATUS_FILE, ExperimentKpis, KpiStatus, read_status
from matinee_platform.kpis.page_sums import ArmCatalogue
from matinee_platform.log_rows import COMPONENTS
from matinee_platform.maintenance.caretaker import Caretaker
from matinee_platform.maintenance.removal import SqlEventEraser, open_events
from matinee_platform.metrics import KPI_METRICS, LIVE_KPI_METRICS
from matinee_platform.pseudonyms import pseudonyms
from matinee_platform.service.kpi_metrics import KpiCollector
from matinee_platform.service.settings import ServiceSettings
from matinee_platform.storage.control_database import control_url, open_engine, upgrade
from matinee_platform.storage.control_store import ControlStore
from matinee_platform.storage.event_log import postgres_appender, sqlite_appender
from matinee_platform.storage.event_migrations import postgres_url
from matinee_platform.storage.event_migrations import upgrade as upgrade_events
from matinee_platform.storage.forgotten_units import ForgottenUnits
from matinee_platform.storage.lease import FileLease
from matinee_platform.storage.records import DecisionRecord, RewardRecord, ServedBy
from matinee_platform.storage.testing_events import example_decision, example_reward, windows
from matinee_policies.features import ItemFeatures

DAY, MINUTE = 86_400_000, 60_000
SINCE = 1_767_225_600_000
DAYS = 33
UNITS, ITEMS, VERSION = 36, 100, 77
SECRET = bytes(range(32))
EXPERIMENT = LiveExperiment.model_validate(
    {
        "key": "home",
        "salt": "home-1",
        "arms": [
            {"name": "old", "bundle": "old", "weight": 0.5},
            {"name": "new", "bundle": "new", "weight": 0.5},
        ],
    }
)
Record = DecisionRecord | RewardRecord


def catalogue() -> ItemFeatures:
    vectors = np.random.default_rng(1).normal(size=(ITEMS, 5))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return ItemFeatures(
        popularity=np.ones(ITEMS, dtype=np.float32),
        popularity_residual=np.zeros(ITEMS, dtype=np.float32),
        novelty=np.linspace(0, 1, ITEMS, dtype=np.float32),
        genres=np.zeros((ITEMS, 1), dtype=np.float32),
        embeddings=vectors.astype(np.float32),
    )


def unit_name(number: int) -> str:
    return f"somebody {number}"


PSEUDONYMS = [int(one) for one in pseudonyms(list(map(unit_name, range(UNITS))), secret=SECRET)]


def lives(seed: int = 3) -> list[Record]:
    """What units of both arms do, in the order in which it reaches the log, a little disordered."""
    draws = np.random.default_rng(seed)
    ranges = bucket_ranges([0.5, 0.5])
    rows: list[tuple[int, Record]] = []
    for unit in range(UNITS):
        bucket = int(draws.integers(0, 10_000))
        arm = ("old", "new")[int(choose_arms(np.array([bucket], dtype=np.int16), ranges)[0])]
        at = SINCE + int(draws.integers(0, 6 * DAY))
        while at < SINCE + DAYS * DAY:
            number = len(rows) + 1
            odd = unit == 5 and draws.random() < 0.3
            decision = replace(
                example_decision(number),
                arm={"old": "new", "new": "old"}[arm] if odd else arm,
                unit=PSEUDONYMS[unit],
                bucket=bucket,
                decided_at=at,
                catalogue_version=VERSION if draws.random() < 0.9 else VERSION + 1,
                served_by=ServedBy.FALLBACK if draws.random() < 0.1 else ServedBy.POLICY,
            )
            # Nothing is further back than what a log may hold.
            rows.append((at + int(draws.integers(0, 4 * MINUTE)), decision))
            rows.extend(rewards_of(decision, number, draws))
            near = draws.random() < 0.5
            at += int(draws.integers(0, 40 * MINUTE) if near else draws.integers(0, 4 * DAY))
    return [row for _, row in sorted(rows, key=lambda row: row[0])]


def rewards_of(
    decision: DecisionRecord, number: int, draws: np.random.Generator
) -> Iterator[tuple[int, RewardRecord]]:
    """Clicks and watches, some of them twice, late, early, or of a slot that showed nothing."""
    for event in range(int(draws.integers(0, 5))):
        name = ("click", "watch", "watch", "return_visit")[int(draws.integers(0, 4))]
        late = draws.random() < 0.15
        received = decision.decided_at + int(draws.integers(0, 30 * MINUTE))
        received += 2 * 30 * MINUTE if late else 0
        reward = example_reward(
            1_000 * number + event,
            decision=decision.decision_id,
            component=COMPONENTS.index(name),
            slot=-1 if name == "return_visit" else int(draws.integers(0, 5)),
            value=float(draws.random()) if name == "watch" else float(draws.integers(0, 2)),
            received_at=received,
        )
        early = draws.random() < 0.3
        yield (decision.decided_at - MINUTE if early else received, reward)


def in_log_order(rows: Sequence[Record], pieces: int) -> list[list[Record]]:
    """The rows in pieces that follow each other; the log may hold each in its own order."""
    size = -(-len(rows) // pieces)
    return [list(rows[start : start + size]) for start in range(0, len(rows), size)]


@dataclass
class Live:
    """A service's data without its process."""

    data_dir: Path
    database: str
    engine: Engine
    clock: FakeClock
    written: list[Record] = field(default_factory=list)

    @property
    def events(self) -> Path | str:
        return self.data_dir / "events.sqlite" if self.database == "sqlite" else self.database

    def write(self, rows: Sequence[Record]) -> None:
        """Append rows one after another, so that the log has their order."""

        async def main() -> None:
            if self.database == "sqlite":
                appender = await sqlite_appender(
                    self.data_dir / "events.sqlite", windows=windows, rewards_per_decision=100
                )
            else:
                appender = await postgres_appender(
                    self.database, windows=windows, rewards_per_decision=100, patience_seconds=60.0
                )
            waiting: list[asyncio.Future[Any]] = []
            for row in rows:
                if isinstance(row, DecisionRecord):
                    waiting.append(asyncio.ensure_future(appender.append_decision(row)))
                else:
                    waiting.append(asyncio.ensure_future(appender.append_rewards([row])))
                await asyncio.sleep(0)
            await asyncio.gather(*waiting)
            await appender.close()

        asyncio.run(main())
        self.written += rows

    def job(self, *, catalogues: bool = True) -> KpiJob:
        control = ControlStore(self.engine, clock=self.clock)
        known = {
            "old": ArmCatalogue(VERSION, catalogue()),
            "new": ArmCatalogue(VERSION, catalogue()),
        }
        stores = JobStores(
            data_dir=self.data_dir,
            events=self.events,
            running=lambda: control.experiments(state=State.RUNNING),
            check=lambda key, since: refuse_removed_rows(self.engine, key, since_ms=since),
            forgotten=ForgottenUnits(self.engine, clock=self.clock),
            catalogues=lambda _: known if catalogues else {},
        )
        return KpiJob(stores, clock=self.clock, rest=lambda _: None)

    def until(self) -> int:
        """A moment after all that was written, and the clock set to it."""
        latest = max(
            row.decided_at if isinstance(row, DecisionRecord) else row.received_at
            for row in self.written
        )
        self.clock.advance(seconds=max(latest + 1 - self.clock.now_ms(), 0) / 1_000)
        return self.clock.now_ms()

    def forget(self, name: str) -> int:
        """Forget a unit by its raw id; how many decisions went."""
        events = open_events(self.data_dir, self.database)
        caretaker = Caretaker(
            SqlEventEraser(events, pause=lambda _: None),
            control=self.engine,
            pseudonym_secret=SECRET,
            clock=self.clock,
            lease=FileLease(self.data_dir),
        )
        removed = caretaker.forget(name, who="test")
        events.dispose()
        return removed.decisions


def started(data_dir: Path, database: str) -> Live:
    url = control_url(data_dir, database)
    upgrade(url)
    engine = open_engine(url)
    clock = FakeClock(SINCE)
    store = ControlStore(engine, clock=clock)
    store.create(EXPERIMENT, who="test")
    store.start("home", who="test")
    return Live(data_dir, database, engine, clock)


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


def of_home(told: Sequence[ExperimentKpis]) -> ExperimentKpis:
    (home,) = told
    assert home.key == "home"
    return home


def assert_equals_analysis(live: Live, told: ExperimentKpis, *, until_ms: int) -> None:
    """Every count is that of the analysis of the whole log, read anew."""
    assert (told.reason, told.unread, told.until_ms) == ("", 0, until_ms)
    wanted = analyse_live(live.events, EXPERIMENT, running=True, since_ms=SINCE, until_ms=until_ms)
    units = read_event_unit_days(
        live.events, EXPERIMENT, since_ms=SINCE, until_ms=until_ms, growing=True, states=False
    )
    assert told.several == units.several_arms.size
    family = wanted["retention"]["metrics"]
    for arm, card in wanted["arms"].items():
        found = told.arms[arm]
        assert found.exposed == card["units"] > 0
        assert found.sessions == card["sessions"]
        assert found.pages == card["pages"]
        assert found.fallback_pages == card["fallbacks"]
        assert found.impressions == card["impressions"]
        assert found.clicks == card["clicks"]
        assert found.engagement == pytest.approx(card["engagement"], rel=1e-12)
        for day in (1, 7, 28):
            rate = family[f"d{day}"]["arms"][arm]
            assert found.retention[day].eligible == rate["eligible"]
            assert found.retention[day].returned == rate["returned"]
        assert found.returned_within == family["returned_within_7"]["arms"][arm]["returned"]
        for window in (7, 28):
            rate = family[f"active_days_{window}"]["arms"][arm]
            assert found.cohorts[window].users == rate["eligible"]
            assert found.cohorts[window].days == rate["returned"]
    counts = [wanted["arms"][arm]["units"] for arm in ("old", "new")]
    assert told.e_value == pytest.approx(sequential_srm(counts, [0.5, 0.5]).e_value[-1])


def assert_equals_rows(
    told: ExperimentKpis, rows: Sequence[Record], *, until_ms: int, gone: int | None = None
) -> None:
    """What the analysis does not tell, from the definition, row by row."""
    every = [row for row in rows if isinstance(row, DecisionRecord) and row.unit != gone]
    several = {
        unit
        for unit in {row.unit for row in every}
        if len({row.arm for row in every if row.unit == unit}) > 1
    }
    items, days = catalogue(), (until_ms - SINCE) // DAY
    for arm in ("old", "new"):
        pages = [row for row in every if row.arm == arm and row.unit not in several]
        known = [row for row in pages if row.catalogue_version == VERSION]
        slates = np.array([np.frombuffer(row.slate, "<i4") for row in known])
        diversity = intra_list_diversity_reference(slates, items.embeddings)
        found: KpiFigures = told.arms[arm]
        assert found.diversity == pytest.approx(np.nansum(diversity))
        assert found.diversity_pages == len(known)
        shown = slates[slates >= 0]
        assert found.novelty == pytest.approx(items.novelty[shown].sum(dtype=np.float64))
        assert found.novelty_impressions == shown.size
        every_slate = [
            np.frombuffer(row.slate, "<i4")
            for row in every
            if row.arm == arm and row.catalogue_version == VERSION
        ]
        assert found.coverage == len(set(np.concatenate(every_slate).tolist()) - {-1}) / ITEMS
        weights = [weight for row in pages for weight in even_weights(row)]
        assert found.drawn.slots == len(weights)
        assert found.drawn.weights == pytest.approx(math.fsum(weights))
        assert found.drawn.squared_weights == pytest.approx(math.fsum(w * w for w in weights))
        came = {(row.unit, (row.decided_at - SINCE) // DAY) for row in pages}
        for window in (1, 7, 28):
            within = {(unit, day) for unit, day in came if days - window <= day < days}
            assert found.activity[window].days == len(within)
            assert found.activity[window].users == len({unit for unit, _ in within})


def even_weights(row: DecisionRecord) -> Iterator[float]:
    left = len(row.candidates) // 4
    slate, propensities = np.frombuffer(row.slate, "<i4"), np.frombuffer(row.propensities, "<f8")
    for item, propensity in zip(slate, propensities, strict=True):
        if item >= 0:
            if propensity < 1:
                yield 1 / (propensity * left)
            left -= 1


def test_every_look_equals_the_analysis_of_the_whole_log(live: Live) -> None:
    job = live.job()
    for piece in in_log_order(lives(), 3):
        live.write(piece)
        until_ms = live.until()
        told = of_home(job.look())
        assert_equals_analysis(live, told, until_ms=until_ms)
        assert_equals_rows(told, live.written, until_ms=until_ms)
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
    kept = fold_path(live.data_dir, "home").read_bytes()
    assert gone.to_bytes(8, "little") not in kept
    # It may come again, as somebody new.
    again = [row for row in pieces[2] if isinstance(row, RewardRecord) or row.unit != gone]
    live.write(again)
    until_ms = live.until()
    for one in (job, live.job()):
        told = of_home(one.look())
        assert_equals_analysis(live, told, until_ms=until_ms)


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


def samples(status: KpiStatus, clock: FakeClock) -> dict[tuple[str, ...], float]:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(KpiCollector(lambda: status, clock=clock))
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
    live.engine.dispose()


@pytest.fixture
def process_of() -> Iterator[Callable[[ServiceSettings], "subprocess.Popen[bytes]"]]:
    """Starts the real process of a service; none outlives the test."""
    children: list[subprocess.Popen[bytes]] = []

    def start(settings: ServiceSettings) -> "subprocess.Popen[bytes]":
        child = subprocess.Popen(kpi_supervisor.COMMAND, stdin=subprocess.PIPE)
        assert child.stdin is not None
        child.stdin.write(settings.model_dump_json().encode() + b"\n")
        child.stdin.flush()
        children.append(child)
        return child

    yield start
    for child in children:
        assert child.stdin is not None
        child.stdin.close()
        child.kill()
        child.wait()


def test_the_process_lives_through_a_kill_in_mid_stream(
    tmp_path: Path, process_of: Callable[[ServiceSettings], "subprocess.Popen[bytes]"]
) -> None:
    live = started(tmp_path, "sqlite")
    (tmp_path / "secret").write_bytes(os.urandom(32).hex().encode())
    (tmp_path / "secret").chmod(0o600)
    settings = ServiceSettings(data_dir=tmp_path, experiments=[], kpi_every_seconds=0.1)
    pieces = in_log_order(lives(), 3)
    live.write(pieces[0])
    child = process_of(settings)
    assert told_by(tmp_path, child, pages=pages_of(pieces[0]))
    live.write(pieces[1])
    child.send_signal(signal.SIGKILL)
    child.wait()
    live.write(pieces[2])
    again = process_of(settings)
    home = told_by(tmp_path, again, pages=pages_of(live.written))
    # Its clock is the machine's, later than all that was written.
    assert home.until_ms > live.until()
    assert_equals_analysis(live, home, until_ms=home.until_ms)
    again.terminate()
    assert again.wait(timeout=60) == 0
    assert fold_path(tmp_path, "home").is_file()
    live.engine.dispose()


def pages_of(rows: Sequence[Record]) -> int:
    """Pages of units of one arm."""
    return sum(isinstance(row, DecisionRecord) and row.unit != PSEUDONYMS[5] for row in rows)


def told_by(folder: Path, child: "subprocess.Popen[bytes]", *, pages: int) -> ExperimentKpis:
    """What the process says once its figures hold so many pages."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert child.poll() is None
        status = read_status(folder / STATUS_FILE)
        if status is not None and status.process == child.pid and status.experiments:
            home = of_home(status.experiments)
            if sum(figures.pages for figures in home.arms.values()) == pages:
                return home
        time.sleep(0.05)
    raise AssertionError("the process told no figures")


def test_of_two_processes_one_makes_the_figures(
    tmp_path: Path, process_of: Callable[[ServiceSettings], "subprocess.Popen[bytes]"]
) -> None:
    live = started(tmp_path, "sqlite")
    ours = [row for row in lives() if isinstance(row, DecisionRecord)][:200]
    live.write([row for row in ours if row.unit != PSEUDONYMS[5]])
    lease = FileLease(tmp_path)
    assert lease.acquire("key-figures")
    settings = ServiceSettings(data_dir=tmp_path, experiments=[], kpi_every_seconds=0.1)
    child = process_of(settings)
    deadline = time.monotonic() + 60
    while (status := read_status(tmp_path / STATUS_FILE)) is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert status is not None
    assert (status.holds, status.experiments) == (False, ())
    lease.release("key-figures")
    assert told_by(tmp_path, child, pages=pages_of(live.written))
    live.engine.dispose()
