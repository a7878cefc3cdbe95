"""Exclusions, pins and caps in a run: kept on every page, in the log and in its analysis."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matinee_platform.decision_log import read_parts
from matinee_platform.log_schema import column_values
from matinee_platform.offline.replay_run import replay_run
from matinee_platform.offline.run import check_settings, run_experiment
from matinee_platform.serving_model import ServingModel, load_serving_model
from matinee_platform.settings import ExperimentSettings, parse_settings
from matinee_platform.verify import check_run
from matinee_policies.arrays import AnyArray, BoolArray
from matinee_policies.datasets.movielens import load_movielens
from matinee_policies.errors import ConfigError
from matinee_policies.records import PAD

SLOTS, GENRES = 5, 2


@pytest.fixture(scope="module")
def names(small_data: Path) -> dict[str, Any]:
    """Two genres, and popular items of neither, the first two without a genre in common."""
    data = load_movielens(small_data)
    catalogue = data.catalogue
    genres = catalogue.genre_names[:GENRES]
    free = (~catalogue.genres[:, :GENRES]).all(axis=1)
    popular = np.argsort(-data.interactions.item_counts() * free, kind="stable")
    first = int(popular[0])
    second = next(row for row in popular if not (catalogue.genres[[first, row]].all(axis=0)).any())
    third = next(row for row in popular if row not in (first, second))
    return {"genres": genres, "items": [int(catalogue.ids[row]) for row in (first, second, third)]}


def _settings(data: Path, names: dict[str, Any], **changes: Any) -> ExperimentSettings:
    first, second, third = names["items"]
    values = {
        "name": "ruled",
        "seed": 4,
        "users": 60,
        "days": 6,
        "slots": SLOTS,
        "candidates": 30,
        "batch_size": 32,
        "design": "paired",
        "data": str(data),
        "world": {"arrival_days": 1},
        "reward": {"return_visit": {"weight": 0.1, "window_days": 2}},
        "rules": {
            "exclude_items": [third],
            "exclude_genres": list(names["genres"]),
            "pinned": {0: first, 3: second},
        },
        "arms": [
            {"name": "ruled", "policy": {"kind": "lin_ucb", "diversity": 0.05}},
            {"name": "explored", "policy": {"kind": "score_order", "epsilon": 0.5}},
            {"name": "own", "policy": {"kind": "uniform"}, "rules": {"pinned": {4: third}}},
            {"name": "free", "policy": {"kind": "uniform"}, "rules": {}},
            {
                "name": "capped",
                "policy": {"kind": "lin_ucb", "floor": 0.2, "caps": {"aspect": 1}},
            },
            {
                "name": "nearly_empty",
                "policy": {"kind": "epsilon_greedy", "caps": {"aspect": 1}},
                "rules": {"exclude_genres": list(names["genres"])},
            },
        ],
    }
    return parse_settings({**values, **changes})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, small_data: Path, names: dict[str, Any]) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "ruled"
    run_experiment(_settings(small_data, names), folder, workers=1)
    return folder


@pytest.fixture(scope="module")
def model(run: Path) -> ServingModel:
    return load_serving_model(run / "model")


def _logged(run: Path, arm: str) -> dict[str, AnyArray]:
    parts = [column_values(table) for table in read_parts(run, "decisions", arm)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _row(model: ServingModel, item: int) -> int:
    return int(np.flatnonzero(model.catalogue.ids == item)[0])


def test_every_log_is_rescored_under_its_rules(run: Path) -> None:
    assert all(replay.passed for replay in replay_run(run))
    checks = check_run(run)
    assert len(checks) == 6
    for check in checks:
        assert check.passed, check
        assert check.slots > 100


@pytest.mark.parametrize("arm", ["ruled", "explored", "capped"])
def test_excluded_items_are_not_even_candidates(
    run: Path, model: ServingModel, names: dict[str, Any], arm: str
) -> None:
    rows = _logged(run, arm)
    flags = model.catalogue.genres
    columns = [model.catalogue.genre_names.index(name) for name in names["genres"]]
    excluded: BoolArray = np.logical_or.reduce(flags[:, columns], axis=1)
    excluded[_row(model, names["items"][2])] = True
    assert (rows["candidates"] != PAD).all()
    assert not excluded[rows["candidates"]].any()
    # The same units meet those items elsewhere.
    assert excluded[_logged(run, "free")["slate"]].mean() > 0.1


@pytest.mark.parametrize("arm", ["ruled", "explored", "capped"])
def test_pins_are_certain_on_first_pages_and_not_repeated(
    run: Path, model: ServingModel, names: dict[str, Any], arm: str
) -> None:
    rows = _logged(run, arm)
    first = rows["page"] == 0
    for slot, item in ((0, names["items"][0]), (3, names["items"][1])):
        row = _row(model, item)
        assert (rows["slate"][first, slot] == row).all()
        assert (rows["propensities"][first, slot] == 1.0).all()
        assert not (rows["slate"][~first] == row).any()
    assert 30 < first.sum() < first.size
    if arm == "explored":
        # The slots without a pin are drawn as before.
        assert (rows["propensities"][first][:, [1, 2, 4]] < 1.0).any()


def test_an_arm_may_have_rules_of_its_own(
    run: Path, model: ServingModel, names: dict[str, Any]
) -> None:
    rows = _logged(run, "own")
    first = rows["page"] == 0
    assert (rows["slate"][first, 4] == _row(model, names["items"][2])).all()
    assert (rows["slate"][:, 0] != _row(model, names["items"][0])).any()
    assert set(model.rules) == {"ruled", "explored", "own", "capped", "nearly_empty"}


@pytest.mark.parametrize("arm", ["capped", "nearly_empty"])
def test_empty_slots_go_through_the_whole_run(run: Path, model: ServingModel, arm: str) -> None:
    rows = _logged(run, arm)
    slates, shown = rows["slate"], rows["slate"] != PAD
    assert 0.05 < (~shown).mean() < 0.9
    assert (rows["propensities"][~shown] == 1.0).all()
    for slate in slates:
        assert (model.catalogue.genres[slate[slate != PAD]].sum(axis=0) <= 1).all()
    for table in read_parts(run, "rewards", arm):
        for event in table.to_pylist():
            if event["component"] in ("click", "watch", "rating"):
                at = np.flatnonzero(rows["decision_id"] == event["decision_id"])[0]
                assert slates[at, event["slot"]] != PAD
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))["arms"][arm]
    assert results["impressions"] == shown.sum()
    assert results["pages"] == len(slates)
    scrape = (run / "metrics.prom").read_text(encoding="utf-8")
    line = f'matinee_impressions{{arm="{arm}",experiment="ruled"}} {float(shown.sum())}'
    assert line in scrape
    if arm == "capped":
        # A pin may stand below a slot that stays empty.
        assert (~shown[:, 2] & shown[:, 3]).any()


def test_the_size_of_batches_does_not_show(
    run: Path, tmp_path: Path, small_data: Path, names: dict[str, Any]
) -> None:
    again = run_experiment(
        _settings(small_data, names, batch_size=5), tmp_path / "again", workers=1
    )
    before = json.loads((run / "results.json").read_text(encoding="utf-8"))
    for arm, found in again["arm_runs"].items():
        wanted = before["arm_runs"][arm]
        assert (found["log_hash"], list(found["snapshots"])) == (
            wanted["log_hash"],
            wanted["snapshots"],
        )
    assert again["arms"] == before["arms"]


def test_unknown_items_are_refused_before_anything_is_written(
    tmp_path: Path, small_data: Path, names: dict[str, Any]
) -> None:
    settings = _settings(small_data, names, rules={"exclude_items": [99_999_999]})
    with pytest.raises(ConfigError, match=r"rules\.exclude_items must be item ids of the data"):
        run_experiment(settings, tmp_path / "run", workers=1)
    assert not (tmp_path / "run").exists()


def test_a_reward_that_a_policy_cannot_learn_is_named(
    small_data: Path, names: dict[str, Any]
) -> None:
    settings = _settings(
        small_data,
        names,
        reward={"engagement": {"click": -0.3}},
        arms=[{"name": "band", "policy": {"kind": "corral"}}],
    )
    with pytest.raises(ConfigError, match=r"^arms\.band\.policy: corral needs engagement"):
        check_settings(settings)
