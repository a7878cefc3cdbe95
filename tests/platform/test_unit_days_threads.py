"""What is read of a log does not depend on how many threads read it, or which is done first."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from made_up_log import ARMS, write_log
from matinee_platform.analysis import side_by_side
from matinee_platform.analysis.unit_days import run_log
from matinee_platform.analysis.unit_days.declared import DeclaredArms
from matinee_platform.analysis.unit_days.first_states import FirstStates
from matinee_platform.analysis.unit_days.records import UnitDays


def read(log: Path) -> UnitDays:
    return run_log.read_folder_unit_days(log, arms=DeclaredArms(ARMS, (0.5, 0.5)), days=5)


def test_a_table_does_not_depend_on_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_log(tmp_path, users=600, days=5)
    alone = read(tmp_path)
    monkeypatch.setattr(side_by_side, "MANY_UNITS", 0)
    for number in (1, 2, 6):
        monkeypatch.setattr(side_by_side, "THREADS", number)
        monkeypatch.setattr(run_log, "_AHEAD", number)
        found = read(tmp_path)
        for one in fields(UnitDays):
            np.testing.assert_equal(getattr(found, one.name), getattr(alone, one.name), one.name)


def test_first_states_may_come_in_any_order() -> None:
    draws = np.random.default_rng(5)
    state = draws.random((9, 8), dtype=np.float32)
    state[::2, :3] = 0
    state[::4, -1] = -1
    units = draws.permutation(12)[:9]
    told = []
    for order in ([0, 1, 2], [2, 0, 1]):
        states = FirstStates()
        for some in order:
            rows = slice(3 * some, 3 * some + 3)
            states.add(units[rows], state[rows])
        told.append(states.told(np.arange(12)))
    np.testing.assert_equal(told[0], told[1])
    assert told[0][1]["taste"][units[1]] == state[1, :3].argmax()
