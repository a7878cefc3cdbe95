"""Random streams of events against a plain twin: nothing learned twice, nothing lost silently."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pytest

from matinee_platform.engine import Decisions
from matinee_platform.learner import ArmLearner
from matinee_platform.page_files import PageFiles
from matinee_platform.reward_rows import LateRatings
from matinee_platform.settings import RatingSettings, ReturnVisitSettings, RewardSettings
from matinee_policies.arrays import FloatArray
from matinee_policies.records import PAD, ContextBatch, OutcomeBatch, SlateBatch
from matinee_policies.uniform import Uniform, UniformConfig

DAYS, L, K = 12, 3, 4
RATING_WINDOW, RETURN_WINDOW = 2, 4
LAST = DAYS + RETURN_WINDOW

Lesson = dict[tuple[str, int, int], float]
"""Reward by component, decision and slot."""


class Recorder(Uniform):
    """A policy that keeps what it was given to learn, and refuses to be taught twice."""

    learns = True

    def __init__(self, *, corrects: bool) -> None:
        super().__init__(UniformConfig())
        self.corrects = corrects
        self.learned: Lesson = {}
        self.first: Counter[int] = Counter()

    def learn(self, outcomes: OutcomeBatch) -> None:
        ids = outcomes.features[:, 0, 0].astype(int)
        for row, decision in enumerate(ids.tolist()):
            self.first[decision] += outcomes.first
            for slot in np.flatnonzero(outcomes.shown[row]).tolist():
                key = (outcomes.component, decision, slot)
                assert key not in self.learned
                self.learned[key] = float(outcomes.rewards[row, slot])


@dataclass
class Event:
    """An event as it comes: `arrival` is the day, `order` its place within it."""

    component: str
    decision: int
    day: int
    slot: int
    stars: float
    arrival: int


@dataclass
class Stream:
    """Pages of every day and events of every kind."""

    pages: dict[int, list[int]]
    shown: dict[int, list[int]]
    engagement: dict[int, FloatArray]
    events: list[Event] = field(default_factory=list)


def _stream(seed: int) -> Stream:
    rng = np.random.default_rng(seed)
    pages: dict[int, list[int]] = {}
    for day in range(DAYS):
        first = 100 * day + 1
        pages[day] = list(range(first, first + int(rng.integers(0, 6))))
    ids = [(day, one) for day, mine in pages.items() for one in mine]
    stream = Stream(
        pages,
        shown={one: list(range(int(rng.integers(1, L + 1)))) for _, one in ids},
        engagement={one: rng.random(L) for _, one in ids},
    )
    for arrival in range(LAST + 2):
        for _ in range(int(rng.integers(0, 12))):
            # Now and then of a decision that never was, or that is still to come.
            day, decision = ids[int(rng.integers(len(ids)))]
            if rng.random() < 0.6:
                near = [(d, i) for d, i in ids if abs(d - arrival) <= 3]
                day, decision = near[int(rng.integers(len(near)))] if near else (day, decision)
            if rng.random() < 0.1:
                day, decision = int(rng.integers(DAYS)), decision + 7_000
            component = "rating" if rng.random() < 0.5 else "return_visit"
            slot = int(rng.integers(0, L + 1)) if component == "rating" else -1
            stars = float(rng.integers(1, 6))
            stream.events.append(Event(component, decision, day, slot, stars, arrival))
            if rng.random() < 0.15:
                stream.events.append(Event(component, decision, day, slot, 6 - stars, arrival))
    return stream


def _rewards(learn_window: int) -> RewardSettings:
    return RewardSettings(
        rating=RatingSettings(weight=0.5, window_days=RATING_WINDOW),
        return_visit=ReturnVisitSettings(weight=0.25, window_days=RETURN_WINDOW),
        learn_window_days=learn_window,
    )


def _twin(stream: Stream, *, together: tuple[str, ...]) -> tuple[Lesson, dict[str, Counter[str]]]:
    """What must be learned and counted, event by event, by the rules as they are written."""
    window = {"rating": RATING_WINDOW, "return_visit": RETURN_WINDOW}
    counts: dict[str, Counter[str]] = {name: Counter() for name in window}
    stands: dict[tuple[str, int, int, int], float] = {}
    known = {one: day for day, mine in stream.pages.items() for one in mine}
    for event in stream.events:
        key = (event.component, event.decision, event.slot, event.day)
        count = counts[event.component]
        if event.arrival > event.day + window[event.component]:
            count["late"] += 1
            continue
        count["early"] += event.arrival < event.day
        if key in stands:
            count["duplicate"] += 1
            continue
        stands[key] = event.stars
        there = known.get(event.decision) == event.day
        if event.component == "rating":
            there = there and event.slot in stream.shown[event.decision]
        count["joined" if there else "orphan"] += 1
    learned: Lesson = {}
    for decision in known:
        for slot in stream.shown[decision]:
            day = known[decision]
            parts = {"engagement": float(stream.engagement[decision][slot])}
            stars = stands.get(("rating", decision, slot, day))
            if stars is not None:
                parts["rating"] = 0.5 * (stars - 3.0) / 2.0
            came = ("return_visit", decision, -1, day) in stands
            parts["return_visit"] = 0.25 * came
            first = "+".join(("engagement", *together))
            learned[first, decision, slot] = sum(
                parts.pop(name, 0.0) for name in ("engagement", *together)
            )
            for name, value in parts.items():
                learned[name, decision, slot] = value
    return learned, counts


def _decisions(stream: Stream, ids: list[int]) -> Decisions:
    n = len(ids)
    positions = np.full((n, L), PAD, dtype=np.int32)
    for row, decision in enumerate(ids):
        positions[row, stream.shown[decision]] = stream.shown[decision]
    contexts = ContextBatch(
        candidates=np.tile(np.arange(K, dtype=np.int32), (n, 1)),
        features=np.zeros((n, K, 1), dtype=np.float32),
        scores=np.zeros((n, K), dtype=np.float32),
        embeddings=np.zeros((K, 1), dtype=np.float32),
    )
    shown = np.tile(np.array(ids, dtype=np.float32)[:, None, None], (1, L, 1))
    slates = SlateBatch(positions, positions.copy(), np.full((n, L), 0.5))
    return Decisions(np.array(ids, dtype=np.uint64), contexts, slates, 0, 0, shown)


def _play(
    stream: Stream, folder: Path, *, learn_window: int, corrects: bool, seed: int
) -> tuple[Recorder, ArmLearner, int]:
    """Run the stream, in batches of random size and with interruptions; also events observed."""
    rng = np.random.default_rng([seed, 1])
    policy = Recorder(corrects=corrects)
    learner = ArmLearner(policy, _rewards(learn_window), pages=PageFiles(folder))
    observed = 0
    for day in range(LAST + 2):
        mine = [event for event in stream.events if event.arrival == day]
        observed += len(mine)
        ids = stream.pages.get(day, [])
        cut = int(rng.integers(0, len(ids) + 1))
        for part in (ids[:cut], ids[cut:]):
            if part:
                engagement = np.stack([stream.engagement[one] for one in part])
                shards = np.zeros(len(part), dtype=np.uint8)
                learner.observe_page(_decisions(stream, part), engagement, shards)
        for event in mine:
            if event.component == "return_visit":
                learner.observe_returns(event.day, np.array([event.decision], dtype=np.uint64))
        ratings = [event for event in mine if event.component == "rating"]
        learner.observe_ratings(_late(ratings))
        learner.close_day(day)
        if rng.random() < 0.4:
            held = {name: array.copy() for name, array in learner.arrays().items()}
            learner.forget()
            learner = ArmLearner(policy, _rewards(learn_window), pages=PageFiles(folder))
            learner.restore(held)
    return policy, learner, observed


def _late(events: list[Event]) -> LateRatings:
    n = len(events)
    return LateRatings(
        ids=np.array([event.decision for event in events], dtype=np.uint64),
        units=np.zeros(n, dtype=np.int32),
        items=np.zeros(n, dtype=np.int32),
        slots=np.array([event.slot for event in events], dtype=np.int16),
        stars=np.array([event.stars for event in events], dtype=np.float32),
        days=np.array([event.day for event in events], dtype=np.int64),
    )


@pytest.mark.parametrize(
    ("corrects", "learn_window", "together"),
    [
        (True, 0, ()),
        (False, 0, ()),
        (False, RATING_WINDOW, ("rating",)),
        (False, RETURN_WINDOW, ("rating", "return_visit")),
    ],
)
@pytest.mark.parametrize("seed", range(8))
def test_every_component_is_learned_once_and_every_event_is_counted(
    tmp_path: Path, seed: int, corrects: bool, learn_window: int, together: tuple[str, ...]
) -> None:
    stream = _stream(seed)
    policy, learner, observed = _play(
        stream, tmp_path, learn_window=learn_window, corrects=corrects, seed=seed
    )
    learned, counts = _twin(stream, together=together)
    assert policy.learned.keys() == learned.keys()
    for key, value in learned.items():
        assert policy.learned[key] == pytest.approx(value, abs=1e-12)
    assert set(policy.first.values()) <= {1}
    total = learner.waiting_events
    for name, found in learner.counts.items():
        told = asdict(found)
        assert told == {end: counts[name][end] for end in told}
        total += sum(told[end] for end in ("joined", "late", "duplicate", "orphan"))
    assert total == observed == len(stream.events)
    assert learner.waiting_events == 0


def test_the_streams_hold_every_kind_of_event() -> None:
    total: Counter[str] = Counter()
    for seed in range(8):
        for count in _twin(_stream(seed), together=())[1].values():
            total += count
    assert min(total[end] for end in ("joined", "late", "duplicate", "orphan", "early")) > 10
