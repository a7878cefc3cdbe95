"""Tiny experiments on the synthetic catalogue, shared within a test session where they can be."""

from pathlib import Path
from typing import Any

import pytest

from matinee_platform.offline.run import run_experiment
from matinee_platform.settings import ExperimentSettings, parse_settings

TINY: dict[str, Any] = {
    "name": "tiny",
    "seed": 3,
    "users": 240,
    "days": 10,
    "slots": 5,
    "candidates": 30,
    "batch_size": 64,
    "control": "mf_order",
    "world": {"arrival_days": 2},
    "reward": {"return_visit": {"weight": 0.1, "window_days": 3}},
    "arms": [
        {
            "name": "popularity",
            "weight": 0.2,
            "candidates": "popularity",
            "policy": {"kind": "score_order"},
        },
        {"name": "mf_order", "weight": 0.2, "policy": {"kind": "score_order"}},
        {"name": "mf_explored", "weight": 0.2, "policy": {"kind": "score_order", "epsilon": 0.2}},
        {
            "name": "epsilon_greedy",
            "weight": 0.2,
            "policy": {"kind": "epsilon_greedy", "epsilon": 0.1, "diversity": 0.05},
        },
        {
            "name": "lin_ucb",
            "weight": 0.2,
            "policy": {"kind": "lin_ucb", "alpha": 0.5, "diversity": 0.05},
        },
    ],
}


def tiny(**changes: Any) -> ExperimentSettings:
    return parse_settings({**TINY, **changes})


@pytest.fixture(autouse=True)
def _synthetic_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MATINEE_DATA", raising=False)


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "tiny"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MATINEE_DATA", raising=False)
        run_experiment(tiny(), run, workers=1)
    return run
