"""A decision is learned once for each component, whatever the barriers and restarts."""

import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from matinee_platform.clock import FakeClock
from matinee_platform.learning.live_outcomes import judge
from matinee_platform.learning.live_rows import live_rows
from matinee_platform.learning.matured import Place, latecomers, matured
from matinee_platform.learning.testing_live import (
    WINDOWS_MS,
    ExampleTraffic,
    events_added_up,
    example_arm,
)
from matinee_platform.log_rows import COMPONENTS
from matinee_platform.storage.memory_log import MemoryLog, MemoryReader
from matinee_platform.storage.records import (
    DecisionRecord,
    LoggedDecision,
    LoggedReward,
    RewardState,
    ServedBy,
)
from matinee_platform.storage.reward_states import reward_states
from matinee_policies.errors import ContextError


def _decision(seq: int, *, decided_at: int, arm: str = "new") -> LoggedDecision:
    record = DecisionRecord(
        decision_id=seq,
        body_digest=bytes(16),
        experiment="home",
        arm=arm,
        unit=seq,
        bucket=0,
        decided_at=decided_at,
        page=0,
        snapshot=0,
        feature_version=0,
        catalogue_version=0,
        served_by=ServedBy.POLICY,
        last_watched=-1,
        unit_state=b"",
        candidates=b"",
        scores=b"",
        slate=b"",
        propensities=b"",
    )
    return LoggedDecision(seq, record)


def _closed_reference(rows: list[LoggedDecision], *, window_ms: int, at: Place) -> set[int]:
    """Plain twin: what is closed at a place, read from the rule."""
    return {
        one.seq
        for one in rows
        if one.record.arm == "new"
        and one.seq <= at.seq
        and one.record.decided_at + window_ms <= at.time_ms
    }


class CutReader(MemoryReader):
    """A reader that hands rows out a few at a time, cut anywhere."""

    def __init__(self, log: MemoryLog, rng: np.random.Generator) -> None:
        super().__init__(log)
        self._rng = rng

    def decided_within(self, experiment: str, arm: str, **span: int):  # type: ignore[no-untyped-def]
        """The same rows in other pieces."""
        for part in super().decided_within(experiment, arm, **span):
            while part:
                cut = int(self._rng.integers(1, 5))
                yield part[:cut]
                part = part[cut:]


def _random_log(rng: np.random.Generator, n: int) -> MemoryLog:
    """Decisions whose times mostly rise with the log; some waited long, clocks differ."""
    log = MemoryLog()
    time, seq = 0, 0
    for _ in range(n):
        time += int(rng.integers(0, 40))
        seq += int(rng.integers(1, 4))
        waited = int(rng.integers(0, 4_000)) if rng.random() < 0.1 else int(rng.integers(0, 30))
        arm = "new" if rng.random() < 0.8 else "old"
        log.decisions.append(_decision(seq, decided_at=max(0, time - waited), arm=arm))
    log.known.last_seq = seq + int(rng.integers(0, 5))
    return log


def _random_places(rng: np.random.Generator, log: MemoryLog) -> list[Place]:
    """Barriers from the start of the log to its end and beyond the last window."""
    last = log.known.last_seq
    end = max(one.record.decided_at for one in log.decisions) + 3_000
    count = int(rng.integers(1, 25))
    seqs = np.sort(rng.integers(0, last + 1, count)).tolist()
    times = np.sort(rng.integers(0, end, count)).tolist()
    places = [Place(0, 0), *(Place(s, t) for s, t in zip(seqs, times, strict=True))]
    return [*places, Place(last, end)]


@pytest.mark.parametrize("seed", range(60))
def test_matured_is_what_the_rule_says_at_any_barriers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    log = _random_log(rng, int(rng.integers(1, 120)))
    windows = sorted({int(w) for w in rng.integers(0, 2_000, 3)})
    learned: Counter[tuple[int, int]] = Counter()
    scanned = 0
    places = _random_places(rng, log)
    for before, now in itertools.pairwise(places):
        # A restart forgets what it scanned; barriers that were not due leave it.
        reader = CutReader(log, rng)
        late = latecomers(
            reader, "home", "new", window_ms=windows[0], before=before, now=now, scanned=scanned
        )
        for window in windows:
            found = [
                one.seq
                for one in matured(
                    reader,
                    "home",
                    "new",
                    window_ms=window,
                    before=before,
                    now=now,
                    latecomers=late,
                )
            ]
            wanted = _closed_reference(log.decisions, window_ms=window, at=now) - _closed_reference(
                log.decisions, window_ms=window, at=before
            )
            assert found == sorted(wanted)
            learned.update((seq, window) for seq in found)
    own = [one.seq for one in log.decisions if one.record.arm == "new"]
    assert learned == Counter({(seq, window): 1 for seq in own for window in windows})


@pytest.mark.parametrize("seed", range(10))
def test_barriers_that_were_not_due_may_be_left_out(seed: int) -> None:
    rng = np.random.default_rng(1_000 + seed)
    log = _random_log(rng, 80)
    reader = MemoryReader(log)
    places = _random_places(rng, log)
    for window in (0, 700):
        steps, before, scanned = [], places[0], 0
        for now in places[1:]:
            late = latecomers(
                reader, "home", "new", window_ms=window, before=before, now=now, scanned=scanned
            )
            found = list(
                matured(
                    reader,
                    "home",
                    "new",
                    window_ms=window,
                    before=before,
                    now=now,
                    latecomers=late,
                )
            )
            if found:
                before, scanned = now, 0
            else:
                scanned = now.seq
            steps += [one.seq for one in found]
        own = [one.seq for one in log.decisions if one.record.arm == "new"]
        assert sorted(steps) == own


def test_barriers_must_not_go_back() -> None:
    reader = MemoryReader(MemoryLog())
    for now in (Place(4, 100), Place(5, 99)):
        with pytest.raises(ContextError, match="must not go back"):
            matured(reader, "home", "new", window_ms=1, before=Place(5, 100), now=now)
        with pytest.raises(ContextError, match="must not go back"):
            latecomers(reader, "home", "new", window_ms=1, before=Place(5, 100), now=now)


@pytest.mark.parametrize("seed", range(20))
def test_rewards_are_judged_as_the_states_say(seed: int) -> None:
    """The arrays here and `storage.reward_states`, decision by decision."""
    clock = FakeClock()
    traffic = ExampleTraffic(example_arm(), clock=clock, seed=seed)
    rng = np.random.default_rng(seed)
    decisions: list[LoggedDecision] = []
    rewards: list[LoggedReward] = []
    seq = 0
    for _ in range(30):
        made = traffic.decide(int(rng.integers(1, 3)))
        told = traffic.rewards(int(rng.integers(0, 12)))
        events = [*made, *told]
        for place in rng.permutation(len(events)):
            seq += 1
            event = events[place]
            if isinstance(event, DecisionRecord):
                decisions.append(LoggedDecision(seq, event))
            else:
                # What waited in a spool reaches the log out of the order of its times.
                shift = int(rng.integers(-40_000, 40_000)) if rng.random() < 0.3 else 0
                at = event.received_at + shift
                named = [one for one in decisions if one.record.decision_id == event.decision_id]
                if named and rng.random() < 0.2:
                    # In the last moment of the window, or in the first one after it.
                    end = named[0].record.decided_at + WINDOWS_MS[event.component]
                    at = end + int(rng.integers(0, 2))
                moved = replace(event, received_at=at)
                rewards.append(LoggedReward(seq, moved))
        clock.advance(seconds=float(rng.uniform(0, 20)))
    some = [one for one in decisions if rng.random() < 0.7]
    judged = judge(live_rows(some), rewards, components=COMPONENTS, windows_ms=WINDOWS_MS)
    states: Counter[tuple[str, RewardState]] = Counter()
    early: Counter[str] = Counter()
    standing = set()
    for decision in some:
        own = [one for one in rewards if one.record.decision_id == decision.record.decision_id]
        found = reward_states(decision, own, windows=WINDOWS_MS, now_ms=clock.now_ms())
        for one, state in zip(own, found, strict=True):
            name = COMPONENTS[one.record.component]
            states[name, state] += 1
            early[name] += one.seq < decision.seq
            if state is RewardState.JOINED:
                value = float(np.float32(one.record.value))
                standing.add((name, one.record.decision_id, one.record.slot, value))
    for name in COMPONENTS:
        counts = judged.counts[name]
        assert counts.joined == states[name, RewardState.JOINED]
        assert counts.late == states[name, RewardState.LATE]
        assert counts.duplicate == states[name, RewardState.DUPLICATE]
        assert counts.orphan == states[name, RewardState.ORPHAN]
        assert counts.early == early[name]
    assert events_added_up(list(judged.counts.values())) == sum(states.values())
    found_standing = {
        (name, int(events.ids[n]), int(events.slots[n]), float(events.values[n]))
        for name, events in judged.joined.items()
        for n in range(len(events))
    }
    assert found_standing == standing
