"""An arm decides the same in the service as in the offline run that it was deployed from."""

import asyncio
import csv
import itertools
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from matinee_platform.cli import app
from matinee_platform.clock import FakeClock
from matinee_platform.decision_log import read_parts
from matinee_platform.engine import Engine, catalogue_number
from matinee_platform.experiments.definition import LiveExperiment
from matinee_platform.log_rows import COMPONENTS, pack_state, unpack_state
from matinee_platform.log_schema import column_values
from matinee_platform.offline.arm_state import arm_secret
from matinee_platform.offline.prepare import draw_roster, load_prepared
from matinee_platform.offline.run import run_experiment
from matinee_platform.serving.asks import Ask
from matinee_platform.serving.bundle import LoadedBundle, load_bundle
from matinee_platform.serving.deploy import deploy_arm
from matinee_platform.serving.errors import BundleError
from matinee_platform.serving.live_candidates import CatalogueCandidates, scores_reference
from matinee_platform.serving.quick_contexts import QuickContexts
from matinee_platform.serving.runtime import LiveRuntime, Running
from matinee_platform.serving.testing_log import TestingLog
from matinee_platform.serving.unit_fold import DAY_MS, Unit, UnitFold
from matinee_platform.settings import ExperimentSettings, parse_settings
from matinee_platform.storage.errors import LogUnavailableError
from matinee_platform.storage.records import DecisionRecord, RewardRecord, ServedBy
from matinee_platform.unit_state import UnitStates, age_in_days
from matinee_policies.datasets.synthetic import synthetic_dataset
from matinee_policies.errors import ConfigError, ContextError, DataError
from matinee_policies.snapshot import Snapshot
from matinee_policies.snapshot_signature import SigningKeys
from matinee_simulator.history import RUN_START

POLICIES: dict[str, dict[str, Any]] = {
    "order": {"kind": "score_order", "epsilon": 0.2},
    "ucb": {"kind": "lin_ucb", "alpha": 0.5, "diversity": 0.05},
    "eps": {"kind": "epsilon_greedy", "epsilon": 0.1, "diversity": 0.05},
    "ts": {"kind": "thompson"},
    "vw": {"kind": "vowpal_wabbit", "exploration": "squarecb", "diversity": 0.05},
    "mix": {
        "kind": "mixture",
        "bases": [
            {"kind": "lin_ucb", "weight": 0.7, "policy": {"diversity": 0.05}},
            {"kind": "softmax", "weight": 0.3},
        ],
    },
}
KEYS = SigningKeys({"service": bytes(range(32))})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deploy")
    data = folder / "data"
    data.mkdir()
    dataset = synthetic_dataset(seed=2, n_users=120, n_items=400)
    catalogue, ratings = dataset.catalogue, dataset.interactions.matrix.tocoo()
    with (data / "movies.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["movieId", "title", "genres"])
        for row, (item, title) in enumerate(zip(catalogue.ids, catalogue.titles, strict=True)):
            names = list(itertools.compress(catalogue.genre_names, catalogue.genres[row]))
            rows.writerow([int(item), title, "|".join(names) or "(no genres listed)"])
    with (data / "ratings.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["userId", "movieId", "rating", "timestamp"])
        for user, item, rating in zip(*ratings.coords, ratings.data, strict=True):
            rows.writerow([int(user) + 1, int(catalogue.ids[item]), float(rating), 1_500_000_000])
    settings = parse_settings(
        {
            "name": "small",
            "users": 60,
            "days": 5,
            "slots": 5,
            "candidates": 30,
            "rest": 12,
            "data": str(data),
            "world": {"arrival_days": 1},
            "arms": [{"name": name, "policy": policy} for name, policy in POLICIES.items()],
        }
    )
    run = folder / "run"
    run_experiment(settings, run, workers=1)
    for arm in POLICIES:
        deploy_arm(run, arm, data_dir=folder / "service", keys=KEYS)
    return run


@dataclass(frozen=True)
class Deployed:
    run: Path
    settings: ExperimentSettings
    bundle: LoadedBundle
    arm: str

    @property
    def secret(self) -> bytes:
        return arm_secret(self.settings, self.settings.arm(self.arm))

    def snapshot(self, version: int) -> Snapshot:
        return Snapshot.load(self.run / "snapshots" / self.arm / f"{version:05d}.npz")

    def decisions(self) -> dict[str, Any]:
        days = [
            column_values(table)
            for day in range(self.settings.days)
            for table in read_parts(self.run, "decisions", self.arm, day=day)
        ]
        return {name: np.concatenate([day[name] for day in days]) for name in days[0]}

    def rewards(self) -> dict[str, Any]:
        days = [
            column_values(table)
            for day in range(self.settings.days)
            for table in read_parts(self.run, "rewards", self.arm, day=day)
        ]
        return {name: np.concatenate([day[name] for day in days]) for name in days[0]}


@pytest.fixture(params=sorted(POLICIES))
def deployed(request: pytest.FixtureRequest, run: Path) -> Deployed:
    return _deployed(run, request.param)


def _deployed(run: Path, arm: str) -> Deployed:
    settings = parse_settings(json.loads((run / "settings.json").read_text()))
    bundle = load_bundle(run.parent / "service", arm, keys=KEYS)
    return Deployed(run, settings, bundle, arm)


def test_the_engine_of_the_bundle_repeats_every_logged_decision(deployed: Deployed) -> None:
    bundle, rows = deployed.bundle, deployed.decisions()
    assert bundle.model is not None
    engine = Engine(
        bundle.policy(),
        contexts=bundle.model.contexts(deployed.arm),
        slots=bundle.manifest.slots,
        secret=deployed.secret,
    )
    versions = np.unique(rows["snapshot"])
    assert versions.size > 1 or not engine.policy.learns
    for version in versions:
        some = rows["snapshot"] == version
        engine.policy = bundle.policy(deployed.snapshot(int(version)))
        state = unpack_state(rows["unit_state"][some], rows["last_watched"][some])
        again = engine.decide(
            rows["decision_id"][some], state, rows["candidates"][some], rows["scores"][some]
        )
        assert again.catalogue_version == rows["catalogue_version"][some][0]
        np.testing.assert_array_equal(again.slates.items, rows["slate"][some])
        np.testing.assert_array_equal(again.slates.propensities, rows["propensities"][some])


class OneArm:
    """Assigns every unit to one arm."""

    def __init__(self, arm: str | None, bucket: int = 7) -> None:
        self.arm = arm
        self.bucket = bucket

    def assign(self, experiment: str, unit: str) -> "OneArm":
        return self


def plain_ask(unit: str, number: int) -> Ask:
    return Ask(experiment="home", unit=unit, decision_id=number, body_digest=bytes(16))


def live(deployed: Deployed, **changes: Any) -> LiveExperiment:
    return LiveExperiment.model_validate(
        {
            "key": "home",
            "salt": "home-1",
            "slots": deployed.settings.slots,
            "candidates": deployed.settings.candidates,
            "rest": deployed.settings.rest,
            "arms": [{"name": deployed.arm, "bundle": deployed.arm}],
            **changes,
        }
    )


def test_the_runtime_repeats_logged_decisions_whatever_comes_with_them(deployed: Deployed) -> None:
    bundle, rows = deployed.bundle, deployed.decisions()
    clock = FakeClock()
    runtime = LiveRuntime(
        bundles=lambda name: bundle,
        pseudonym_secret=bytes(32),
        draws=lambda experiment, arm: deployed.secret,
        clock=clock,
        units_in_memory=200,
    )

    async def scene() -> None:
        start = clock.now_ms() - 3 * DAY_MS
        await runtime.apply([Running(live(deployed), start)], OneArm(deployed.arm))
        arm = runtime.arms[0]
        memory = arm.memory
        assert memory is not None
        names = bundle.item_ids
        for version in np.unique(rows["snapshot"])[-2:]:
            arm.swap(bundle.policy(deployed.snapshot(int(version))), version=int(version))
            places = np.flatnonzero(rows["snapshot"] == version)[:60]
            asks = []
            for place in places.tolist():
                unit = await memory.load(runtime._pseudonym(f"user-{place}"))
                _set_state(memory.fold, unit, rows, place)
                unit.last_decision = clock.now_ms()
                unit.visit_day = 3
                asks.append(
                    Ask(
                        experiment="home",
                        unit=f"user-{place}",
                        decision_id=int(rows["decision_id"][place]),
                        body_digest=bytes(16),
                        candidates=[names[row] for row in rows["candidates"][place] if row >= 0],
                        scores=rows["scores"][place].tolist(),
                    )
                )
            for size in (1, 7, len(asks)):
                answers = []
                for first in range(0, len(asks), size):
                    some = asks[first : first + size]
                    answers += await asyncio.gather(*(runtime.decide(ask) for ask in some))
                for place, found in zip(places.tolist(), answers, strict=True):
                    record = found.record
                    assert record is not None
                    assert record.served_by == ServedBy.POLICY
                    assert record.snapshot == version
                    assert found.fallback is None
                    for name in (
                        "unit_state",
                        "candidates",
                        "scores",
                        "slate",
                        "propensities",
                    ):
                        assert getattr(record, name) == rows[name][place].tobytes(), name
                    assert record.last_watched == rows["last_watched"][place]
                    assert found.items == [names[row] for row in rows["slate"][place]]
                    assert found.propensities == rows["propensities"][place].tolist()
                    assert (await runtime.answer(record)).items == found.items
        await runtime.close()

    asyncio.run(scene())


def _set_state(fold: UnitFold, unit: Unit, rows: dict[str, Any], place: int) -> None:
    state = unpack_state(rows["unit_state"][[place]], rows["last_watched"][[place]])
    states, row = fold.states, unit.row
    states.genre_history[row] = state.genre_history[0]
    states.genre_exposure[row] = state.genre_exposure[0]
    states.last_watched[row] = state.last_watched[0]
    states.sessions[row] = int(state.activity[0])
    states.days_since[row] = state.days_since_visit[0]


@pytest.mark.parametrize("arm", ["ucb"])
def test_folding_the_log_gives_states_and_candidates_of_the_offline_run(
    run: Path, arm: str
) -> None:
    deployed = _deployed(run, arm)
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
            record = _record(rows, place)
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


def _record(rows: dict[str, Any], place: int) -> DecisionRecord:
    return DecisionRecord(
        decision_id=int(rows["decision_id"][place]),
        body_digest=bytes(16),
        experiment="home",
        arm="ucb",
        unit=int(rows["unit"][place]),
        bucket=int(rows["bucket"][place]),
        decided_at=int(rows["decided_at"][place]),
        page=int(rows["page"][place]),
        snapshot=int(rows["snapshot"][place]),
        feature_version=1,
        catalogue_version=int(rows["catalogue_version"][place]),
        served_by=ServedBy.POLICY,
        last_watched=int(rows["last_watched"][place]),
        unit_state=rows["unit_state"][place].tobytes(),
        candidates=rows["candidates"][place].tobytes(),
        scores=rows["scores"][place].tobytes(),
        slate=rows["slate"][place].tobytes(),
        propensities=rows["propensities"][place].tobytes(),
    )


def test_live_units_are_served_from_the_log(run: Path) -> None:
    """Candidates of the source, states from memory; whoever forgets reads the same again."""
    deployed = _deployed(run, "ucb")
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
    deployed = _deployed(run, "ucb")
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
    bundle = _deployed(run, "ucb").bundle
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


def test_deploy_refuses_what_a_service_cannot_serve(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"arm must be one of .*got 'nobody'"):
        deploy_arm(run, "nobody", data_dir=tmp_path)
    with pytest.raises(DataError, match="must be the folder of a run"):
        deploy_arm(tmp_path, "ucb", data_dir=tmp_path)
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    (unfinished / "settings.json").write_text((run / "settings.json").read_text())
    with pytest.raises(DataError, match="must hold a finished run"):
        deploy_arm(unfinished, "ucb", data_dir=tmp_path)
    settings = json.loads((run / "settings.json").read_text())
    settings["arms"][0]["policy"] = {"kind": "click_oracle"}
    (unfinished / "settings.json").write_text(json.dumps(settings))
    (unfinished / "results.json").write_text(json.dumps({"arm_runs": {}}))
    with pytest.raises(ConfigError, match="simulator's truth"):
        deploy_arm(unfinished, "order", data_dir=tmp_path)
    with pytest.raises(BundleError, match="there is a bundle 'ucb' already"):
        deploy_arm(run, "ucb", data_dir=run.parent / "service")
    with pytest.raises(BundleError, match="name of a bundle"):
        deploy_arm(run, "ucb", data_dir=tmp_path, name="../ucb")


def test_deploy_command(run: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    done = runner.invoke(
        app, ["deploy", f"{run}:ucb", "--to", str(tmp_path), "--as", "first", "--json"]
    )
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["name"] == "first"
    bundle = load_bundle(tmp_path, "first")
    assert bundle.manifest.origin["arm"] == "ucb"
    assert bundle.model is not None
    assert set(bundle.model.sources) == {"mf"}
    done = runner.invoke(
        app,
        [
            *("deploy", "--policy", "lin_ucb", "--set", "alpha=0.2", "--features", "4"),
            *("--as", "shop", "--to", str(tmp_path)),
        ],
    )
    assert done.exit_code == 0, done.output
    assert "lin_ucb over 4 features" in done.stdout
    assert runner.invoke(app, ["deploy", "--to", str(tmp_path)]).exit_code == 2
