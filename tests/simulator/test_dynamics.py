"""A world in which everything moves: determinism, common random numbers, checkpoints."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from matinee_policies.arrays import IndexArray, Int64Array
from matinee_simulator.parameters import Parameters
from matinee_simulator.population import Population
from matinee_simulator.simulation import Simulation
from matinee_simulator.world import World

MOVING = Parameters(
    arrival_days=3,
    click_base=-1.5,
    return_base=1.0,
    taste_drift=0.2,
    item_arrivals=5.0,
    arriving_share=0.4,
    item_life_days=50,
    click_freshness=1.0,
    freshness_half_life=10.0,
    shock_rate=0.5,
    shock_size=1.0,
    shock_days=4,
    season_amplitude=0.5,
    frailty_correlation=-0.4,
)
USERS = np.array([3, 1, 4, 15, 92, 65, 35, 89, 79, 32, 38, 46, 26, 43, 83, 27], dtype=np.int64)
DAYS = 12


def slates_for(simulation: Simulation, users: Int64Array, day: int, page: int) -> IndexArray:
    """Distinct items that are there, another page for each user, day and page."""
    there = np.flatnonzero(simulation.available(day))
    start = users * 31 + day * 17 + page * 7
    places = (start[:, None] + 11 * np.arange(6)) % there.size
    return np.asarray(there[places], dtype=np.int32)


def live(
    simulation: Simulation, users: Int64Array, days: range, *, batch: int = 1_000
) -> dict[tuple[int, int, int], bytes]:
    """All feedback by day, page and user."""
    seen: dict[tuple[int, int, int], bytes] = {}
    for day in days:
        units, page = simulation.begin_day(day), 0
        while units.size:
            staying = []
            for block in np.split(units, range(batch, units.size, batch)):
                slates = slates_for(simulation, users[block], day, page)
                feedback = simulation.step_page(block, slates, page)
                for row, unit in enumerate(block):
                    parts = (getattr(feedback, name)[row].tobytes() for name in FIELDS)
                    seen[day, page, int(users[unit])] = b"".join(parts)
                staying.append(block[~feedback.left])
            units, page = np.concatenate(staying), page + 1
        simulation.end_day()
    return seen


FIELDS = ("clicks", "watch", "ratings", "rating_delay", "left")


def build(world: World, users: Int64Array = USERS, **changes: Any) -> Simulation:
    parameters = dataclasses.replace(MOVING, **changes)
    return Simulation(world, users, seed=11, parameters=parameters)


@pytest.fixture(scope="module")
def whole(world: World) -> dict[tuple[int, int, int], bytes]:
    return live(build(world), USERS, range(DAYS))


def test_the_same_bytes_in_any_batch(
    world: World, whole: dict[tuple[int, int, int], bytes]
) -> None:
    assert len(whole) > 100
    assert live(build(world), USERS, range(DAYS), batch=1) == whole
    few = np.array([92, 4, 27], dtype=np.int64)
    lived = live(build(world, few), few, range(DAYS))
    assert lived == {key: seen for key, seen in whole.items() if key[2] in few}


def test_a_checkpoint_resumes_to_the_same_bytes(
    world: World, whole: dict[tuple[int, int, int], bytes]
) -> None:
    first = build(world)
    live(first, USERS, range(5))
    kept = {name: array.copy() for name, array in first.arrays().items()}
    resumed = build(world)
    for name, array in resumed.arrays().items():
        array[:] = kept[name]
    resumed.resume(5)
    units = np.arange(USERS.size, dtype=np.int32)
    slates = slates_for(resumed, USERS, 5, 0)
    np.testing.assert_array_equal(
        resumed.oracle().click_probability(units, slates),
        first.oracle().click_probability(units, slates),
    )
    rest = live(resumed, USERS, range(5, DAYS))
    assert rest == {key: seen for key, seen in whole.items() if key[0] >= 5}


def test_days_can_be_taken_back(world: World, whole: dict[tuple[int, int, int], bytes]) -> None:
    """A state that has lived on, tastes included, returns to its checkpoint."""
    simulation = build(world)
    live(simulation, USERS, range(5))
    kept = {name: array.copy() for name, array in simulation.arrays().items()}
    live(simulation, USERS, range(5, 9))
    for name, array in simulation.arrays().items():
        array[:] = kept[name]
    simulation.resume(5)
    rest = live(simulation, USERS, range(5, DAYS))
    assert rest == {key: seen for key, seen in whole.items() if key[0] >= 5}


def test_two_arms_meet_the_same_world(world: World) -> None:
    """Whatever is shown, tastes, shocks and catalogue are the same, and so is the luck."""
    left, right = build(world), build(world)
    units = np.arange(USERS.size, dtype=np.int32)
    for day in range(8):
        for simulation, shift in ((left, 0), (right, 5)):
            visitors = simulation.begin_day(day)
            slates = slates_for(simulation, USERS[visitors] + shift, day, 0)
            simulation.step_page(visitors, slates, 0)
            simulation.end_day()
    slates = slates_for(left, USERS, 8, 0)
    np.testing.assert_array_equal(left.available(8), right.available(8))
    np.testing.assert_array_equal(left._truth.boost, right._truth.boost)
    ours, theirs = (one.oracle().relevance(units, slates) for one in (left, right))
    np.testing.assert_array_equal(ours, theirs)


def test_each_part_matters(world: World, whole: dict[tuple[int, int, int], bytes]) -> None:
    off: dict[str, Any] = {
        "taste_drift": 0.0,
        "click_freshness": 0.0,
        "shock_rate": 0.0,
        "season_amplitude": 0.0,
        "frailty_correlation": 0.0,
    }
    for name, value in off.items():
        assert live(build(world, **{name: value}), USERS, range(DAYS)) != whole, name


def test_frailties_are_correlated_as_asked(world: World) -> None:
    n = 40_000

    def draw(rho: float) -> Population:
        parameters = Parameters(frailty_correlation=rho)
        return Population.draw(world, np.arange(n), seed=3, parameters=parameters)

    independent = draw(0.0)
    for rho in (-1.0, -0.4, 0.0, 0.7, 1.0):
        drawn = draw(rho)
        np.testing.assert_array_equal(drawn.leave_frailty, independent.leave_frailty)
        np.testing.assert_array_equal(drawn.taste, independent.taste)
        seen = np.corrcoef(drawn.leave_frailty, drawn.return_frailty)[0, 1]
        assert abs(seen - rho) < 4 * (1 - rho**2) / np.sqrt(n) + 1e-6
        # The law of phi_u alone is what it was.
        assert abs(drawn.return_frailty.std() / Parameters().return_frailty_sd - 1) < 4 / np.sqrt(
            2 * n
        )


def test_arrivals_over_the_whole_run_are_a_poisson_process_given_their_number(
    world: World,
) -> None:
    n, days = 30_000, 30
    population = Population.draw(
        world, np.arange(n), seed=3, parameters=Parameters(arrival_days=days)
    )
    counts = np.bincount(population.arrival_day, minlength=days)
    # Multinomial with equal shares: the law of Poisson counts given their sum.
    chi2 = np.sum((counts - n / days) ** 2) / (n / days)
    assert abs(chi2 - (days - 1)) < 4 * np.sqrt(2 * (days - 1))
