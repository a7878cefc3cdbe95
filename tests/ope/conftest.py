"""A run whose arms explore, shared within a test session: the log that policies are valued on."""

from pathlib import Path

import pytest

from matinee_platform.offline.run import run_experiment
from matinee_platform.settings import parse_settings


@pytest.fixture(scope="session")
def explored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of arms that explore, one that does not, and one of other candidates."""
    run = tmp_path_factory.mktemp("runs") / "explored"
    arms = [
        {"name": "soft", "policy": {"kind": "softmax", "temperature": 0.3}},
        {"name": "softer", "policy": {"kind": "softmax", "temperature": 0.5}},
        {"name": "order", "policy": {"kind": "score_order"}},
        {"name": "learner", "policy": {"kind": "epsilon_greedy", "epsilon": 0.99}},
        {"name": "popular", "candidates": "popularity", "policy": {"kind": "uniform"}},
        {"name": "truth", "policy": {"kind": "click_oracle"}},
    ]
    settings = parse_settings(
        {
            "name": "explored",
            "users": 900,
            "world": {"arrival_days": 1},
            "days": 4,
            "slots": 3,
            "candidates": 10,
            "control": "soft",
            "reward": {"return_visit": {"weight": 0.1, "window_days": 1}},
            "arms": arms,
        }
    )
    run_experiment(settings, run, workers=1)
    return run
