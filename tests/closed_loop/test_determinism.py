"""Same settings and seed, same log and snapshots: whatever the batch size or the processes."""

import json
from pathlib import Path
from typing import Any

import pytest

from matinee_platform.offline.run import run_experiment
from matinee_platform.settings import ExperimentSettings, parse_settings


def _settings(run: Path, **changes: Any) -> ExperimentSettings:
    values = json.loads((run / "settings.json").read_text(encoding="utf-8"))
    return parse_settings({**values, **changes})


def _hashes(results: dict[str, Any]) -> dict[str, tuple[str, list[str]]]:
    return {
        arm: (run["log_hash"], list(run["snapshots"])) for arm, run in results["arm_runs"].items()
    }


@pytest.fixture(scope="module")
def expected(tiny_run: Path) -> dict[str, tuple[str, list[str]]]:
    return _hashes(json.loads((tiny_run / "results.json").read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("batch_size", "workers", "state_memory_mb"),
    [(64, 1, 512), (1, 2, 0), (1_000, 1, 512)],
)
def test_batch_size_processes_and_memory_do_not_show(
    tiny_run: Path,
    tmp_path: Path,
    expected: dict[str, tuple[str, list[str]]],
    batch_size: int,
    workers: int,
    state_memory_mb: int,
) -> None:
    settings = _settings(tiny_run, batch_size=batch_size, state_memory_mb=state_memory_mb)
    results = run_experiment(settings, tmp_path / "again", workers=workers)
    assert _hashes(results) == expected


def test_another_seed_gives_another_log(
    tiny_run: Path, tmp_path: Path, expected: dict[str, tuple[str, list[str]]]
) -> None:
    results = run_experiment(_settings(tiny_run, seed=4, days=2), tmp_path / "other", workers=1)
    assert not {log for log, _ in _hashes(results).values()} & {log for log, _ in expected.values()}


def test_learning_arms_leave_a_snapshot_per_barrier(
    expected: dict[str, tuple[str, list[str]]],
) -> None:
    assert len(set(expected["lin_ucb"][1])) == 11
    assert len(expected["mf_order"][1]) == 1
