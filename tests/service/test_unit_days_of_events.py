"""Sums by unit and day of a service's log, in both databases, against a twin in plain Python."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

from matinee_platform.analysis.unit_days.event_log import read_event_unit_days
from matinee_platform.analysis.unit_days.records import UnitDays
from matinee_platform.analysis.unit_days.testing_events import (
    ARMS,
    DAY,
    EXPERIMENT,
    MINUTE,
    SINCE,
    UNTIL,
    Opened,
    Rows,
    arm_of,
    check,
    orphans,
    random_rows,
)
from matinee_platform.storage.errors import LogUnavailableError
from matinee_platform.storage.event_log import postgres_appender, sqlite_appender
from matinee_platform.storage.event_migrations import postgres_url, upgrade
from matinee_platform.storage.ports import EventAppender
from matinee_platform.storage.records import DecisionRecord
from matinee_platform.storage.testing_events import example_decision, example_reward, windows
from matinee_policies.errors import ConfigError, DataError


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
