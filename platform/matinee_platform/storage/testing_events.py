"""Examples of what an event log holds, and what tests of logs share."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import wraps
from typing import Any, ParamSpec

import numpy as np

from matinee_platform.log_rows import COMPONENTS
from matinee_platform.storage.records import (
    MAX_ID,
    DecisionRecord,
    LoggedDecision,
    LoggedReward,
    RewardRecord,
    ServedBy,
)

_P = ParamSpec("_P")

START_MS = 1_767_225_600_000
"""When the first decision of the suite is taken."""
MINUTE_MS = 60_000
SLOTS = 5
CLICK, WATCH, RATING, RETURN_VISIT = range(len(COMPONENTS))


def windows(experiment: str) -> tuple[int, int, int, int]:
    """Windows of every experiment of the suite."""
    return (30 * MINUTE_MS, 30 * MINUTE_MS, 3 * 1_440 * MINUTE_MS, 7 * 1_440 * MINUTE_MS)


def asynchronous(test: Callable[_P, Awaitable[None]]) -> Callable[_P, None]:
    """Run a test that is a coroutine."""

    @wraps(test)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> None:
        async def main() -> None:
            await test(*args, **kwargs)

        asyncio.run(main())

    return run


def example_decision(number: int, **changes: Any) -> DecisionRecord:
    """The decision of a number: 12 candidates, 4 of them on 5 slots, one decision a second.

    Decisions of even numbers are of arm `new`, of odd ones of `old`; unit `number % 7`.
    """
    draws = np.random.default_rng(number)
    candidates = draws.permutation(100)[:12].astype("<i4")
    slate = np.append(candidates[: SLOTS - 1], -1).astype("<i4")
    record = DecisionRecord(
        decision_id=number,
        body_digest=number.to_bytes(16, "big"),
        experiment="home",
        arm=("new", "old")[number % 2],
        unit=number % 7,
        bucket=number % 10_000,
        decided_at=START_MS + 1_000 * number,
        page=number % 3,
        snapshot=number // 10,
        feature_version=1,
        catalogue_version=MAX_ID - number,
        served_by=ServedBy.POLICY,
        last_watched=-1,
        unit_state=draws.random(8, dtype=np.float32).tobytes(),
        candidates=candidates.tobytes(),
        scores=draws.random(12, dtype=np.float32).tobytes(),
        slate=slate.tobytes(),
        propensities=draws.random(SLOTS).tobytes(),
    )
    return replace(record, **changes)


def example_reward(number: int, *, decision: int, **changes: Any) -> RewardRecord:
    """The reward of a number: a click on the first slot, a minute after its decision."""
    record = RewardRecord(
        reward_key=number.to_bytes(16, "big"),
        body_digest=number.to_bytes(16, "little"),
        decision_id=decision,
        component=CLICK,
        slot=0,
        value=1.0,
        received_at=START_MS + 1_000 * (decision % 1_000_000) + MINUTE_MS,
    )
    return replace(record, **changes)


class Told:
    """Keeps what a log published."""

    def __init__(self) -> None:
        self.decisions: list[LoggedDecision] = []
        self.rewards: list[LoggedReward] = []
        self.places: list[int] = []

    def __call__(self, decisions: Any, rewards: Any) -> None:
        """Take rows in."""
        self.decisions.extend(decisions)
        self.rewards.extend(rewards)
        self.places.extend(sorted(one.seq for one in (*decisions, *rewards)))
