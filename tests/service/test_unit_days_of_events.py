"""Sums by unit and day of a service's log, in both databases, against a twin in plain Python."""

import asyncio
import math
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

from matinee_platform.analysis.unit_days.event_log import read_event_unit_days
from matinee_platform.analysis.unit_days.records import UnitDays
from matinee_platform.assignment import bucket_ranges, choose_arms
from matinee_platform.experiments.definition import LiveExperiment
from matinee_platform.storage.errors import LogUnavailableError
from matinee_platform.storage.event_log import postgres_appender, sqlite_appender
from matinee_platform.storage.event_migrations import postgres_url, upgrade
from matinee_platform.storage.ports import EventAppender
from matinee_platform.storage.records import DecisionRecord, RewardRecord, ServedBy
from matinee_platform.storage.testing_events import example_decision, example_reward, windows
from matinee_policies.errors import ConfigError, DataError

DAY, MINUTE = 86_400_000, 60_000
SINCE = 1_767_225_600_000
DAYS = 9
UNTIL = SINCE + DAYS * DAY - 3 * 3_600_000
SLOTS, GENRES = 5, 3
EXPERIMENT = LiveExperiment.model_validate(
    {
        "key": "home",
        "salt": "home-2",
        "slots": SLOTS,
        "candidates": 12,
        "arms": [
            {"name": "old", "weight": 0.25, "bundle": "a"},
            {"name": "new", "weight": 0.75, "bundle": "b"},
        ],
    }
)
WINDOW = windows("home")[0]
ARMS = ("old", "new", "holdout")

Rows = list[DecisionRecord | RewardRecord]


@dataclass
class Opened:
    """A log of one of the databases."""

    name: Path | str
    open_appender: Callable[[], Any]
    execute: Callable[[str], None]

    def write(self, rows: Rows) -> None:
        async def main() -> None:
            appender: EventAppender = await self.open_appender()
            for row in rows:
                if isinstance(row, DecisionRecord):
                    await appender.append_decision(row)
                else:
                    await appender.append_rewards([row])
            await appender.close()

        asyncio.run(main())

    def read(self, **options: Any) -> UnitDays:
        given = {"since_ms": SINCE, "until_ms": UNTIL, **options}
        return read_event_unit_days(self.name, EXPERIMENT, **given)


@pytest.fixture(params=["sqlite", "postgres"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Opened:
    if request.param == "sqlite":
        path = tmp_path / "events.sqlite"

        def on_file(statement: str) -> None:
            with sqlite3.connect(path) as connection:
                connection.execute(statement)
            connection.close()

        return Opened(
            path,
            lambda: sqlite_appender(path, windows=windows, rewards_per_decision=1_000),
            on_file,
        )
    address = request.getfixturevalue("new_postgres_database")()
    upgrade(postgres_url(address))

    def on_server(statement: str) -> None:
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(statement.encode())

    return Opened(
        address,
        lambda: postgres_appender(
            address, windows=windows, rewards_per_decision=1_000, patience_seconds=60.0
        ),
        on_server,
    )


def arm_of(bucket: int) -> str:
    ranges = bucket_ranges([arm.weight for arm in EXPERIMENT.arms])
    return ARMS[int(choose_arms(np.array([bucket], dtype=np.int16), ranges)[0])]


def random_rows(seed: int, *, units: int = 12, strays: int = 1) -> Rows:
    """Decisions and rewards of a few units in the order in which a log gets them."""
    draws = np.random.default_rng(seed)
    pseudonyms = draws.integers(0, 2**64, size=units, dtype=np.uint64).tolist()
    rows: list[tuple[int, DecisionRecord | RewardRecord]] = []
    number = 0
    for unit, pseudonym in enumerate(pseudonyms):
        bucket = int(draws.integers(0, 10_000))
        arm = "holdout" if unit % 5 == 4 else arm_of(bucket)
        # Some come before the experiment's present start, some after the end of the data.
        at = SINCE + int(draws.integers(-DAY, 3 * DAY))
        for _ in range(int(draws.integers(1, 14))):
            at += int(draws.choice([0, 1, 5, 29, 30, 31, 300, 1_439, 1_441, 3_000])) * MINUTE
            at += int(draws.integers(0, 2))
            if unit < strays and draws.random() < 0.5:
                arm = "holdout" if arm != "holdout" else arm_of(bucket)
            decision = random_decision(draws, number, pseudonym, bucket=bucket, arm=arm, at=at)
            rows.append((at, decision))
            for _ in range(int(draws.poisson(3))):
                number += 1
                reward = random_reward(draws, number, decision)
                rows.append((reward.received_at, reward))
            number += 1
    rows.append((SINCE + DAY, example_reward(9_999_999, decision=77, received_at=SINCE + DAY)))
    rows.sort(key=lambda one: (one[0], isinstance(one[1], RewardRecord)))
    return [one for _, one in rows]


def random_decision(
    draws: np.random.Generator, number: int, unit: int, *, bucket: int, arm: str, at: int
) -> DecisionRecord:
    # Rows whose bytes are mostly ones stand beside empty slots.
    slate = draws.choice([0, 1, 255, 2**24 - 1, 2**31 - 1, -1], size=int(draws.integers(1, 6)))
    state = draws.random(2 * GENRES + 2, dtype=np.float32)
    state[-1] = draws.choice([-1.0, 3.0])
    if draws.random() < 0.5:
        state[:GENRES] = 0
    return example_decision(
        number,
        decision_id=int(draws.integers(0, 2**64, dtype=np.uint64)),
        experiment="home" if draws.random() < 0.95 else "other",
        unit=unit,
        bucket=bucket,
        arm=arm,
        decided_at=at,
        slate=slate.astype("<i4").tobytes(),
        unit_state=state.tobytes(),
        served_by=ServedBy(int(draws.choice([0, 0, 0, 1, 2]))),
    )


def random_reward(
    draws: np.random.Generator, number: int, decision: DecisionRecord
) -> RewardRecord:
    component = int(draws.choice([0, 0, 1, 1, 2, 3]))
    late = int(draws.choice([0, 1, 10 * MINUTE, WINDOW, WINDOW + 1, 2 * DAY]))
    return example_reward(
        number,
        decision=decision.decision_id,
        component=component,
        slot=int(draws.integers(-1, SLOTS + 1)),
        value=float(draws.choice([0.0, 1.0])) if component == 0 else float(draws.random()),
        received_at=decision.decided_at + late,
    )


def twin(rows: Rows) -> tuple[dict[int, Any], dict[tuple[int, int], Any]]:
    """Units and their days, as a reader of `records.UnitDays` would count them by hand."""
    chosen = [
        row
        for row in rows
        if isinstance(row, DecisionRecord)
        and row.experiment == "home"
        and SINCE <= row.decided_at < UNTIL
    ]
    by_unit: dict[int, list[DecisionRecord]] = defaultdict(list)
    for row in chosen:
        by_unit[row.unit].append(row)
    units: dict[int, Any] = {}
    days: dict[tuple[int, int], Any] = {}
    for unit, own in sorted(by_unit.items()):
        arms = {row.arm for row in own}
        first = min(row.decided_at for row in own)
        units[unit] = {
            "arm": own[0].arm if len(arms) == 1 else None,
            "exposed_at": first,
            "exposed_on": (first - SINCE) // DAY,
            "observed": (UNTIL - first) // DAY,
            "rewarded": (UNTIL - first - WINDOW) // DAY,
            "state": np.frombuffer(own[0].unit_state, dtype="<f4"),
        }
        before = -math.inf
        for row in sorted(own, key=lambda one: one.decided_at):
            day = days.setdefault(
                (unit, (row.decided_at - first) // DAY),
                {
                    "calendar": (row.decided_at - SINCE) // DAY,
                    "sessions": 0,
                    "pages": 0,
                    "impressions": 0,
                    "fallbacks": 0,
                    "clicks": 0,
                    "engagement": 0.0,
                },
            )
            slate = np.frombuffer(row.slate, dtype="<i4").tolist()
            day["sessions"] += row.decided_at - before > 30 * MINUTE
            before = row.decided_at
            day["pages"] += 1
            day["impressions"] += sum(item != -1 for item in slate)
            day["fallbacks"] += row.served_by == ServedBy.FALLBACK
            taken = set()
            for event in rows:
                if not isinstance(event, RewardRecord) or event.decision_id != row.decision_id:
                    continue
                place = (event.component, event.slot)
                shown = 0 <= event.slot < len(slate) and slate[event.slot] != -1
                in_time = event.received_at <= row.decided_at + WINDOW
                if event.component > 1 or not shown or not in_time or place in taken:
                    continue
                if event.received_at >= UNTIL:
                    continue
                taken.add(place)
                day["clicks"] += event.component == 0 and event.value > 0
                day["engagement"] += event.value if event.component == 1 else 0.0
    return units, days


def orphans(rows: Rows) -> int:
    """Clicks and watches of the experiment's decisions at slots that showed nothing."""
    slates = {
        row.decision_id: np.frombuffer(row.slate, dtype="<i4").tolist()
        for row in rows
        if isinstance(row, DecisionRecord)
        and row.experiment == "home"
        and SINCE <= row.decided_at < UNTIL
    }
    return sum(
        not (0 <= row.slot < len(slate) and slate[row.slot] != -1)
        for row in rows
        if isinstance(row, RewardRecord)
        and row.component < 2
        and row.received_at < UNTIL
        and row.decision_id in slates
        for slate in [slates[row.decision_id]]
    )


def check(table: UnitDays, rows: Rows) -> None:
    units, days = twin(rows)
    several = [unit for unit, one in units.items() if one["arm"] is None]
    kept = {unit: one for unit, one in units.items() if one["arm"] is not None}
    assert table.several_arms.tolist() == several
    assert table.unit.tolist() == list(kept)
    assert [table.arms[arm] for arm in table.arm] == [one["arm"] for one in kept.values()]
    for name in ("exposed_at", "exposed_on", "observed", "rewarded"):
        assert getattr(table, name).tolist() == [one[name] for one in kept.values()], name
    wanted = {key: one for key, one in days.items() if key[0] in kept}
    got = {}
    for row in range(table.row_unit.size):
        key = (int(table.unit[table.row_unit[row]]), int(table.row_day[row]))
        assert key not in got
        got[key] = {
            "calendar": table.row_calendar_day[row],
            **{
                name: getattr(table, name)[row]
                for name in (
                    "sessions",
                    "pages",
                    "impressions",
                    "fallbacks",
                    "clicks",
                    "engagement",
                )
            },
        }
    assert list(got) == sorted(wanted)
    for key, one in wanted.items():
        assert got[key] == pytest.approx(one, rel=1e-12), key
    check_states(table, [one["state"] for one in kept.values()])
    assert table.days == (UNTIL - SINCE) // DAY


def check_states(table: UnitDays, states: Sequence[Any]) -> None:
    history = [
        float(state[:GENRES].sum(dtype=np.float64))
        if state[:GENRES].sum() > 0 or state[-1] >= 0
        else math.nan
        for state in states
    ]
    activity = [float(state[-2]) if state[-1] >= 0 else math.nan for state in states]
    np.testing.assert_allclose(table.covariates["history"], history)
    np.testing.assert_allclose(table.covariates["activity"], activity)
    assert table.segments["new"].tolist() == [int(math.isnan(one)) for one in history]
    assert table.segments["taste"].tolist() == [
        int(state[:GENRES].argmax()) if state[:GENRES].sum() > 0 else -1 for state in states
    ]
    assert table.segment_labels["taste"] == ("genre 0", "genre 1", "genre 2")


@pytest.mark.parametrize("seed", range(3))
def test_sums_are_those_of_the_twin(log: Opened, seed: int) -> None:
    rows = random_rows(seed, units=14)
    log.write(rows)
    table = log.read()
    check(table, rows)
    assert table.orphan_rewards == orphans(rows) > 0
    assert table.arms == ARMS
    assert table.clicks.sum() > 5
    assert table.fallbacks.sum() > 3


def test_both_databases_give_the_same_table(
    tmp_path: Path, new_postgres_database: Callable[[], str]
) -> None:
    rows, address, path = random_rows(8), new_postgres_database(), tmp_path / "events.sqlite"
    upgrade(postgres_url(address))

    async def write(appender: EventAppender) -> None:
        for row in rows:
            if isinstance(row, DecisionRecord):
                await appender.append_decision(row)
            else:
                await appender.append_rewards([row])
        await appender.close()

    async def main() -> None:
        await write(await sqlite_appender(path, windows=windows, rewards_per_decision=1_000))
        await write(
            await postgres_appender(
                address, windows=windows, rewards_per_decision=1_000, patience_seconds=60.0
            )
        )

    asyncio.run(main())
    options: dict[str, Any] = {"since_ms": SINCE, "until_ms": UNTIL}
    one = read_event_unit_days(path, EXPERIMENT, **options)
    two = read_event_unit_days(address, EXPERIMENT, **options)
    for name in UnitDays.__dataclass_fields__:
        left, right = getattr(one, name), getattr(two, name)
        if isinstance(left, dict):
            assert list(left) == list(right)
            for key in left:
                np.testing.assert_array_equal(left[key], right[key])
        elif name == "engagement":
            np.testing.assert_allclose(left, right, rtol=1e-12)
        else:
            np.testing.assert_array_equal(left, right)


def good_rows() -> Rows:
    """Units 1 to 40, one decision an hour each, in their arms."""
    found: Rows = []
    for number in range(80):
        bucket = (number % 40) * 250
        decision = example_decision(
            number,
            decision_id=1_000 + number,
            unit=1 + number % 40,
            bucket=bucket,
            arm=arm_of(bucket),
            decided_at=SINCE + number * 3_600_000,
        )
        found.append(decision)
    return found


def test_a_reader_sees_one_moment_while_the_service_writes(tmp_path: Path) -> None:
    path = tmp_path / "events.sqlite"
    rows = good_rows()

    async def main() -> None:
        appender = await sqlite_appender(path, windows=windows)
        for row in rows[:50]:
            assert isinstance(row, DecisionRecord)
            await appender.append_decision(row)
        before = await asyncio.to_thread(
            read_event_unit_days, path, EXPERIMENT, since_ms=SINCE, until_ms=UNTIL
        )
        for row in rows[50:]:
            assert isinstance(row, DecisionRecord)
            await appender.append_decision(row)
        after = await asyncio.to_thread(
            read_event_unit_days, path, EXPERIMENT, since_ms=SINCE, until_ms=UNTIL
        )
        await appender.close()
        assert (before.pages.sum(), after.pages.sum()) == (50, 80)

    asyncio.run(main())


def changed(rows: Rows, places: Sequence[int], **values: Any) -> Rows:
    return [replace(row, **values) if i in places else row for i, row in enumerate(rows)]


@pytest.mark.parametrize(
    ("rows", "rule"),
    [
        (
            changed(good_rows(), [3, 60], arm="newer"),
            r"must be one of old, new, holdout, decisions of others: 2 times, such as 2 of 'newer'",
        ),
        (
            changed(good_rows(), [70], decided_at=SINCE),
            r"must not go back .* by more than 600 s: once, such as 248400 s at decision 1070",
        ),
        (
            changed(good_rows(), [5], bucket=5_000),
            r"must have one bucket .*: once, such as unit 6 of buckets 1250 and 5000",
        ),
        (
            changed(good_rows(), [9, 49, 8, 48], bucket=9_000),
            r"must own its bucket .*: 2 times, such as unit 9 of bucket 9000 in arm old, unit 10",
        ),
        (
            [row for row in good_rows() if isinstance(row, DecisionRecord) and row.arm == "new"],
            r"empty arms: once, such as 'old'",
        ),
        (
            [
                *good_rows(),
                *(
                    example_reward(n, decision=1_000 + n, component=1, value=1.5, slot=n % 4)
                    for n in range(5)
                ),
            ],
            r"within 0 and 1: 5 times, such as 1\.5 for the watch of decision 1000, "
            r"1\.5 for the watch of decision 1001, 1\.5 for the watch of decision 1002$",
        ),
    ],
    ids=["undeclared", "backwards", "two buckets", "wrong arm", "empty arm", "values"],
)
def test_a_bad_log_is_refused_with_counts_and_examples(log: Opened, rows: Rows, rule: str) -> None:
    log.write(rows)
    with pytest.raises(DataError, match=rule):
        log.read()


def test_few_units_of_two_buckets_are_left_out(log: Opened) -> None:
    def row(number: int, *, unit: int, bucket: int) -> DecisionRecord:
        return example_decision(
            number,
            decision_id=1_000 + number,
            unit=unit,
            bucket=bucket,
            arm=arm_of(bucket),
            decided_at=SINCE + number * MINUTE,
        )

    rows: Rows = [row(number, unit=1 + number, bucket=number * 99) for number in range(101)]
    log.write([*rows, row(101, unit=101, bucket=9_999)])
    table = log.read()
    assert table.several_arms.tolist() == [101]
    assert table.unit.tolist() == list(range(1, 101))
    assert table.pages.sum() == 100
    # With another one they are as many as rows of several starts would be.
    log.write([row(102, unit=1, bucket=1)])
    with pytest.raises(DataError, match=r"must have one bucket .*: 2 times"):
        log.read()


def test_an_arm_may_be_empty_while_units_come_in(log: Opened) -> None:
    log.write([one for one in good_rows() if getattr(one, "arm", "") == "new"])
    table = log.read(growing=True)
    assert set(table.arm.tolist()) == {ARMS.index("new")}
    assert len(log.read(growing=True, until_ms=SINCE + 1)) == 0


def test_time_may_go_back_within_the_tolerance(log: Opened) -> None:
    log.write(changed(good_rows(), [70], decided_at=SINCE + 69 * 3_600_000 - 590_000))
    assert log.read().pages.sum() == 80
    with pytest.raises(DataError, match="by more than 589 s: once"):
        log.read(tolerance_ms=589_000)


def test_a_decision_id_that_occurs_twice_is_refused(log: Opened) -> None:
    log.write(good_rows())
    log.execute("DROP INDEX ix_decisions_decision_id")
    log.execute("UPDATE decisions SET decision_id = 1007 WHERE decision_id IN (1008, 1009, 1010)")
    log.execute("UPDATE decisions SET decision_id = -5 WHERE decision_id IN (1020, 1021)")
    with pytest.raises(DataError, match=f"2 times, such as decision {2**64 - 5}, decision 1007"):
        log.read()


def test_another_experiment_is_none_of_it(log: Opened) -> None:
    """Neither its ids nor its rewards are told here, nor those that name no experiment."""
    log.write(good_rows())
    alone = log.read()
    log.write(
        [example_decision(5_000 + n, experiment="other", decided_at=SINCE + DAY) for n in range(3)]
        + [
            example_reward(5_000, decision=5_000, slot=99, received_at=SINCE + DAY),
            example_reward(5_001, decision=77, received_at=SINCE + DAY),
        ]
    )
    log.execute("DROP INDEX ix_decisions_decision_id")
    log.execute("UPDATE decisions SET decision_id = 9 WHERE experiment = 'other'")
    assert log.read().orphan_rewards == alone.orphan_rewards == 0


def test_nan_is_refused(log: Opened) -> None:
    log.write([*good_rows(), example_reward(1, decision=1_000, component=1, value=0.5)])
    if isinstance(log.name, Path):
        with pytest.raises(sqlite3.IntegrityError):
            log.execute("UPDATE rewards SET value = NULL")
    else:
        log.execute("UPDATE rewards SET value = 'NaN'")
        with pytest.raises(DataError, match="within 0 and 1: once, such as nan for the watch"):
            log.read()


def test_no_end_before_the_start(log: Opened) -> None:
    with pytest.raises(ConfigError, match="until_ms must be after"):
        log.read(until_ms=SINCE)


def test_a_database_that_is_away_is_told(tmp_path: Path) -> None:
    for where in (tmp_path / "none.sqlite", "postgresql://nobody@127.0.0.1:1/none"):
        with pytest.raises(LogUnavailableError, match="cannot be read"):
            read_event_unit_days(where, EXPERIMENT, since_ms=SINCE, until_ms=UNTIL)
