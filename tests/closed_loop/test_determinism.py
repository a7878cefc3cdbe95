"""Same settings and seed, same log and snapshots: whatever the batch size or the processes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from matinee_platform.offline.testing_arms import Identities, played
from matinee_platform.settings import ExperimentSettings, parse_settings


@pytest.fixture(scope="module")
def settings(tiny_run: Path) -> Callable[..., ExperimentSettings]:
    """Settings of the tiny run, but for so few users that batches of one are soon through."""
    values = json.loads((tiny_run / "settings.json").read_text(encoding="utf-8"))

    def changed(**changes: Any) -> ExperimentSettings:
        return parse_settings({**values, "users": 60, "days": 6, "batch_size": 5, **changes})

    return changed


@pytest.fixture(scope="module")
def expected(
    settings: Callable[..., ExperimentSettings],
    tmp_path_factory: pytest.TempPathFactory,
) -> Identities:
    return played(settings(), tmp_path_factory.mktemp("runs") / "expected")


@pytest.mark.parametrize(
    ("batch_size", "workers", "state_memory_mb"), [(1, 2, 0), (1_000, 1, 512), (5, 1, 512)]
)
def test_batch_size_processes_and_memory_do_not_show(
    settings: Callable[..., ExperimentSettings],
    tmp_path: Path,
    expected: Identities,
    batch_size: int,
    workers: int,
    state_memory_mb: int,
) -> None:
    again = settings(batch_size=batch_size, state_memory_mb=state_memory_mb)
    assert played(again, tmp_path / "again", workers=workers) == expected


def test_another_seed_gives_another_log(
    settings: Callable[..., ExperimentSettings],
    tmp_path: Path,
    expected: Identities,
) -> None:
    other = played(settings(seed=4), tmp_path / "other")
    assert not {log for log, _ in other.values()} & {log for log, _ in expected.values()}


def test_learning_arms_leave_a_snapshot_per_barrier(expected: Identities) -> None:
    assert len(set(expected["lin_ucb"][1])) == 7
    assert len(expected["mf_order"][1]) == 1
