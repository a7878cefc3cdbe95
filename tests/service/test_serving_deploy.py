"""An arm decides the same in the service as in the offline run that it was deployed from."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from matinee_platform.cli import app
from matinee_platform.clock import FakeClock
from matinee_platform.engine import Engine
from matinee_platform.experiments.definition import LiveExperiment
from matinee_platform.log_rows import unpack_state
from matinee_platform.offline.testing_deployed import (
    POLICIES,
    Deployed,
    OneArm,
    deployed_arm,
    live,
    set_state,
)
from matinee_platform.serving.asks import Ask
from matinee_platform.serving.bundle import load_bundle
from matinee_platform.serving.deploy import deploy_arm
from matinee_platform.serving.errors import BundleError
from matinee_platform.serving.runtime import LiveRuntime, Running
from matinee_platform.serving.unit_fold import DAY_MS
from matinee_platform.storage.control_database import control_url, open_engine, upgrade
from matinee_platform.storage.control_store import ControlStore
from matinee_platform.storage.records import ServedBy
from matinee_policies.errors import ConfigError, DataError


@pytest.fixture(params=sorted(POLICIES))
def deployed(request: pytest.FixtureRequest, run: Path) -> Deployed:
    return deployed_arm(run, request.param)


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
                set_state(memory.fold, unit, rows, place)
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


def test_a_bundle_that_an_experiment_began_with_stays(
    tmp_path: Path, new_postgres_database: Callable[[], str]
) -> None:
    for place, database in enumerate(["sqlite", new_postgres_database()]):
        data = tmp_path / str(place)
        assert _deploy(data, database).exit_code == 0
        assert _deploy(data, database, "--replace").exit_code == 0
        url = control_url(data, database)
        upgrade(url)
        engine = open_engine(url)
        store = ControlStore(engine, clock=FakeClock())
        arms = [{"name": "only", "bundle": "shop"}]
        values = {"key": "home", "salt": "home-1", "slots": 2, "arms": arms}
        store.create(LiveExperiment.model_validate(values), who="test")
        assert _deploy(data, database, "--replace").exit_code == 0
        before = load_bundle(data, "shop").digest
        store.start("home", who="test")
        for state in ("running", "stopped"):
            refused = _deploy(data, database, "--replace", alpha=0.9)
            assert isinstance(refused.exception, BundleError)
            assert f"home/only ({state}) began with it" in str(refused.exception)
            if state == "running":
                store.stop("home", who="test")
        assert load_bundle(data, "shop").digest == before
        assert _deploy(data, database, "--replace", name="other", alpha=0.9).exit_code == 0
        engine.dispose()
    # Of a service that has run here with a database that was not named.
    (data / "spool").mkdir()
    refused = _deploy(data, "sqlite", "--replace", alpha=0.9)
    assert isinstance(refused.exception, BundleError)
    assert "give --database" in str(refused.exception)


def _deploy(
    data: Path, database: str, *more: str, name: str = "shop", alpha: float = 0.2
) -> Result:
    words = ["deploy", "--policy", "lin_ucb", "--set", f"alpha={alpha}", "--features", "2"]
    words += ["--slots", "2", "--as", name, "--to", str(data), "--database", database]
    return CliRunner().invoke(app, [*words, *more])
