"""A small world on the synthetic catalogue, and slates to show in it."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from matinee_policies.arrays import IndexArray
from matinee_policies.datasets.dataset import Dataset
from matinee_policies.datasets.synthetic import synthetic_dataset
from matinee_simulator.parameters import Parameters
from matinee_simulator.simulation import Simulation
from matinee_simulator.world import World

PLAIN = Parameters(click_redundancy=0.0, arrival_days=1, watch_bias_sd=0.0, leave_frailty_sd=0.0)
"""Users without redundancy and frailties, all of whom come on day 0."""


@pytest.fixture(scope="session")
def dataset() -> Dataset:
    return synthetic_dataset(seed=0, n_users=300, n_items=1_500)


@pytest.fixture(scope="session")
def world(dataset: Dataset) -> World:
    return World.from_interactions(dataset.catalogue, dataset.interactions, seed=1)


@pytest.fixture(scope="session")
def simulate(world: World) -> Callable[..., Simulation]:
    """Build a simulation of users 0 to `n - 1`; keywords change `PLAIN`."""

    def build(n: int, *, seed: int = 7, **changes: Any) -> Simulation:
        parameters = dataclasses.replace(PLAIN, **changes)
        return Simulation(world, np.arange(n), seed=seed, parameters=parameters)

    return build


@pytest.fixture(scope="session")
def random_slates(world: World) -> Callable[..., IndexArray]:
    """Draw `n` slates of distinct items."""

    def draw(n: int, slots: int = 10, *, seed: int = 0) -> IndexArray:
        start = np.random.default_rng(seed).integers(0, world.n_items, (n, 1))
        # Steps of 7 visit distinct items as long as 7 * slots < M.
        return ((start + 7 * np.arange(slots)) % world.n_items).astype(np.int32)

    return draw
