"""State built in blocks, in arrays of a caller, has the bits of state built at once."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from matinee_policies.arrays import AnyArray, IndexArray
from matinee_policies.row_storage import InMemory
from matinee_simulator import stored_state
from matinee_simulator.parameters import Parameters
from matinee_simulator.simulation import Simulation
from matinee_simulator.world import World

N = 60
CHANGES = Parameters(
    taste_drift=0.2,
    season_amplitude=0.5,
    shock_rate=0.5,
    click_freshness=0.5,
    arriving_share=0.1,
    item_arrivals=1.0,
    arrival_days=3,
)


class Kept(InMemory):
    """Keeps what it gave, to give it once more."""

    def __init__(self) -> None:
        self.arrays: dict[str, AnyArray] = {}
        self.releases = 0

    def full(self, name: str, shape: tuple[int, ...], fill: Any, dtype: npt.DTypeLike) -> AnyArray:
        if self.fresh:
            self.arrays[name] = super().full(name, shape, fill, dtype)
        return self.arrays[name]

    def release(self) -> None:
        self.releases += 1


class Watch:
    """Compares arrays with what they were."""

    def __init__(self, arrays: dict[str, AnyArray]) -> None:
        self.arrays = arrays
        self.before = {name: array.copy() for name, array in arrays.items()}
        self.heard: list[int] = []

    def hear(self, units: IndexArray) -> None:
        self.expect_same(np.arange(N))
        self.heard = units.tolist()

    def expect_same(self, rows: AnyArray) -> None:
        for name, array in self.arrays.items():
            np.testing.assert_array_equal(array[rows], self.before[name][rows])


def _simulation(world: World, storage: Kept | None = None) -> Simulation:
    return Simulation(world, np.arange(N), seed=3, parameters=CHANGES, storage=storage)


def _slates(simulation: Simulation, units: IndexArray, day: int) -> IndexArray:
    available = np.flatnonzero(simulation.available(day)).astype(np.int32)
    return np.stack([np.roll(available, 13 * int(unit))[:8] for unit in units])


def test_blocks_do_not_show(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, kept = _simulation(world), Kept()
    monkeypatch.setattr(stored_state, "FILL_BLOCK", 7)
    blocks = _simulation(world, kept)
    assert kept.releases >= N // 7
    for name, array in whole.arrays().items():
        np.testing.assert_array_equal(kept.arrays[name], array)
        assert kept.arrays[name].dtype == array.dtype
    for day in range(2):
        units = whole.begin_day(day)
        np.testing.assert_array_equal(blocks.begin_day(day), units)
        slates = _slates(whole, units, day)
        one, other = (s.step_page(units, slates, 0) for s in (whole, blocks))
        np.testing.assert_array_equal(one.clicks, other.clicks)
        np.testing.assert_array_equal(one.left, other.left)
        whole.end_day()
        blocks.end_day()


def test_a_storage_that_is_not_fresh_is_left_alone(world: World) -> None:
    kept = Kept()
    first = _simulation(world, kept)
    units = first.begin_day(0)
    first.step_page(units, _slates(first, units, 0), 0)
    first.end_day()
    before = {name: array.copy() for name, array in kept.arrays.items()}
    kept.fresh = False
    again = _simulation(world, kept)
    for name, array in before.items():
        np.testing.assert_array_equal(kept.arrays[name], array)
    again.resume(1)
    assert again.begin_day(1).size


def test_no_wide_row_changes_but_those_announced(world: World) -> None:
    """What lets a caller keep the rows that a day may change before any of them does."""
    kept = Kept()
    simulation = _simulation(world, kept)
    wide = [name for name, array in simulation.arrays().items() if array.ndim == 2]
    assert "taste" in wide
    for day in range(5):
        watch = Watch({name: kept.arrays[name] for name in wide})
        units = simulation.begin_day(day, announce=watch.hear)
        assert watch.heard == units.tolist()
        assert 0 < units.size < N
        simulation.step_page(units, _slates(simulation, units, day), 0)
        simulation.end_day()
        watch.expect_same(np.setdiff1d(np.arange(N), units))
