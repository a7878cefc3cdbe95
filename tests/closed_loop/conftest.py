"""Tiny experiments on the synthetic catalogue, shared within a test session where they can be."""

from pathlib import Path
from typing import Any

import pytest

from matinee_platform.offline.arm_run import DayReport
from matinee_platform.offline.run import run_experiment
from matinee_platform.offline.testing_metrics import measured_settings
from matinee_platform.settings import ExperimentSettings, parse_settings
from matinee_policies.datasets.testing_movielens import write_small_movielens

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
def small_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in the MovieLens layout, small enough that a run starts in a moment."""
    folder = tmp_path_factory.mktemp("data")
    write_small_movielens(folder, n_users=150, n_items=600)
    return folder


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory, small_data: Path) -> Path:
    run = tmp_path_factory.mktemp("runs") / "tiny"
    run_experiment(tiny(data=str(small_data)), run, workers=1)
    return run


@pytest.fixture(scope="session")
def explored_run(tmp_path_factory: pytest.TempPathFactory, small_data: Path) -> Path:
    """A run whose only arm explores a lot, from few candidates."""
    run = tmp_path_factory.mktemp("runs") / "explored"
    settings = parse_settings(
        {
            "name": "explored",
            "users": 1_200,
            "world": {"arrival_days": 1},
            "days": 3,
            "slots": 4,
            "candidates": 12,
            "data": str(small_data),
            "arms": [{"name": "soft", "policy": {"kind": "softmax", "temperature": 0.3}}],
        }
    )
    run_experiment(settings, run, workers=1)
    return run


Measured = tuple[Path, list[DayReport]]
"""A run's folder and the reports of its days."""


@pytest.fixture(scope="session")
def measured_runs(
    tmp_path_factory: pytest.TempPathFactory, small_data: Path
) -> dict[int, Measured]:
    """A finished run and its reports, by number of workers."""
    done: dict[int, Measured] = {}
    for workers in (1, 2):
        folder = tmp_path_factory.mktemp("runs") / "measured"
        done[workers] = (folder, [])
        measured = measured_settings(data=str(small_data))
        run_experiment(measured, folder, workers=workers, report=done[workers][1].append)
    return done
