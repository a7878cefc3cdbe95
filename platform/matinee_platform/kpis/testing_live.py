"""A service's data without its process, and its key figures from their definitions, for tests."""

# ruff: noqa: D102, D103, S101 -- names say what they are for; they assert

import asyncio
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine

from matinee_platform.analysis.experiment.of_service import analyse_live
from matinee_platform.analysis.experiment.removed_rows import refuse_removed_rows
from matinee_platform.analysis.inference.sequential_srm import sequential_srm
from matinee_platform.analysis.slate_metrics import intra_list_diversity_reference
from matinee_platform.analysis.unit_days.event_log import read_event_unit_days
from matinee_platform.assignment import bucket_ranges, choose_arms
from matinee_platform.clock import FakeClock
from matinee_platform.experiments.definition import LiveExperiment
from matinee_platform.experiments.lifecycle import State
from matinee_platform.kpis import week_by_week
from matinee_platform.kpis.figures import KpiFigures
from matinee_platform.kpis.kpi_job import JobStores, KpiJob
from matinee_platform.kpis.kpi_status import ExperimentKpis
from matinee_platform.kpis.page_sums import ArmCatalogue
from matinee_platform.log_rows import COMPONENTS
from matinee_platform.maintenance.caretaker import Caretaker
from matinee_platform.maintenance.removal import SqlEventEraser, open_events
from matinee_platform.pseudonyms import pseudonyms
from matinee_platform.storage.control_database import control_url, open_engine, upgrade
from matinee_platform.storage.control_store import ControlStore
from matinee_platform.storage.event_log import postgres_appender, sqlite_appender
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


def watched(decision: DecisionRecord, rewards: Sequence[RewardRecord]) -> float:
    """Sum of the watched fractions of a page: the first in time of each slot that showed one."""
    slate = np.frombuffer(decision.slate, "<i4")
    first: dict[int, float] = {}
    for row in rewards:
        there = 0 <= row.slot < slate.size and slate[row.slot] >= 0
        in_time = row.received_at <= decision.decided_at + 30 * MINUTE
        if COMPONENTS[row.component] == "watch" and there and in_time:
            first.setdefault(row.slot, row.value)
    return math.fsum(first.values())


def assert_weeks_equal_rows(told: ExperimentKpis, rows: Sequence[Record], *, until_ms: int) -> None:
    """The last two weeks of each arm from the definition, page by page and user by user."""
    every = [row for row in rows if isinstance(row, DecisionRecord)]
    rewards: dict[int, list[RewardRecord]] = {}
    for row in rows:
        if isinstance(row, RewardRecord):
            rewards.setdefault(row.decision_id, []).append(row)
    week = max([until_ms, *(row.decided_at for row in every)]) - SINCE
    week //= 7 * DAY
    seen: dict[int, set[str]] = {}
    for row in every:
        seen.setdefault(row.unit, set()).add(row.arm)
    for arm in ("old", "new"):
        units = {unit for unit, arms in seen.items() if arms == {arm}}
        # Of each user: engagement and pages of this week, then of the last one.
        sums = {unit: np.zeros(4) for unit in units}
        for row in every:
            back = week - (row.decided_at - SINCE) // (7 * DAY)
            if row.unit in units and back in (0, 1):
                earned = watched(row, rewards.get(row.decision_id, []))
                sums[row.unit][2 * back : 2 * back + 2] += (earned, 1)
        table = np.array([one for one in sums.values() if one.any()])
        total = table.sum(axis=0)
        found = told.weeks[arm]
        assert (found.pages, found.pages_before) == (total[1], total[3])
        assert found.pages > 0
        assert found.pages_before > 0
        assert found.engagement == pytest.approx(total[0])
        assert found.engagement_before == pytest.approx(total[2])
        if min((table[:, 1] > 0).sum(), (table[:, 3] > 0).sum()) < week_by_week.LEAST_USERS:
            assert found.departure is None
            continue
        # The gradient of a / b - c / d by the means, and their covariance by user.
        a, b, c, d = table.mean(axis=0)
        slope = np.array([1 / b, -a / b**2, -1 / d, c / d**2])
        variance = slope @ np.cov(table.T) @ slope / len(table)
        assert found.departure == pytest.approx((a / b - c / d) / math.sqrt(variance))


def even_weights(row: DecisionRecord) -> Iterator[float]:
    left = len(row.candidates) // 4
    slate, propensities = np.frombuffer(row.slate, "<i4"), np.frombuffer(row.propensities, "<f8")
    for item, propensity in zip(slate, propensities, strict=True):
        if item >= 0:
            if propensity < 1:
                yield 1 / (propensity * left)
            left -= 1
