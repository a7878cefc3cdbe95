"""A run that ends in the middle of a day, at the worst of moments, goes on to the same result.

State of users is changed in place, so what an unfinished day did to it must be taken back.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from matinee_platform.offline import arm_run
from matinee_platform.offline.mapped_rows import MappedRows
from matinee_platform.offline.rollback import Rollback
from matinee_platform.offline.run import run_experiment
from matinee_platform.offline.user_rows import UserRows
from matinee_platform.page_files import PageFiles
from matinee_platform.settings import ExperimentSettings, parse_settings
from matinee_platform.unit_state import UnitStates
from matinee_simulator.simulation import Simulation

KINDS = ("decisions", "rewards", "features", "regret", "snapshots")


class StopError(Exception):
    """Ends a run from within."""


@pytest.fixture(scope="module", params=[0, 250])
def settings(small_data: Path, request: pytest.FixtureRequest) -> ExperimentSettings:
    """With a checkpoint every day, or after every other one."""
    return parse_settings(
        {
            "name": "within",
            "seed": 6,
            "users": 120,
            "days": 5,
            "slots": 5,
            "candidates": 30,
            "data": str(small_data),
            "state_memory_mb": 0,
            "checkpoint_every": request.param,
            "world": {"arrival_days": 2, "taste_drift": 0.1, "rating_share": 0.5},
            "reward": {"return_visit": {"weight": 0.1, "window_days": 2}},
            "arms": [{"name": "lin_ucb", "policy": {"kind": "lin_ucb", "diversity": 0.05}}],
        }
    )


@pytest.fixture(scope="module")
def whole(settings: ExperimentSettings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    run_experiment(settings, run, workers=1)
    return run


def _contents(run: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(run)): path.read_bytes()
        for kind in KINDS
        for path in sorted((run / kind).rglob("*"))
        if path.is_file()
    }


def _ends(owner: object, name: str, *, at: int, after: bool) -> Callable[..., Any]:
    """The function `name` of `owner` that ends the run, before or after its work, the `at`-th time
    it is called for a run of the settings; calls of the small run that compiles come first."""
    work = getattr(owner, name)
    calls = 0

    def called(*args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at and not after:
            raise StopError
        result = work(*args, **options)
        if calls == at and after:
            raise StopError
        return result

    return called


COMPILING = 1
"""Days of the small run that compiles."""

MOMENTS = {
    "rows of the day are being written down": (Rollback, "keep", COMPILING + 3, False),
    "tastes have drifted": (Simulation, "begin_day", COMPILING + 3, True),
    "first pages are served": (Simulation, "step_page", 25, True),
    "vectors are new": (UnitStates, "refresh_vectors", 2 + COMPILING + 4, True),
    "pages are closed, nothing is learned": (PageFiles, "close_day", COMPILING + 4, True),
    "rows are digested": (UserRows, "digest", COMPILING + 2, True),
    "the checkpoint is there": (arm_run, "save_checkpoint", COMPILING + 2, True),
    "state is being built": (MappedRows, "finish", 2, False),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_that_ends_within_a_day_goes_on_to_the_same_result(
    settings: ExperimentSettings,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
) -> None:
    owner, name, at, after = MOMENTS[moment]
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, _ends(owner, name, at=at, after=after))
        with pytest.raises(StopError):
            run_experiment(settings, run, workers=1)
    assert not (run / "results.json").exists()
    run_experiment(settings, run, workers=1, resume=True)
    assert _contents(run) == _contents(whole)
    assert not (run / "state").exists()
