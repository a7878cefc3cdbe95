from pathlib import Path

import numpy as np
import pytest
from pyarrow import feather

from matinee_platform.decision_log import DecisionLog, read_parts
from matinee_platform.log_rows import DecisionRows, RewardRows, pack_state, unpack_state
from matinee_platform.log_schema import matrix
from matinee_policies.errors import DataError
from matinee_policies.features import UnitStateBatch

S, K, L = 6, 5, 3


def _decisions(n: int, seed: int = 1) -> DecisionRows:
    rng = np.random.default_rng(seed)
    return DecisionRows(
        decision_id=rng.integers(0, 2**63, n, dtype=np.uint64),
        unit=rng.integers(0, 2**63, n, dtype=np.uint64),
        bucket=rng.integers(0, 10_000, n).astype(np.int16),
        day=np.zeros(n, dtype=np.int16),
        page=rng.integers(0, 5, n).astype(np.int16),
        decided_at=np.full(n, 1_767_571_200_000, dtype=np.int64),
        snapshot=np.full(n, 3, dtype=np.int32),
        feature_version=np.ones(n, dtype=np.int16),
        catalogue_version=np.full(n, 7, dtype=np.uint64),
        served_by=np.zeros(n, dtype=np.int8),
        last_watched=rng.integers(-1, 9, n).astype(np.int32),
        unit_state=rng.random((n, S)).astype(np.float32),
        candidates=rng.integers(0, 99, (n, K)).astype(np.int32),
        scores=rng.random((n, K)).astype(np.float32),
        slate=rng.integers(0, 99, (n, L)).astype(np.int32),
        propensities=rng.random((n, L)),
    )


def _slice(rows: DecisionRows, start: int, stop: int) -> DecisionRows:
    names = DecisionRows.__dataclass_fields__
    return DecisionRows(**{name: getattr(rows, name)[start:stop] for name in names})


def _write(run: Path, rows: DecisionRows, cuts: list[int]) -> DecisionLog:
    log = DecisionLog(run, "arm")
    log.open_day(0)
    for start, stop in zip([0, *cuts], [*cuts, rows.unit.size], strict=True):
        log.append_decisions(_slice(rows, start, stop))
    log.close_day()
    return log


def test_rows_come_back_as_written(tmp_path: Path) -> None:
    rows = _decisions(9_000)
    _write(tmp_path, rows, [10, 5_000])
    tables = list(read_parts(tmp_path, "decisions", "arm"))
    assert sum(table.num_rows for table in tables) == 9_000
    for name in ("unit_state", "candidates", "scores", "slate", "propensities"):
        back = np.concatenate([matrix(table[name]) for table in tables])
        np.testing.assert_array_equal(back, getattr(rows, name))
        assert back.dtype == getattr(rows, name).dtype
    for name in ("decision_id", "unit", "bucket", "page", "snapshot", "last_watched"):
        back = np.concatenate([table[name].to_numpy() for table in tables])
        np.testing.assert_array_equal(back, getattr(rows, name))
    assert tables[0]["served_by"][0].as_py() == "policy"
    assert tables[0]["decided_at"][0].as_py().isoformat() == "2026-01-05T00:00:00+00:00"


def test_files_do_not_show_the_batches_of_rows(tmp_path: Path) -> None:
    rows = _decisions(5_000)
    parts = []
    for folder, cuts in [("a", []), ("b", [4_000, 4_900]), ("c", list(range(1, 4_097, 40)))]:
        _write(tmp_path / folder, rows, cuts)
        part = tmp_path / folder / "decisions" / "arm" / "part-00000.arrow"
        parts.append(feather.read_table(part).to_pydict())
    assert parts[0] == parts[1] == parts[2]


def test_content_hash_ignores_batches_and_sees_every_value(tmp_path: Path) -> None:
    rows = _decisions(300)
    whole = _write(tmp_path / "a", rows, []).content_hash
    assert _write(tmp_path / "b", rows, [1, 8, 299]).content_hash == whole
    for name in DecisionRows.__dataclass_fields__:
        changed = {key: getattr(rows, key).copy() for key in DecisionRows.__dataclass_fields__}
        flat = changed[name].reshape(-1)
        flat[-1] = flat[-1] + 1
        assert _write(tmp_path / name, DecisionRows(**changed), []).content_hash != whole


def test_content_hash_covers_rewards_and_the_order_of_days(tmp_path: Path) -> None:
    rewards = RewardRows(
        decision_id=np.array([1], dtype=np.uint64),
        component=np.array([0], dtype=np.int8),
        slot=np.array([2], dtype=np.int16),
        value=np.array([1.0], dtype=np.float32),
        day=np.array([0], dtype=np.int16),
    )
    hashes = []
    for folder, days in [("a", [1, 0]), ("b", [0, 1]), ("c", [0, 0])]:
        log = DecisionLog(tmp_path / folder, "arm")
        for day, count in enumerate(days):
            log.open_day(day)
            for _ in range(count):
                log.append_rewards(rewards)
            log.close_day()
        hashes.append(log.content_hash)
    assert len(set(hashes)) == 3


def test_a_part_has_its_name_only_once_complete(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path, "arm")
    log.open_day(0)
    log.append_decisions(_decisions(5_000))
    folder = tmp_path / "decisions" / "arm"
    assert [path.suffix for path in folder.iterdir()] == [".partial"]
    log.close_day()
    assert [path.name for path in folder.iterdir()] == ["part-00000.arrow"]


def test_days_without_rows_leave_no_file(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path, "arm")
    log.open_day(0)
    log.close_day()
    assert not list(tmp_path.rglob("*.arrow"))


def test_a_damaged_part_is_refused_by_name(tmp_path: Path) -> None:
    _write(tmp_path, _decisions(10), [])
    part = tmp_path / "decisions" / "arm" / "part-00000.arrow"
    part.write_bytes(part.read_bytes()[:-20])
    with pytest.raises(DataError, match="part-00000"):
        list(read_parts(tmp_path, "decisions", "arm"))


def test_unit_state_survives_packing() -> None:
    rng = np.random.default_rng(3)
    state = UnitStateBatch(
        genre_history=rng.random((4, 7)).astype(np.float32),
        genre_exposure=rng.random((4, 7)).astype(np.float32),
        last_watched=np.array([1, -1, 3, 4], dtype=np.int32),
        activity=rng.random(4).astype(np.float32),
        days_since_visit=np.array([-1, 0, 2, 9], dtype=np.float32),
    )
    back = unpack_state(pack_state(state), state.last_watched)
    for name in UnitStateBatch.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(back, name), getattr(state, name))
