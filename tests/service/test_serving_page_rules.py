"""Page rules of a run whose data name items by texts, deployed and served live."""

import asyncio
import csv
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from matinee_platform.clock import FakeClock
from matinee_platform.experiments.definition import LiveExperiment
from matinee_platform.experiments.layers import Assigner
from matinee_platform.offline.run import run_experiment
from matinee_platform.service.settings import Holdout
from matinee_platform.serving.asks import Ask, Decided
from matinee_platform.serving.bundle import LoadedBundle, load_bundle
from matinee_platform.serving.deploy import deploy_arm
from matinee_platform.serving.errors import GoneError
from matinee_platform.serving.observer import Nobody
from matinee_platform.serving.runtime import LiveRuntime, Running
from matinee_platform.serving.testing_log import TestingLog
from matinee_platform.settings import parse_settings
from matinee_platform.storage.records import ServedBy
from matinee_policies.datasets.synthetic import synthetic_dataset
from matinee_policies.snapshot_signature import SigningKeys

KEYS = SigningKeys({"service": bytes(range(32))})
SLOTS, K = 4, 20
BANNED, PINNED, PIN_SLOT = ("film 3", "film 8"), "film 11", 2


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over a table with texts for ids, deployed."""
    folder = tmp_path_factory.mktemp("ruled")
    ratings = synthetic_dataset(seed=3, n_users=120, n_items=300).interactions.matrix.tocoo()
    table = folder / "ratings.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["who", "film", "stars", "at"])
        for user, item, rating in zip(*ratings.coords, ratings.data, strict=True):
            rows.writerow([f"u{user}", f"film {item}", float(rating), 1_500_000_000])
    settings = parse_settings(
        {
            "name": "ruled",
            "users": 60,
            "days": 2,
            "slots": SLOTS,
            "candidates": K,
            "world": {"arrival_days": 1},
            "data": {
                "path": str(table),
                "users": "who",
                "items": "film",
                "ratings": "stars",
                "timestamps": "at",
            },
            "rules": {"exclude_items": list(BANNED), "pinned": {PIN_SLOT: PINNED}},
            "arms": [{"name": "ruled", "policy": {"kind": "lin_ucb", "floor": 0.5}}],
        }
    )
    run_experiment(settings, folder / "run", workers=1)
    deploy_arm(folder / "run", "ruled", data_dir=folder, keys=KEYS)
    return folder


class Hits(Nobody):
    """Notes whether units were at hand."""

    def __init__(self) -> None:
        self.at_hand: list[bool] = []

    def asked_unit(self, experiment: str, arm: str, *, at_hand: bool) -> None:
        self.at_hand.append(at_hand)


class Live:
    """A runtime with a log, asked one by one."""

    def __init__(
        self,
        folder: Path,
        *,
        slots: int = SLOTS,
        learning: str = "online",
        budget_ms: float = 60_000.0,
    ) -> None:
        self.log = TestingLog()
        self.bundle: LoadedBundle | None = None
        self.clock = FakeClock()
        self.hits = Hits()
        self.definition = LiveExperiment.model_validate(
            {
                "key": "home",
                "salt": "s",
                "slots": slots,
                "candidates": K,
                "arms": [{"name": "new", "bundle": "ruled", "learning": learning}],
            }
        )
        self.runtime = LiveRuntime(
            bundles=lambda name: self.bundle or load_bundle(folder, name, keys=KEYS),
            pseudonym_secret=bytes(32),
            draws=lambda experiment, arm: bytes(16),
            clock=self.clock,
            reader=self.log,
            budget_ms=budget_ms,
            observer=self.hits,
        )
        self.log.published = self.runtime.published
        self._asked = 0

    async def start(self) -> None:
        running = Running(self.definition, self.clock.now_ms())
        await self.runtime.apply([running], Assigner([self.definition], Holdout()))

    async def ask(self, unit: str, **named: Any) -> Decided:
        self._asked += 1
        found = await self.runtime.decide(
            Ask(
                experiment="home",
                unit=unit,
                decision_id=self._asked,
                body_digest=bytes(16),
                **named,
            )
        )
        assert found.record is not None
        self.log.append(found.record)
        return found


@pytest.mark.parametrize("learning", ["online", "apprentice"])
def test_pins_open_a_visit_and_exclusions_never_show(service: Path, learning: str) -> None:
    live = Live(service, learning=learning)

    async def scene() -> None:
        await live.start()
        for unit in range(12):
            first, second = [await live.ask(f"unit {unit}") for _ in range(2)]
            for found in (first, second):
                assert found.fallback is None
                assert found.record is not None
                chose = ServedBy.POLICY if learning == "online" else ServedBy.DEFAULT
                assert found.record.served_by == chose
                assert len(set(found.items)) == SLOTS
                assert not set(found.items) & set(BANNED)
            assert first.items[PIN_SLOT] == PINNED
            assert first.propensities[PIN_SLOT] == 1.0
            assert PINNED not in second.items
            # What a visit has shown is no candidate of it any more.
            assert not set(first.items) & set(second.items)
        live.clock.advance(seconds=31 * 60.0)
        again = await live.ask("unit 0")
        assert again.items[PIN_SLOT] == PINNED, "a visit begins anew after half an hour"
        assert live.hits.at_hand == [False, True] * 12 + [True]
        await live.runtime.close()

    asyncio.run(scene())


def test_what_callers_name_is_held_to_the_rules(service: Path) -> None:
    live = Live(service)
    others = [f"film {number}" for number in range(30, 36)]

    async def scene() -> None:
        await live.start()
        banned = await live.ask("a", candidates=[*BANNED, *others])
        assert not set(banned.items) & set(BANNED)
        assert len(banned.items) == SLOTS
        pinned = await live.ask("b", candidates=[*others, PINNED])
        assert pinned.items[PIN_SLOT] == PINNED
        short = await live.ask("c", candidates=others[:2])
        assert sorted(short.items) == sorted(others[:2])
        assert len(short.propensities) == 2
        few = await live.ask("d", candidates=[*others, PINNED], slots=2)
        assert (len(few.items), few.fallback) == (2, None)
        none = await live.ask("e", candidates=list(BANNED))
        assert none.items == []
        assert none.record is not None
        assert (await live.runtime.answer(none.record)).items == []
        await live.runtime.close()

    asyncio.run(scene())


@pytest.mark.parametrize("learning", ["online", "apprentice"])
def test_an_experiment_of_fewer_slots_serves_a_run_with_a_pin_below_them(
    service: Path, learning: str
) -> None:
    """A pin that has no slot reserves nothing: it is a candidate as any other."""
    live = Live(service, slots=2, learning=learning)
    others = [f"film {number}" for number in range(30, 33)]

    async def scene() -> None:
        await live.start()
        found = await live.ask("a")
        assert (found.fallback, len(found.items)) == (None, 2)
        both = await live.ask("b", candidates=[PINNED, others[0]])
        assert sorted(both.items) == sorted([PINNED, others[0]])
        await live.runtime.close()

    asyncio.run(scene())


def test_decisions_keep_their_names_when_another_catalogue_comes(service: Path) -> None:
    """Rows of a record are rows of the catalogue that it names."""
    live, bundle = Live(service), load_bundle(service, "ruled", keys=KEYS)
    assert bundle.model is not None
    items = replace(bundle.model.items, popularity=bundle.model.items.popularity * 0.5)
    other = replace(
        bundle,
        model=replace(bundle.model, items=items),
        item_ids=tuple(f"new {name}" for name in bundle.item_ids),
    )

    async def scene() -> None:
        await live.start()
        found = await live.ask("a")
        assert found.record is not None
        # The bundle is replaced, and its arm starts anew; this process knows the old names.
        live.bundle = other
        live.definition = live.definition.model_copy(update={"slots": SLOTS - 1})
        await live.start()
        assert (await live.ask("b")).items[0].startswith("new film")
        assert (await live.runtime.answer(found.record)).items == found.items
        await live.runtime.close()
        # One that starts later does not.
        later = Live(service)
        later.bundle = other
        later.runtime.know([later.definition])
        with pytest.raises(GoneError, match="has another catalogue now"):
            await later.runtime.answer(found.record)
        # Where it is still there it is read, whether or not its experiment runs.
        later.bundle = bundle
        assert (await later.runtime.answer(found.record)).items == found.items
        await later.runtime.close()
        lost = Live(service)
        with pytest.raises(GoneError, match="has no bundle that can be read"):
            await lost.runtime.answer(found.record)
        await lost.runtime.close()

    asyncio.run(scene())


def test_a_unit_that_cannot_be_read_in_time_gets_the_order_of_its_candidates(service: Path) -> None:
    """Nobody waits longer than the budget; the unit is there when it comes again."""
    live, gate = Live(service, budget_ms=50.0), threading.Event()
    named = [f"film {number}" for number in range(30, 36)]

    def hold() -> None:
        gate.wait(60)

    async def scene() -> None:
        await live.start()
        live.log.before_read = hold
        late = await live.ask("ada", candidates=named)
        assert late.fallback == "state"
        assert late.record is not None
        assert late.record.served_by == ServedBy.FALLBACK
        assert late.items == named[:SLOTS]
        assert late.propensities == [1.0] * SLOTS
        gate.set()
        live.log.before_read = lambda: None
        while (again := await live.ask("ada", candidates=named)).fallback is not None:
            assert again.fallback == "state"
        assert again.record is not None
        assert again.record.served_by == ServedBy.POLICY
        assert live.hits.at_hand[0] is False
        await live.runtime.close()

    asyncio.run(scene())
