"""A run that the disk has no room for is refused with figures; what is reckoned is what is used."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from matinee_platform.offline import disk_space
from matinee_platform.offline.arm_process import run_arm
from matinee_platform.offline.disk_space import check_disk, disk_need
from matinee_platform.offline.prepare import Prepared, prepare
from matinee_platform.settings import ExperimentSettings, parse_settings
from matinee_policies.errors import ConfigError

MB = 2**20


class Usage(NamedTuple):
    free: int


@pytest.fixture(autouse=True)
def _synthetic_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MATINEE_DATA", raising=False)


def _settings(users: int, days: int, **changes: Any) -> ExperimentSettings:
    arms = [
        {"name": "a", "weight": 0.5, "policy": {"kind": "score_order"}},
        {"name": "b", "weight": 0.5, "candidates": "popularity", "policy": {"kind": "uniform"}},
    ]
    return parse_settings({"users": users, "days": days, "arms": arms, **changes})


@pytest.fixture(scope="module")
def shared() -> Prepared:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MATINEE_DATA", raising=False)
        return prepare(_settings(500, 2))


Free = Callable[[int], None]


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Free:
    return lambda size: monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(size))


def test_a_run_that_does_not_fit_is_refused_with_figures(
    shared: Prepared, tmp_path: Path, free: Free
) -> None:
    free(2_000 * MB)
    with pytest.raises(ConfigError, match=r"needs about \d+\.\d GB on disk .* 2\.0 GB are free"):
        check_disk(_settings(1_000_000, 28), shared, tmp_path / "run")
    check_disk(_settings(10_000, 28), shared, tmp_path / "run")
    free(10**12)
    check_disk(_settings(1_000_000, 28), shared, tmp_path / "run")


def test_what_an_older_run_holds_counts_as_free(
    shared: Prepared, tmp_path: Path, free: Free
) -> None:
    settings = _settings(1_000_000, 2)
    free(int(disk_need(settings, shared).total) - MB // 2)
    with pytest.raises(ConfigError):
        check_disk(settings, shared, tmp_path / "run")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "old").write_bytes(bytes(MB))
    check_disk(settings, shared, tmp_path / "run")


def test_more_users_days_and_arms_need_more(shared: Prepared) -> None:
    small = disk_need(_settings(1_000, 10), shared).total
    assert disk_need(_settings(2_000, 10), shared).total == pytest.approx(2 * small)
    assert disk_need(_settings(1_000, 20), shared).total > small
    assert disk_need(_settings(1_000, 10, design="paired"), shared).total > 1.9 * small


def test_the_state_is_as_large_as_reckoned(shared: Prepared, tmp_path: Path) -> None:
    """Arrays begin at whole pages, so the file is a little larger than its rows."""
    settings = _settings(500, 1)
    shared.save(tmp_path)
    run_arm(settings, tmp_path, 0, lambda day: None)
    index = json.loads((tmp_path / "state" / "a" / "users.json").read_text(encoding="utf-8"))
    expected = disk_space._bytes_per_user(settings, shared, source="mf") * 250
    found = (tmp_path / "state" / "a" / "users.bin").stat().st_size
    arrays = len(index["arrays"])
    assert abs(found - expected) < 0.15 * expected + 4_096 * arrays
