"""Counts by arm from the database against a plain walk over the rows."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import Engine

from matinee_platform.maintenance.removal import open_events
from matinee_platform.service.settings import ServiceSettings
from matinee_platform.storage.arm_counts import ArmCounts, SqlArmCounter
from matinee_platform.storage.event_log import make_event_log
from matinee_platform.storage.ports import EventReader
from matinee_platform.storage.records import RewardState, ServedBy
from matinee_platform.storage.reward_states import reward_states
from matinee_platform.storage.testing_events import example_decision, example_reward

WINDOWS = (60_000, 60_000, 120_000, 600_000)


def walked(
    reader: EventReader, experiment: str, upto: int, since_ms: int, since_seq: int | None
) -> list[ArmCounts]:
    """The oracle: rows one by one, states by their own rules."""
    found: dict[str, ArmCounts] = {}
    units: dict[str, set[int]] = {}
    for one in reader.decisions(upto=upto, experiment=experiment):
        record = one.record
        if record.decided_at < since_ms if since_seq is None else one.seq <= since_seq:
            continue
        counts = found.setdefault(record.arm, ArmCounts(arm=record.arm))
        units.setdefault(record.arm, set()).add(record.unit)
        by = int(record.served_by)
        counts.served_by[by] = counts.served_by.get(by, 0) + 1
        rewards = reader.rewards_of([record.decision_id], upto=upto)
        states = reward_states(one, rewards, windows=WINDOWS, now_ms=0)
        for reward, state in zip(rewards, states, strict=True):
            if state is RewardState.JOINED:
                code = reward.record.component
                counts.rewards[code] = counts.rewards.get(code, 0) + 1
                total = counts.reward_sums.get(code, 0.0) + reward.record.value
                counts.reward_sums[code] = total
    for arm, counts in found.items():
        counts.units = len(units[arm])
    return [found[arm] for arm in sorted(found)]


def fill_and_compare(settings: ServiceSettings) -> None:
    draws = Random(7)  # noqa: S311

    async def fill() -> EventReader:
        events = await make_event_log(settings, windows=lambda _: WINDOWS)
        for n in range(60):
            await events.appender.append_decision(
                example_decision(
                    n + 1,
                    experiment=draws.choice(["home", "home", "shelf"]),
                    arm=draws.choice(["old", "new"]),
                    unit=draws.randrange(20),
                    decided_at=draws.randrange(100_000),
                    served_by=draws.choice(list(ServedBy)),
                )
            )
        rewards = []
        for n in range(400):
            component = draws.randrange(4)
            rewards.append(
                example_reward(
                    n,
                    decision=draws.randrange(70) + 1,
                    component=component,
                    slot=-1 if component == 3 else draws.choice([0, 1, 2, 3, 4, 7]),
                    value=draws.choice([0.0, 0.25, 1.0]),
                    received_at=draws.randrange(300_000),
                )
            )
        await events.appender.append_rewards(rewards)
        await events.appender.close()
        return events.reader

    reader = asyncio.run(fill())
    engine: Engine = open_events(settings.data_dir, settings.database)
    try:
        counter = SqlArmCounter(engine)
        last = reader.last_seq()
        assert last > 300
        for experiment in ("home", "shelf", "none"):
            for upto in (0, 30, 200, last):
                for since_ms, since_seq in ((0, None), (50_000, None), (50_000, 25)):
                    found = counter.arm_counts(
                        experiment,
                        windows=WINDOWS,
                        upto=upto,
                        since_ms=since_ms,
                        since_seq=since_seq,
                    )
                    assert found == walked(reader, experiment, upto, since_ms, since_seq)
    finally:
        engine.dispose()
        reader.close()


def test_in_sqlite(tmp_path: Path) -> None:
    fill_and_compare(ServiceSettings.model_validate({"data_dir": tmp_path}))


def test_in_postgres(tmp_path: Path, new_postgres_database: Callable[[], str]) -> None:
    database = new_postgres_database()
    fill_and_compare(ServiceSettings.model_validate({"data_dir": tmp_path, "database": database}))


def test_a_log_that_is_away_is_told(tmp_path: Path) -> None:
    from sqlalchemy import create_engine

    from matinee_platform.storage.errors import LogUnavailableError

    engine = create_engine(f"sqlite:///{tmp_path / 'none' / 'events.sqlite'}")
    with pytest.raises(LogUnavailableError):
        SqlArmCounter(engine).arm_counts("home", windows=WINDOWS, upto=1)
    engine.dispose()
