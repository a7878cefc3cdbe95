"""Units of a service have the states, candidates and scores that the offline run gave them."""

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from matinee_platform.clock import FakeClock
from matinee_platform.engine import catalogue_number
from matinee_platform.log_rows import COMPONENTS, pack_state, unpack_state
from matinee_platform.offline.prepare import draw_roster, load_prepared
from matinee_platform.offline.testing_deployed import (
    OneArm,
    deployed_arm,
    live,
    plain_ask,
    record_of,
)
from matinee_platform.serving.asks import Ask
from matinee_platform.serving.live_candidates import CatalogueCandidates, scores_reference
from matinee_platform.serving.quick_contexts import QuickContexts
from matinee_platform.serving.runtime import LiveRuntime, Running
from matinee_platform.serving.testing_log import TestingLog
from matinee_platform.serving.unit_fold import Unit, UnitFold
from matinee_platform.storage.errors import LogUnavailableError
from matinee_platform.storage.records import RewardRecord, ServedBy
from matinee_platform.unit_state import UnitStates, age_in_days
from matinee_policies.errors import ContextError
from matinee_simulator.history import RUN_START


@pytest.mark.parametrize("arm", ["ucb"])
def test_folding_the_log_gives_states_and_candidates_of_the_offline_run(
    run: Path, arm: str
) -> None:
    deployed = deployed_arm(run, arm)
    shared = load_prepared(run)
    settings, bundle = deployed.settings, deployed.bundle
    assert bundle.model is not None
    assert bundle.manifest.plays is not None
    assert bundle.manifest.source is not None
    rows, events = deployed.decisions(), deployed.rewards()
    source = bundle.model.sources[bundle.manifest.source]
    n = settings.users
    fold = UnitFold(
        n + 1,
        items=bundle.model.items,
        model=source,
        rest=settings.rest,
        plays=bundle.manifest.plays.scale(),
        start_ms=RUN_START * 1_000,
        catalogue=catalogue_number(bundle.model.items),
    )
    roster = draw_roster(settings)
    for past in shared.past.of(np.arange(n, dtype=np.int64)):
        age = age_in_days(past.times, RUN_START)
        fold.states.load_history(past.users, past.items, past.ratings, age)
    units = {int(one): Unit(int(one), row) for row, one in enumerate(roster.pseudonyms)}
    ranker = bundle.model.ranker(bundle.manifest.source, np.zeros(0, dtype=np.uint64))
    by_decision: dict[int, list[int]] = {}
    late: dict[int, list[int]] = {}
    rating = COMPONENTS.index("rating")
    for place, decision in enumerate(events["decision_id"].tolist()):
        if events["component"][place] == rating:
            late.setdefault(int(events["day"][place]), []).append(place)
        elif events["component"][place] < rating:
            by_decision.setdefault(decision, []).append(place)
    owner: dict[int, Unit] = {}
    checked, returned = 0, 0

    def reward(unit: Unit, place: int) -> None:
        fold.reward(
            unit,
            RewardRecord(
                reward_key=bytes(16),
                body_digest=bytes(16),
                decision_id=int(events["decision_id"][place]),
                component=int(events["component"][place]),
                slot=int(events["slot"][place]),
                value=float(events["value"][place]),
                received_at=0,
            ),
        )

    for day in range(settings.days):
        for place in np.flatnonzero(rows["day"] == day).tolist():
            unit = units[int(rows["unit"][place])]
            fold.flush()
            at = int(rows["decided_at"][place])
            row = np.array([unit.row], dtype=np.int32)
            if not unit.is_visiting(at):
                row = np.array([n], dtype=np.int32)
                fold.copy(n, fold, unit.row)
                fold.open_visit([unit], row, [at])
                returned += unit.pages > 0
            state = unpack_state(rows["unit_state"][[place]], rows["last_watched"][[place]])
            seen = fold.as_seen(row)
            for name in ("genre_history", "genre_exposure", "last_watched", "activity"):
                np.testing.assert_array_equal(getattr(seen, name), getattr(state, name), name)
            np.testing.assert_array_equal(seen.days_since_visit, state.days_since_visit)
            ranked = ranker.rank(row, fold.vectors(row), fold.hidden[row], settings.candidates)
            np.testing.assert_array_equal(ranked.items[0], rows["candidates"][place])
            np.testing.assert_array_equal(ranked.scores[0], rows["scores"][place])
            record = record_of(rows, place)
            fold.decision(unit, record)
            owner[record.decision_id] = unit
            for event in by_decision.get(record.decision_id, ()):
                reward(unit, event)
            checked += 1
        for event in late.get(day, ()):
            reward(owner[int(events["decision_id"][event])], event)
    assert checked > 30
    assert returned > 5
    assert late


def test_live_units_are_served_from_the_log(run: Path) -> None:
    """Candidates of the source, states from memory; whoever forgets reads the same again."""
    deployed = deployed_arm(run, "ucb")
    bundle, clock = deployed.bundle, FakeClock()
    log = TestingLog()
    start = clock.now_ms()

    def made(capacity: int) -> LiveRuntime:
        return LiveRuntime(
            bundles=lambda name: bundle,
            pseudonym_secret=bytes(32),
            draws=lambda experiment, arm: bytes(16),
            clock=clock,
            reader=log,
            units_in_memory=capacity,
            budget_ms=10_000.0,
        )

    async def scene() -> None:
        large, small = made(50), made(16)
        for runtime in (large, small):
            await runtime.apply([Running(live(deployed), start)], OneArm("ucb"))
        log.published = large.published
        rng = np.random.default_rng(1)
        number = 0
        for _ in range(6):
            clock.advance(seconds=float(rng.choice([60.0, 7_200.0, 90_000.0])))
            asks = []
            for unit in range(40):
                number += 1
                asks.append(plain_ask(f"unit-{unit}", number))
            found = await asyncio.gather(*(large.decide(ask) for ask in asks))
            for ask, one in zip(asks[:10], found, strict=False):
                # The small one is told of nothing: it reads all anew.
                small._memories["home", "ucb"].forget(small._pseudonym(ask.unit))
                assert await small.decide(ask) == one
            for one in found:
                assert one.record is not None
                assert one.fallback is None
                log.append(one.record)
                shown = np.frombuffer(one.record.slate, dtype=np.int32)
                assert set(shown) <= set(np.frombuffer(one.record.candidates, dtype=np.int32))
                if rng.random() < 0.5:
                    slot = int(rng.integers(5))
                    for component, value in ((0, 1.0), (1, 0.7)):
                        log.append(
                            RewardRecord(
                                reward_key=bytes(16),
                                body_digest=bytes(16),
                                decision_id=one.record.decision_id,
                                component=component,
                                slot=slot,
                                value=value,
                                received_at=clock.now_ms(),
                            )
                        )
        memory = large._memories["home", "ucb"]
        assert (memory.hits, memory.misses) == (200, 40)
        # An item that was shown in a visit is no candidate of its next page.
        ask = plain_ask("unit-1", 10**6)
        first = await large.decide(ask)
        assert first.record is not None
        log.append(first.record)
        clock.advance(seconds=60)
        again = await large.decide(plain_ask("unit-1", 10**6 + 1))
        assert again.record is not None
        assert again.record.page == first.record.page + 1
        left = set(np.frombuffer(again.record.candidates, dtype=np.int32))
        assert not left & set(np.frombuffer(first.record.slate, dtype=np.int32))
        await large.close()
        await small.close()

    asyncio.run(scene())


def test_a_unit_that_cannot_be_read_gets_the_order_of_the_candidates(run: Path) -> None:
    deployed = deployed_arm(run, "ucb")
    log = TestingLog()

    def away() -> None:
        raise LogUnavailableError("the log is away")

    async def scene() -> None:
        runtime = LiveRuntime(
            bundles=lambda name: deployed.bundle,
            pseudonym_secret=bytes(32),
            draws=lambda experiment, arm: bytes(16),
            clock=FakeClock(),
            reader=log,
            budget_ms=10_000.0,
        )
        await runtime.apply([Running(live(deployed), 0)], OneArm("ucb"))
        log.before_read = away
        asked = Ask(experiment="home", unit="a", decision_id=3, body_digest=bytes(16))
        found = await runtime.decide(asked)
        assert found.record is not None
        assert (found.fallback, found.record.served_by) == ("state", ServedBy.FALLBACK)
        candidates = np.frombuffer(found.record.candidates, dtype=np.int32)
        names = deployed.bundle.item_ids
        assert found.items == [names[row] for row in candidates[:5]]
        with pytest.raises(ContextError, match="catalogue, got 'nothing'"):
            await runtime.decide(replace(asked, candidates=["1", "nothing"]))
        log.before_read = lambda: None
        assert (await runtime.decide(asked)).fallback is None
        await runtime.close()

    asyncio.run(scene())


def test_quick_contexts_and_scores_equal_their_plain_twins(run: Path) -> None:
    bundle = deployed_arm(run, "ucb").bundle
    assert bundle.model is not None
    model, source = bundle.model, bundle.model.sources["mf"]
    rng = np.random.default_rng(4)
    states = UnitStates(20, items=model.items, model=source)
    states.genre_history[:] = rng.random(states.genre_history.shape, dtype=np.float32)
    states.genre_history[3] = 0.0
    states.genre_exposure[:] = rng.random(states.genre_exposure.shape, dtype=np.float32)
    states.last_watched[:] = rng.integers(-1, len(model.items), 20)
    states.days_since[:] = rng.integers(-1, 5, 20)
    states.sessions[:] = rng.integers(0, 9, 20)
    vectors = rng.normal(size=states.vectors.shape).astype(np.float32)
    rows = np.array([3, 7, 7, 0, 19], dtype=np.int32)
    ranker = model.ranker("mf", np.zeros(0, dtype=np.uint64))
    ranked = ranker.rank(rows, vectors[rows], states.hidden(rows), 30)
    ranked.items[2, 20:], ranked.scores[2, 20:] = -1, 0.0
    builder = model.contexts("ucb")
    contexts, state, packed = QuickContexts(builder).build(
        states, rows, ranked.items, ranked.scores, with_features=True
    )
    seen = states.as_seen(rows)
    plain = builder.build(seen, ranked.items, ranked.scores)
    for name in ("candidates", "features", "scores", "embeddings", "interests"):
        np.testing.assert_array_equal(getattr(contexts, name), getattr(plain, name))
    assert contexts.traits is plain.traits
    np.testing.assert_array_equal(packed, pack_state(seen))
    np.testing.assert_array_equal(pack_state(state), packed)
    shelf = CatalogueCandidates(
        model, source="mf", item_ids=bundle.item_ids, rules=None, candidates=30
    )
    scores = shelf.scores_of(vectors[rows], ranked.items)
    np.testing.assert_allclose(scores, ranked.scores, rtol=1e-5, atol=1e-7)
    reference = scores_reference(source, vectors[rows], ranked.items)
    np.testing.assert_allclose(scores, reference, rtol=1e-5, atol=1e-7)
