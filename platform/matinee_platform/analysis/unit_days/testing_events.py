"""Random rows of a log, and their sums by unit and day in plain Python, for tests."""

# ruff: noqa: D102, D103, S101 -- names say what they are for; they assert

import asyncio
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matinee_platform.analysis.unit_days.event_log import read_event_unit_days
from matinee_platform.analysis.unit_days.records import UnitDays
from matinee_platform.assignment import bucket_ranges, choose_arms
from matinee_platform.experiments.definition import LiveExperiment
from matinee_platform.storage.ports import EventAppender
from matinee_platform.storage.records import DecisionRecord, RewardRecord, ServedBy
from matinee_platform.storage.testing_events import example_decision, example_reward, windows

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
