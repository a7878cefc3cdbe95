"""Arms that start from another run's state, or from the order of the scores."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matinee_platform.decision_log import read_parts
from matinee_platform.learn_from_log import learn_from_log
from matinee_platform.log_schema import matrix
from matinee_platform.offline.replay_run import replay_run
from matinee_platform.offline.run import run_experiment
from matinee_platform.settings import ExperimentSettings, parse_settings
from matinee_platform.verify import check_run
from matinee_policies.array_file import read_arrays, write_arrays
from matinee_policies.errors import ConfigError
from matinee_policies.features import FEATURE_NAMES
from matinee_policies.registry import build_policy, restore_policy
from matinee_policies.snapshot import Snapshot


def last_snapshot(run: Path, arm: str = "lin_ucb") -> Path:
    return sorted((run / "snapshots" / arm).glob("*.npz"))[-1]


def settings_with(data: Path, *arms: dict[str, Any], **changes: Any) -> ExperimentSettings:
    values: dict[str, Any] = {
        "name": "warm",
        "seed": 3,
        "users": 120,
        "days": 3,
        "slots": 5,
        "candidates": 30,
        "world": {"arrival_days": 2},
        "data": str(data),
        "arms": list(arms),
    }
    return parse_settings({**values, **changes})


def lin_ucb(warm_start: dict[str, Any], name: str = "warm", **policy: Any) -> dict[str, Any]:
    return {
        "name": name,
        "policy": {"kind": "lin_ucb", "alpha": 0.5, **policy},
        "warm_start": warm_start,
    }


@pytest.fixture(scope="module")
def settings(tiny_run: Path, small_data: Path) -> ExperimentSettings:
    return settings_with(
        small_data,
        lin_ucb({"snapshot": str(last_snapshot(tiny_run)), "discount": 0.5}),
        lin_ucb({"mf_prior": {"weight": 0.2}}, name="prior", alpha=0.0, floor=0.0),
        lin_ucb({"log": f"{tiny_run}:mf_explored", "estimator": "plain"}, name="logged"),
        {
            "name": "forgets",
            "policy": {"kind": "discounted_lin_ucb"},
            "warm_start": {"log": f"{tiny_run}:lin_ucb", "estimator": "plain"},
        },
        {"name": "mf_order", "policy": {"kind": "score_order"}},
    )


@pytest.fixture(scope="module")
def warm_run(settings: ExperimentSettings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "warm"
    run_experiment(settings, run, workers=1)
    return run


def test_the_first_snapshot_is_the_warm_one_and_names_its_donor(
    tiny_run: Path, warm_run: Path
) -> None:
    donor = Snapshot.load(last_snapshot(tiny_run))
    first = Snapshot.load(warm_run / "snapshots" / "warm" / "00000.npz")
    assert first.manifest["origin"] == {
        "kind": "snapshot",
        "content_hash": donor.content_hash,
        "discount": 0.5,
    }
    np.testing.assert_array_equal(first.arrays["gram"], 0.5 * donor.arrays["gram"])
    results = json.loads((warm_run / "results.json").read_text(encoding="utf-8"))
    assert results["arm_runs"]["warm"]["snapshots"][0] == first.content_hash


def test_an_arm_that_learned_a_log_has_what_the_log_teaches_alone(
    tiny_run: Path, warm_run: Path, settings: ExperimentSettings
) -> None:
    alone: Any = build_policy("lin_ucb", {"alpha": 0.5}, dimension=len(FEATURE_NAMES))
    learned = learn_from_log(
        alone, tiny_run, "mf_explored", estimator="plain", rewards=settings.reward
    )
    first = Snapshot.load(warm_run / "snapshots" / "logged" / "00000.npz")
    np.testing.assert_allclose(first.arrays["theta"], alone.theta, rtol=1e-12)
    origin = first.manifest["origin"]
    assert (origin["kind"], origin["estimator"]) == ("log", "plain")
    assert origin["impressions"] == learned.impressions > 100


def test_days_of_a_log_are_behind_the_first_day_of_a_run(warm_run: Path) -> None:
    first = Snapshot.load(warm_run / "snapshots" / "forgets" / "00000.npz")
    assert first.manifest["newest_day"] == 0
    assert first.manifest["rows"] > 100
    assert set(np.unique(first.arrays["days"][0]).tolist()) <= {-1, 0}


def test_later_snapshots_follow_from_the_first(warm_run: Path) -> None:
    first: Any = restore_policy(Snapshot.load(warm_run / "snapshots" / "warm" / "00000.npz"))
    second: Any = restore_policy(Snapshot.load(warm_run / "snapshots" / "warm" / "00001.npz"))
    shown = sum(
        (matrix(table["slate"]) >= 0).sum()
        for table in read_parts(warm_run, "decisions", "warm", day=0)
    )
    assert second.rows == first.rows + shown > first.rows > 0


def test_a_warm_run_rescores_to_ratio_one(warm_run: Path) -> None:
    for check in check_run(warm_run):
        assert check.passed, check


def test_a_warm_run_is_replayed_from_its_first_states(warm_run: Path) -> None:
    for found in replay_run(warm_run):
        assert found.passed, found
        assert found.snapshots == (1 if found.arm == "mf_order" else 4)


def test_an_arm_with_the_prior_of_the_scores_ranks_by_them_on_its_first_day(
    warm_run: Path,
) -> None:
    for table in read_parts(warm_run, "decisions", "prior", day=0):
        candidates, scores = matrix(table["candidates"]), matrix(table["scores"])
        best = np.argsort(-scores, axis=1, kind="stable")[:, :5]
        np.testing.assert_array_equal(
            matrix(table["slate"]), np.take_along_axis(candidates, best, axis=1)
        )


class StopError(Exception):
    """Interrupts a run from within."""


def test_a_stopped_warm_run_goes_on_without_its_donor(
    settings: ExperimentSettings, warm_run: Path, tiny_run: Path, tmp_path: Path
) -> None:
    donor = tmp_path / "donor"
    shutil.copytree(tiny_run, donor)
    moved = settings.model_dump(mode="json")
    moved["arms"][0]["warm_start"]["snapshot"] = str(last_snapshot(donor))
    again = parse_settings(moved)
    run = tmp_path / "run"

    def stop(_: object) -> None:
        raise StopError

    with pytest.raises(StopError):
        run_experiment(again, run, workers=1, report=stop)
    shutil.rmtree(donor)
    results = run_experiment(again, run, workers=1, resume=True)
    whole = json.loads((warm_run / "results.json").read_text(encoding="utf-8"))
    assert results["arm_runs"] == whole["arm_runs"]


def refusal(settings: ExperimentSettings, run: Path) -> str:
    with pytest.raises(ConfigError) as refused:
        run_experiment(settings, run, workers=1)
    assert not run.exists()
    return str(refused.value)


def test_another_catalogue_is_refused_before_anything_is_written(
    tiny_run: Path, small_data: Path, tmp_path: Path
) -> None:
    arm = lin_ucb({"snapshot": str(last_snapshot(tiny_run))})
    told = refusal(settings_with(small_data, arm, seed=4), tmp_path / "run")
    assert "arms.warm.warm_start: snapshot" in told
    assert "must be over catalogue version" in told


def test_another_feature_version_is_refused(
    tiny_run: Path, small_data: Path, tmp_path: Path
) -> None:
    donor = tmp_path / "donor"
    shutil.copytree(tiny_run / "snapshots", donor / "snapshots")
    (donor / "model").mkdir()
    arrays, header = read_arrays(
        tiny_run / "model" / "item_features.npz", kind="item features", names=None
    )
    write_arrays(
        donor / "model" / "item_features.npz",
        kind="item features",
        arrays=arrays,
        header={**header, "feature_version": 99},
    )
    arm = lin_ucb({"snapshot": str(last_snapshot(donor))})
    told = refusal(settings_with(small_data, arm), tmp_path / "run")
    assert "feature version 1" in told
    assert "99" in told


def test_a_snapshot_may_note_its_own_versions(
    tiny_run: Path, small_data: Path, tmp_path: Path
) -> None:
    donor = Snapshot.load(last_snapshot(tiny_run))
    noted = {**donor.manifest, "feature_version": 2, "catalogue_version": "0" * 16}
    Snapshot(donor.kind, donor.version, donor.arrays, noted).save(tmp_path / "alone.npz")
    arm = lin_ucb({"snapshot": str(tmp_path / "alone.npz")})
    assert "must be of feature version 1, got 2" in refusal(
        settings_with(small_data, arm), tmp_path / "run"
    )


@pytest.mark.parametrize(
    ("name", "policy", "message"),
    [
        ("nowhere.npz", {}, "cannot be read"),
        ("lin_ucb", {"kind": "epsilon_greedy"}, "must be of kind 'epsilon_greedy'"),
        ("lin_ucb", {"kind": "lin_ucb", "form": "hybrid"}, "form hybrid, got shared"),
        ("lin_ucb", {"kind": "uniform"}, "uniform learns nothing"),
        ("alone", {"kind": "lin_ucb"}, "must lie in the run that made it"),
        ("log", {"kind": "lin_ucb"}, "must name an arm of"),
        ("no run", {"kind": "lin_ucb"}, "must hold a finished run"),
    ],
)
def test_donors_that_do_not_fit_are_refused_before_anything_is_written(
    tiny_run: Path,
    small_data: Path,
    tmp_path: Path,
    name: str,
    policy: dict[str, Any],
    message: str,
) -> None:
    path = tmp_path / "alone.npz"
    if name == "lin_ucb":
        path = last_snapshot(tiny_run)
    elif name == "alone":
        shutil.copy(last_snapshot(tiny_run), path)
    donor = {"log": f"{tiny_run if name == 'log' else tmp_path}:nobody"}
    arm = {
        "name": "warm",
        "policy": policy or {"kind": "lin_ucb"},
        "warm_start": donor if name in ("log", "no run") else {"snapshot": str(path)},
    }
    told = refusal(settings_with(small_data, arm), tmp_path / "run")
    assert told.startswith("arms.warm.warm_start: ")
    assert message in told
