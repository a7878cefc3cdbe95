"""The tests that every event log passes: subclass `EventLogContract` and open the log.

    class TestMemoryLog(EventLogContract):
        async def open_appender(self, **options: Any) -> EventAppender:
            return MemoryAppender(self.log, windows=WINDOWS, **options)

        def open_reader(self) -> EventReader:
            return MemoryReader(self.log)

pytest collects the subclass; its fixtures make a new log for each test.
"""

# ruff: noqa: D102, S101 -- the name of a test says what it promises, and asserts it

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import wraps
from typing import Any, ParamSpec

import numpy as np

from matinee_platform.log_rows import COMPONENTS
from matinee_platform.storage.ports import EventAppender, EventReader
from matinee_platform.storage.records import (
    MAX_ID,
    DecisionReceipt,
    DecisionRecord,
    LoggedDecision,
    LoggedReward,
    Outcome,
    RewardReceipt,
    RewardRecord,
    RewardState,
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


class EventLogContract:
    """What `EventAppender` and `EventReader` promise of one log."""

    async def open_appender(self, **options: Any) -> EventAppender:
        """An appender with `windows`; options: `published`, `rewards_per_decision`."""
        raise NotImplementedError

    def open_reader(self) -> EventReader:
        """A reader of the same log."""
        raise NotImplementedError

    async def published(self, told: Told, places: int) -> None:
        """Wait until so many rows were published."""
        while len(told.places) < places:
            await asyncio.sleep(0.005)

    @asynchronous
    async def test_an_empty_log(self) -> None:
        appender = await self.open_appender()
        reader = self.open_reader()
        assert reader.last_seq() == 0
        assert reader.decision(1) is None
        assert reader.rewards_of([1]) == []
        assert reader.decisions(upto=0) == []
        assert reader.items([]) == []
        assert await appender.append_rewards([]) == []
        assert (appender.state, appender.queued, appender.spooled) == ("ok", 0, 0)
        reader.close()
        await appender.close()

    @asynchronous
    async def test_rows_come_back_as_they_went_in(self) -> None:
        appender = await self.open_appender()
        full = example_decision(
            MAX_ID,
            body_digest=b"\xff" * 16,
            unit=2**63,
            features=b"\x00\x01" * 12,
            base=1,
            base_propensity=0.1 + 0.2,
            served_by=ServedBy.DEFAULT,
            decided_at=START_MS,
            snapshot=2**31 - 1,
        )
        receipt = await appender.append_decision(full)
        assert receipt == DecisionReceipt(Outcome.STORED, 1)
        reward = example_reward(
            3, decision=MAX_ID, value=0.1, occurred_at=-5, received_at=START_MS, slot=2
        )
        assert await appender.append_rewards([reward]) == [
            RewardReceipt(Outcome.STORED, 2, RewardState.JOINED)
        ]
        reader = self.open_reader()
        assert reader.decision(MAX_ID) == LoggedDecision(1, full)
        assert reader.rewards_of([5, MAX_ID]) == [LoggedReward(2, reward)]
        assert reader.unit_decisions("home", full.arm, 2**63, upto=9, limit=1) == [
            LoggedDecision(1, full)
        ]
        assert reader.last_seq() == 2
        reader.close()
        await appender.close()

    @asynchronous
    async def test_a_repeated_decision_gets_the_first_answer(self) -> None:
        appender = await self.open_appender()
        first = example_decision(1)
        assert await appender.append_decision(first) == DecisionReceipt(Outcome.STORED, 1)
        again = replace(first, slate=first.slate[::-1], decided_at=first.decided_at + 9)
        receipt = await appender.append_decision(again)
        assert receipt == DecisionReceipt(Outcome.REPEATED, 1, first)
        other = replace(first, body_digest=b"o" * 16)
        assert await appender.append_decision(other) == DecisionReceipt(Outcome.CONFLICT, 1)
        reader = self.open_reader()
        assert reader.decisions(upto=reader.last_seq()) == [LoggedDecision(1, first)]
        reader.close()
        await appender.close()

    @asynchronous
    async def test_repeats_at_the_same_moment_are_stored_once(self) -> None:
        appender = await self.open_appender()
        first = example_decision(1)
        posts = [*[first] * 20, replace(first, body_digest=b"o" * 16)]
        receipts = await asyncio.gather(*(appender.append_decision(one) for one in posts))
        outcomes = [one.outcome for one in receipts]
        assert outcomes == [Outcome.STORED, *[Outcome.REPEATED] * 19, Outcome.CONFLICT]
        assert {(one.seq, one.stored) for one in receipts} == {(1, None), (1, first)}
        await appender.close()

    @asynchronous
    async def test_a_conflict_fails_none_of_the_other_rewards(self) -> None:
        appender = await self.open_appender()
        await appender.append_decision(example_decision(1))
        await appender.append_rewards([example_reward(1, decision=1)])
        batch = [
            example_reward(2, decision=1, slot=1),
            example_reward(1, decision=1),
            example_reward(1, decision=1, body_digest=b"o" * 16),
            example_reward(2, decision=1, slot=1),
            example_reward(3, decision=1, slot=0),
        ]
        assert await appender.append_rewards(batch) == [
            RewardReceipt(Outcome.STORED, 3, RewardState.JOINED),
            RewardReceipt(Outcome.REPEATED, 2, RewardState.JOINED),
            RewardReceipt(Outcome.CONFLICT, 2),
            RewardReceipt(Outcome.REPEATED, 3, RewardState.JOINED),
            RewardReceipt(Outcome.STORED, 4, RewardState.DUPLICATE),
        ]
        await appender.close()

    @asynchronous
    async def test_the_state_of_a_reward_when_it_is_stored(self) -> None:
        appender = await self.open_appender()
        at = START_MS + 1_000
        early = example_reward(1, decision=1, received_at=at)
        assert _states(await appender.append_rewards([early])) == ["EARLY"]
        await appender.append_decision(example_decision(1))
        end = at + windows("home")[CLICK]
        rewards = [
            example_reward(2, decision=1),
            example_reward(3, decision=1, component=WATCH),
            example_reward(4, decision=1, slot=1, received_at=end),
            example_reward(5, decision=1, slot=2, received_at=end + 1),
            example_reward(6, decision=1, slot=4),
            example_reward(7, decision=1, slot=5),
            example_reward(8, decision=1, component=RETURN_VISIT, slot=-1),
            example_reward(9, decision=1, component=RETURN_VISIT, slot=0),
            example_reward(10, decision=1, component=RATING, slot=-1),
            example_reward(11, decision=2),
        ]
        # fmt: off
        expected = [
            "DUPLICATE", "JOINED", "JOINED", "LATE", "ORPHAN", "ORPHAN", "JOINED", "ORPHAN",
            "ORPHAN", "EARLY",
        ]
        # fmt: on
        assert _states(await appender.append_rewards(rewards)) == expected
        await appender.append_decision(example_decision(2))
        # The first answers stand, whatever came since.
        again = await appender.append_rewards([early, *rewards])
        assert _states(again) == ["EARLY", *expected]
        assert {one.outcome for one in again} == {Outcome.REPEATED}
        await appender.close()

    @asynchronous
    async def test_rewards_of_a_decision_are_capped(self) -> None:
        appender = await self.open_appender(rewards_per_decision=3)
        rewards = [example_reward(n, decision=1, slot=n) for n in range(4)]
        outcomes = [one.outcome for one in await appender.append_rewards(rewards)]
        assert outcomes == [*[Outcome.STORED] * 3, Outcome.CAPPED]
        (again,) = await appender.append_rewards(rewards[:1])
        assert again.outcome is Outcome.REPEATED
        (other,) = await appender.append_rewards([example_reward(9, decision=2)])
        assert other.outcome is Outcome.STORED
        await appender.close()

    @asynchronous
    async def test_places_rise_over_decisions_and_rewards_without_gaps(self) -> None:
        told = Told()
        appender = await self.open_appender(published=told)

        async def one_unit(number: int) -> None:
            await appender.append_decision(example_decision(number))
            await appender.append_rewards(
                [example_reward(2 * number + slot, decision=number, slot=slot) for slot in (0, 1)]
            )

        await asyncio.gather(*(one_unit(number) for number in range(50)))
        reader = self.open_reader()
        assert reader.last_seq() == 150
        decisions = reader.decisions(upto=150)
        rewards = reader.rewards(upto=150)
        places = [one.seq for one in decisions] + [one.seq for one in rewards]
        assert sorted(places) == list(range(1, 151))
        place = {one.record.decision_id: one.seq for one in decisions}
        assert all(place[one.record.decision_id] < one.seq for one in rewards)
        await self.published(told, 150)
        assert told.places == list(range(1, 151))
        assert told.decisions == decisions
        assert told.rewards == rewards
        reader.close()
        await appender.close()

    @asynchronous
    async def test_a_clock_that_steps_back_disturbs_no_place(self) -> None:
        appender = await self.open_appender()
        times = [START_MS, START_MS + 60_000, START_MS, START_MS - 60_000, START_MS + 1]
        for number, time in enumerate(times):
            receipt = await appender.append_decision(example_decision(number, decided_at=time))
            assert receipt.seq == number + 1
        reader = self.open_reader()
        assert [one.record.decided_at for one in reader.decisions(upto=9)] == times
        within = reader.decided_within(
            "home", "new", after_ms=START_MS - 1, upto_ms=START_MS + 1, upto=9
        )
        assert [one.seq for many in within for one in many] == [1, 3, 5]
        reader.close()
        await appender.close()

    @asynchronous
    async def test_reading_by_place_arm_time_and_unit(self) -> None:
        appender = await self.open_appender()
        for number in range(40):
            changes = {"experiment": "other"} if number % 10 == 9 else {}
            await appender.append_decision(example_decision(number, **changes))
        reader = self.open_reader()
        everything = reader.decisions(upto=40)
        assert [one.record.decision_id for one in everything] == list(range(40))
        assert reader.decisions(after=5, upto=30, limit=4) == everything[5:9]
        old = [
            one for one in everything if (one.record.experiment, one.record.arm) == ("home", "old")
        ]
        assert reader.decisions(upto=30, experiment="home", arm="old") == [
            one for one in old if one.seq <= 30
        ]
        assert reader.decisions(upto=40, experiment="other") == everything[9::10]
        times = {"after_ms": START_MS + 10_000, "upto_ms": START_MS + 30_000}
        within = reader.decided_within("home", "old", **times, upto=25)
        assert [one for many in within for one in many] == [
            one for one in old if 10 < one.record.decision_id <= 30 and one.seq <= 25
        ]
        of_unit = [one for one in old if one.record.unit == 3]
        assert len(of_unit) > 1
        assert reader.unit_decisions("home", "old", 3, upto=40, limit=9) == of_unit
        assert reader.unit_decisions("home", "old", 3, upto=40, limit=1) == of_unit[-1:]
        assert reader.unit_decisions("home", "old", 3, upto=of_unit[0].seq, limit=9) == [of_unit[0]]
        assert reader.unit_decisions("home", "old", 99, upto=40, limit=9) == []
        of_units = [one for one in old if one.record.unit in (1, 3)]
        for units in ([3, 99, 1], [1, 3]):
            assert reader.decisions_of_units("home", "old", units, upto=40, limit=99) == of_units
        assert reader.decisions_of_units("home", "old", [99, 2**63], upto=40, limit=99) == []
        some = reader.decisions_of_units("home", "old", [1, 3], upto=of_unit[0].seq, limit=99)
        assert some == [one for one in of_units if one.seq <= of_unit[0].seq]
        assert len(reader.decisions_of_units("home", "old", [1, 3], upto=40, limit=2)) == 2
        reader.close()
        await appender.close()

    @asynchronous
    async def test_rewards_of_many_decisions_come_in_log_order(self) -> None:
        appender = await self.open_appender()
        rewards = [example_reward(n, decision=n % 5, slot=n // 5) for n in range(20)]
        await appender.append_rewards(rewards)
        reader = self.open_reader()
        found = reader.rewards_of([4, 2, 3_000], upto=15)
        assert [one.record for one in found] == [
            one for one in rewards[:15] if one.decision_id in (2, 4)
        ]
        assert reader.rewards(after=3, upto=20, limit=5) == reader.rewards(upto=20)[3:8]
        assert len(reader.rewards_of([*range(5), *range(10_000, 15_000)])) == 20
        await appender.append_decision(example_decision(4, experiment="other"))
        last = 2**64 - 1
        await appender.append_decision(example_decision(5, decision_id=last))
        told = reader.experiments_of([example_decision(4).decision_id, last, 3_000_000])
        assert told == {example_decision(4).decision_id: "other", last: "home"}
        reader.close()
        await appender.close()

    @asynchronous
    async def test_items_keep_their_rows(self) -> None:
        appender = await self.open_appender()
        ids = ["a", "B", "a", "é\u4e2d", "b'); DROP TABLE items; --", ""]
        rows = await appender.intern_items(ids)
        assert rows == [0, 1, 0, 2, 3, 4]
        assert await appender.intern_items(["new", "B"]) == [5, 1]
        many = await asyncio.gather(*(appender.intern_items([f"x{n % 3}"]) for n in range(9)))
        assert many == [[6 + n % 3] for n in range(9)]
        reader = self.open_reader()
        assert reader.items(rows) == ids
        assert reader.items([8, 5]) == ["x2", "new"]
        reader.close()
        await appender.close()

    @asynchronous
    async def test_two_readers_are_independent(self) -> None:
        appender = await self.open_appender()
        reader = self.open_reader()
        other = reader.copy()
        await appender.append_decision(example_decision(1))
        assert (reader.last_seq(), other.last_seq()) == (1, 1)
        reader.close()
        assert other.decision(1) is not None
        other.close()
        await appender.close()

    @asynchronous
    async def test_a_log_goes_on_where_it_stopped(self) -> None:
        appender = await self.open_appender()
        await appender.append_decision(example_decision(1))
        await appender.close()
        appender = await self.open_appender()
        receipt = await appender.append_decision(example_decision(1))
        assert receipt.outcome is Outcome.REPEATED
        receipt = await appender.append_decision(example_decision(2))
        assert receipt == DecisionReceipt(Outcome.STORED, 2)
        await appender.close()

    @asynchronous
    async def test_repeated_rewards_count_once(self) -> None:
        """Posted 1 to 5 times by 20 callers at once, in any order, some with another body."""
        appender = await self.open_appender()
        draws = np.random.default_rng(4)
        shown = [example_decision(number) for number in range(200)]
        await asyncio.gather(*map(appender.append_decision, shown))
        rewards = [
            example_reward(n, decision=n % 200, slot=n // 200 % 4, component=n // 800 % 2)
            for n in range(self.rewards)
        ]
        posts = np.repeat(np.arange(self.rewards), draws.integers(1, 6, self.rewards))
        draws.shuffle(posts)
        changed = set(draws.choice(self.rewards, self.rewards // 20, replace=False).tolist())
        outcomes: list[RewardReceipt] = []

        async def caller(mine: Any) -> None:
            for at in range(0, mine.size, 10):
                batch = [rewards[n] for n in mine[at : at + 10]]
                outcomes.extend(await appender.append_rewards(batch))

        await asyncio.gather(*(caller(posts[n::20]) for n in range(20)))
        conflicts = await appender.append_rewards(
            [replace(rewards[n], body_digest=b"o" * 16) for n in changed]
        )
        assert {one.outcome for one in conflicts} == {Outcome.CONFLICT}
        assert sum(one.outcome is Outcome.STORED for one in outcomes) == self.rewards
        assert sum(one.outcome is Outcome.REPEATED for one in outcomes) == (
            posts.size - self.rewards
        )
        reader = self.open_reader()
        stored = reader.rewards(upto=reader.last_seq(), limit=2 * self.rewards)
        assert sorted(one.record.reward_key for one in stored) == [
            one.reward_key for one in rewards
        ]
        states = {one.record.reward_key: one.seq for one in stored}
        first = [one for one in outcomes if one.outcome is Outcome.STORED]
        assert {one.seq for one in first} == set(states.values())
        joined = sum(one.state is RewardState.JOINED for one in first)
        assert joined == min(self.rewards, 200 * 4 * 2)
        reader.close()
        await appender.close()

    rewards = 1_000
    """Distinct rewards of `test_repeated_rewards_count_once`."""


def _states(receipts: list[RewardReceipt]) -> list[str]:
    return ["" if one.state is None else one.state.name for one in receipts]
