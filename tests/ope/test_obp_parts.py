"""A folder of parts in obp's form is the log that they are parts of."""

from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matinee_platform.ope.action_evaluation import evaluate_actions
from matinee_platform.ope.inputs.action_log import ActionBatch, ActionLog
from matinee_platform.ope.inputs.obp_arrays import obp_log
from matinee_platform.ope.inputs.obp_export import write_obp
from matinee_platform.ope.inputs.obp_parts import obp_file_log
from matinee_platform.ope.inputs.open_actions import log_form, open_actions
from matinee_platform.ope.inputs.open_log import open_logs
from matinee_policies.errors import ConfigError, ContextError, DataError

N, K = 3_000, 4
CUTS = (0, 1_100, 1_101, N)


def feedback(*, named: bool = True) -> dict[str, Any]:
    """Single actions of a uniform log; units and times as far as they are named."""
    rng = np.random.default_rng(5)
    made: dict[str, Any] = {
        "n_actions": K,
        "action": rng.integers(0, K, N),
        "reward": (rng.random(N) < 0.4).astype(np.float64),
        "pscore": np.full(N, 1 / K),
        "position": rng.integers(0, 3, N),
        "context": rng.normal(size=(N, 2)),
    }
    # A unit's rows lie in all parts.
    units = {"unit": rng.integers(0, 200, N), "time": np.sort(rng.integers(0, 10_000, N))}
    return made | (units if named else {})


def written(
    folder: Path, whole: dict[str, Any], *, change: Callable[[int], dict[str, Any]] | None = None
) -> Path:
    folder.mkdir()
    for part, (start, stop) in enumerate(pairwise(CUTS)):
        arrays = {
            name: value if np.ndim(value) == 0 else value[start:stop]
            for name, value in whole.items()
        }
        arrays |= {} if change is None else change(part)
        np.savez(folder / f"part-{part:05d}.npz", allow_pickle=False, **arrays)
    return folder


def arrays_of(log: ActionLog) -> dict[str, np.ndarray[Any, Any]]:
    parts = [batch.arrays() | {"first": np.arange(batch.first, batch.first + len(batch))}
             for batch in log.stream()]  # fmt: skip
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def assert_same(found: ActionLog, wanted: ActionLog) -> None:
    for one in fields(ActionLog)[1:]:
        assert getattr(found, one.name) == getattr(wanted, one.name), one.name
    left, right = arrays_of(found), arrays_of(wanted)
    assert left.keys() == right.keys()
    for name, values in right.items():
        assert left[name].tobytes() == values.tobytes(), name


@pytest.mark.parametrize("named", [True, False])
def test_parts_are_the_whole(tmp_path: Path, named: bool) -> None:
    whole = feedback(named=named)
    folder = written(tmp_path / "log", whole)
    assert log_form(folder) == "obp"
    log = open_actions(folder)
    assert_same(log, obp_log(whole))
    table = np.zeros((N, K, 3))
    table[:, 1], table[:, 3] = 0.75, 0.25
    np.save(tmp_path / "law.npy", table)
    found = evaluate_actions(log, tmp_path / "law.npy", estimators=["dr", "snips"])
    wanted = evaluate_actions(obp_log(whole), tmp_path / "law.npy", estimators=["dr", "snips"])
    for one, other in zip(found.values, wanted.values, strict=True):
        assert one.value == pytest.approx(other.value, rel=1e-12)
        assert one.standard_error == pytest.approx(other.standard_error, rel=1e-9)


def test_probabilities_are_estimated_of_the_whole(tmp_path: Path) -> None:
    whole = {name: value for name, value in feedback().items() if name != "pscore"}
    folder = written(tmp_path / "log", whole)
    log = open_actions(folder, propensities="empirical")
    assert_same(log, obp_log(whole, propensities="empirical"))


def test_pages_that_were_written_in_parts_come_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    batch = ActionBatch(
        first=0,
        unit=rng.integers(0, 50, 90).astype(np.uint64),
        time=np.arange(90),
        actions=np.argsort(rng.random((90, K)), axis=1)[:, :2].astype(np.int64),
        rewards=rng.random((90, 2)),
        logged=rng.uniform(0.1, 1.0, (90, 2)),
        positions=np.tile(np.arange(2), (90, 1)),
    )
    log = ActionLog(
        stream=lambda: iter([batch]),
        rows=90,
        items=("a", "b", "c", "d"),
        positions=2,
        slots=2,
        distinct=True,
        has_units=True,
        has_times=True,
        rewards=(float(batch.rewards.min()), float(batch.rewards.max())),
    )
    (tmp_path / "arm").mkdir()
    for part, (start, stop) in enumerate(((0, 40), (40, 90))):
        rows = batch.rows(start, stop)
        write_obp(
            tmp_path / "arm" / f"part-{part:05d}.npz",
            replace(log, stream=partial(iter, (rows,)), rows=stop - start),
        )
    assert_same(obp_file_log(tmp_path / "arm"), log)
    hint = r"it holds folders of logs, name one, such as .*arm$"
    with pytest.raises(ConfigError, match=hint), open_logs(tmp_path):
        pass


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"pscore": np.full(1, 1.5)}, r"part-00001.npz: pscore, row 1: must be in \(0, 1\]"),
        ({"time": np.zeros(1, dtype=np.int64)}, "part-00001.npz: time must not fall from part"),
        ({"items": np.array(list("wxyz"))}, "part-00001.npz: items must be those of the other"),
        ({"context": np.zeros((1, 3))}, "part-00001.npz: contexts must be that of part-00000.npz"),
        ({"distinct": True}, "part-00001.npz: distinct must be that of part-00000.npz"),
    ],
)
def test_parts_that_do_not_fit_are_named(
    tmp_path: Path, changed: dict[str, Any], words: str
) -> None:
    folder = written(tmp_path / "log", feedback(), change=lambda part: changed if part == 1 else {})
    with pytest.raises((ContextError, DataError), match=words):
        open_actions(folder)


def test_a_folder_without_parts_is_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"folder must hold files with a name in \.npz"):
        open_actions(tmp_path, form="obp")
