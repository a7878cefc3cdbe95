"""What users of the default parameters do in a given world: it must not change unnoticed."""

import hashlib

import numpy as np

from matinee_simulator.parameters import Parameters
from matinee_simulator.simulation import Simulation
from matinee_simulator.world import World

PAGES = 12_669
DIGEST = "40315c499be34ab8fcb0"


def test_default_users_do_what_they_always_did(world: World) -> None:
    simulation = Simulation(world, np.arange(3_000), seed=7, parameters=Parameters())
    digest, pages = hashlib.sha256(), 0
    for day in range(10):
        units, page = simulation.begin_day(day), 0
        while units.size:
            start = (units * 13 + day * 31 + page * 5) % world.n_items
            slates = ((start[:, None] + 7 * np.arange(10)) % world.n_items).astype(np.int32)
            slates[units % 11 == 0, 4] = -1
            seen = simulation.step_page(units, slates, page)
            # Clicks, departures and the levels of ratings: other mathematical libraries may move
            # the last bit of a watched fraction, but not a decision.
            for part in (seen.clicks, seen.left, seen.ratings):
                digest.update(np.nan_to_num(part).astype(np.float32).tobytes())
            pages += units.size
            units, page = units[~seen.left], page + 1
        simulation.end_day()
    assert pages == PAGES
    assert digest.hexdigest().startswith(DIGEST)
