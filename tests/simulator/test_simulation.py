"""Determinism, common random numbers, the control, and what is refused."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from matinee_policies.arrays import BoolArray, IndexArray
from matinee_policies.errors import ContextError
from matinee_simulator.daily import close_day_reference, open_day_reference
from matinee_simulator.feedback import PageFeedback
from matinee_simulator.parameters import Parameters
from matinee_simulator.population import Population
from matinee_simulator.retention import churn_probability_reference, return_probability_reference
from matinee_simulator.retention import retention_weights as weights_of
from matinee_simulator.simulation import LAST_DAY, Simulation
from matinee_simulator.world import World

Build = Callable[..., Simulation]
Draw = Callable[..., IndexArray]

LIVELY = Parameters(arrival_days=2, click_base=-1.5, return_base=1.0, rating_share=0.5)
USERS = np.array([3, 1, 4, 15, 92, 65, 35, 89, 79, 32, 38, 46, 26, 43, 83, 27], dtype=np.int64)


def history(
    world: World,
    slates: IndexArray,
    *,
    users: np.ndarray = USERS,
    batch: int = 1_000,
    backwards: bool = False,
    days: int = 6,
    parameters: Parameters = LIVELY,
) -> list[tuple[int, ...] | bytes]:
    """Everything that can be observed, by day, page and user; user `u` sees slate `u + day`."""
    simulation = Simulation(world, users, seed=11, parameters=parameters)
    seen: dict[tuple[int, int, int], bytes] = {}
    for day in range(days):
        units = simulation.begin_day(day)
        for page in range(parameters.max_pages):
            staying = []
            blocks = [units[at : at + batch] for at in range(0, units.size, batch)]
            for block in reversed(blocks) if backwards else blocks:
                shown = slates[(users[block] + 13 * day + page) % len(slates)]
                feedback = simulation.step_page(block, shown, page)
                for row, unit in enumerate(block):
                    fields = (getattr(feedback, name)[row].tobytes() for name in FIELDS)
                    seen[day, page, int(users[unit])] = b"".join(fields)
                staying.append(block[~feedback.left])
            units = np.sort(np.concatenate([*staying, np.zeros(0, np.int32)])).astype(np.int32)
        simulation.end_day()
    return [item for key in sorted(seen) for item in (key, seen[key])]


FIELDS = tuple(field.name for field in dataclasses.fields(PageFeedback))


def test_same_seed_gives_the_same_bytes_in_any_batch(world: World, random_slates: Draw) -> None:
    slates = random_slates(97)
    whole = history(world, slates)
    assert len(whole) > 100
    assert history(world, slates) == whole
    assert history(world, slates, batch=1) == whole
    assert history(world, slates, batch=7, backwards=True) == whole


def test_users_do_not_depend_on_who_else_is_simulated(world: World, random_slates: Draw) -> None:
    slates = random_slates(97)
    whole = history(world, slates)
    few = history(world, slates, users=np.array([92, 4, 27]))
    kept = {92, 4, 27}
    pairs = zip(whole[::2], whole[1::2], strict=True)
    assert few == [part for key, seen in pairs if key[2] in kept for part in (key, seen)]


def test_another_seed_gives_other_users(world: World, random_slates: Draw) -> None:
    slates = random_slates(USERS.size)
    clicks = []
    for seed in (1, 2):
        simulation = Simulation(
            world, USERS, seed=seed, parameters=dataclasses.replace(LIVELY, arrival_days=1)
        )
        clicks.append(simulation.step_page(simulation.begin_day(0), slates, 0).clicks)
    assert not np.array_equal(clicks[0], clicks[1])


def visits(simulation: Simulation, days: int, slates: IndexArray) -> BoolArray:
    came = np.zeros((days, len(simulation)), dtype=np.bool_)
    for day in range(days):
        units = simulation.begin_day(day)
        came[day, units] = True
        for page in range(10):
            feedback = simulation.step_page(units, slates[units], page)
            units = units[~feedback.left]
        simulation.end_day()
    return came


def test_control_makes_retention_independent_of_what_is_shown(
    world: World, simulate: Build, random_slates: Draw
) -> None:
    random = random_slates(800)
    tempting = np.tile(np.argsort(-world.appeal)[:10].astype(np.int32), (800, 1))
    control = [
        visits(simulate(800, retention_sensitivity=0.0, arrival_days=5), 12, slates)
        for slates in (random, tempting)
    ]
    assert np.array_equal(control[0], control[1])
    exposed = [visits(simulate(800, arrival_days=5), 12, slates) for slates in (random, tempting)]
    assert not np.array_equal(exposed[0], exposed[1])
    # Arrival does not depend on anything that is shown.
    assert np.array_equal(exposed[0].argmax(axis=0), exposed[1].argmax(axis=0))


def test_two_arms_share_their_luck(simulate: Build, random_slates: Draw) -> None:
    left, right = simulate(500), simulate(500)
    slates, other = random_slates(500), random_slates(500, seed=1)
    units = left.begin_day(0)
    right.begin_day(0)
    mixed = np.where((np.arange(500) % 2 == 0)[:, None], slates, other)
    ours, theirs = left.step_page(units, slates, 0), right.step_page(units, mixed, 0)
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(ours, name)[::2], getattr(theirs, name)[::2])
    assert np.array_equal(left.oracle().examined(units), right.oracle().examined(units))
    assert not np.array_equal(ours.clicks, theirs.clicks)


def test_everyone_leaves_after_the_last_page(simulate: Build, random_slates: Draw) -> None:
    simulation = simulate(50, max_pages=3, leave_base=-50.0)
    units = simulation.begin_day(0)
    left = [
        simulation.step_page(units, random_slates(50, seed=page), page).left for page in range(3)
    ]
    assert not left[0].any()
    assert not left[1].any()
    assert left[2].all()
    with pytest.raises(ContextError, match="not have left"):
        simulation.step_page(units, random_slates(50), 3)


def test_empty_slots_and_short_slates(simulate: Build, random_slates: Draw) -> None:
    simulation = simulate(400, click_base=3.0, examination_persistence=1.0)
    units, slates = simulation.begin_day(0), random_slates(400)
    slates[:, 6:] = -1
    seen = simulation.step_page(units, slates, 0)
    assert seen.clicks[:, :6].mean() > 0.5
    assert not seen.clicks[:, 6:].any()
    assert np.isnan(seen.watch[:, 6:]).all()
    assert np.array_equal(np.isnan(seen.watch), ~seen.clicks)
    assert simulation.oracle().click_probability(units, slates)[:, 6:].max() == 0.0


def test_visits_and_churn_come_as_often_as_their_probability(
    world: World, random_slates: Draw
) -> None:
    n = 8_000
    parameters = Parameters(arrival_days=1)
    simulation = Simulation(world, np.arange(n), seed=2, parameters=parameters)
    population = Population.draw(world, np.arange(n), seed=2, parameters=parameters)
    weights, oracle, slates = weights_of(parameters), simulation.oracle(), random_slates(n)
    units = simulation.begin_day(0)
    simulation.step_page(units, slates, 0)
    simulation.end_day()
    p = churn_probability_reference(weights, oracle.goodwill(), np.ones(n))
    assert abs(oracle.churned().sum() - p.sum()) < 4 * np.sqrt(np.sum(p * (1 - p)))
    open_, last = ~oracle.churned(), np.zeros(n, dtype=int)
    for day in (1, 2, 3):
        p = return_probability_reference(
            weights, population.return_frailty, oracle.goodwill(), day - last - 1
        )[open_]
        units = simulation.begin_day(day)
        assert open_[units].all()
        assert abs(units.size - p.sum()) < 4 * np.sqrt(np.sum(p * (1 - p)))
        last[units] = day
        simulation.end_day()
        open_ = ~oracle.churned()


def test_days_equal_their_plain_twins(simulate: Build, random_slates: Draw) -> None:
    simulation = simulate(300, arrival_days=3)
    users, retention = simulation._users, simulation._retention
    for day in range(6):
        expected = open_day_reference(users, retention, simulation._keys.visit, day)
        units = simulation.begin_day(day)
        assert np.array_equal(units, np.flatnonzero(expected))
        simulation.step_page(units, random_slates(units.size, seed=day), 0)
        goodwill, churned = close_day_reference(users, retention, simulation._keys.churn, day)
        simulation.end_day()
        np.testing.assert_allclose(users.goodwill, goodwill, rtol=1e-12)
        assert np.array_equal(users.churned, churned)


def test_a_session_starts_from_nothing(simulate: Build, random_slates: Draw) -> None:
    simulation = simulate(200, click_base=1.0, return_base=50.0, churn_base=-50.0)
    oracle, slates = simulation.oracle(), random_slates(200)
    simulation.step_page(simulation.begin_day(0), slates, 0)
    simulation.end_day()
    assert np.mean(oracle.session_satisfaction() != 0) > 0.5
    units = simulation.begin_day(1)
    assert units.size == 200
    assert not oracle.session_satisfaction().any()
    before = oracle.goodwill()
    simulation.end_day()
    # A session without a page is one without a click.
    np.testing.assert_allclose(oracle.goodwill(), 0.7 * before + 0.3 * -0.5, rtol=1e-12)


def test_only_feedback_can_be_observed(simulate: Build) -> None:
    public = {name for name in dir(Simulation) if not name.startswith("_")}
    days = {"begin_day", "step_page", "end_day", "day", "available"}
    assert public == days | {"oracle", "arrays", "resume"}
    assert {name for name in vars(simulate(2)) if not name.startswith("_")} == set()
    assert set(FIELDS) == {"clicks", "watch", "ratings", "rating_delay", "left"}


def test_feedback_is_not_the_state(simulate: Build, random_slates: Draw) -> None:
    simulation = simulate(20)
    units = simulation.begin_day(0)
    feedback = simulation.step_page(units, random_slates(20), 0)
    owned = [array for array in simulation._users if isinstance(array, np.ndarray)]
    for name in FIELDS:
        assert not any(np.shares_memory(getattr(feedback, name), array) for array in owned)


def test_start_day_shifts_everything(world: World) -> None:
    parameters = Parameters(arrival_days=3)
    late = Simulation(world, np.arange(60), seed=1, parameters=parameters, start_day=10)
    early = Simulation(world, np.arange(60), seed=1, parameters=parameters)
    assert np.array_equal(late.begin_day(10), early.begin_day(0))
    assert late.day == 10


def wrong_pages(slates: IndexArray) -> list[tuple[str, Any, Any, int]]:
    units = np.arange(4, dtype=np.int32)
    twice = slates.copy()
    twice[2, 5] = twice[2, 1]
    return [
        ("units must be int32", units.astype(np.int64), slates, 0),
        ("slates must be int32", units, slates.astype(np.float32), 0),
        ("one row of at least one slot per unit", units, slates[:3], 0),
        ("one row of at least one slot per unit", units, slates[:, :0], 0),
        ("units must be within 0 and 29, got 30", units + np.int32(27), slates, 0),
        ("got -1", units - np.int32(1), slates, 0),
        ("units must be distinct, got 2 twice", np.array([0, 2, 2, 3], np.int32), slates, 0),
        ("page must be 0 for unit 0, got 1", units, slates, 1),
        ("items must be within 0", units, slates + np.int32(10_000), 0),
        ("or -1, got -2", units, np.where(slates == slates[1, 1], -2, slates), 0),
        ("items of a slate must be distinct", units, twice, 0),
    ]


def test_impossible_pages_are_refused_and_change_nothing(
    simulate: Build, random_slates: Draw
) -> None:
    simulation, untouched = simulate(30), simulate(30)
    simulation.begin_day(0)
    untouched.begin_day(0)
    for message, units, slates, page in wrong_pages(random_slates(4)):
        with pytest.raises(ContextError, match=message):
            simulation.step_page(units, slates.astype(slates.dtype), page)
    for ours, theirs in zip(simulation._users, untouched._users, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_days_must_follow_each_other(simulate: Build, random_slates: Draw) -> None:
    simulation = simulate(4)
    slates = random_slates(4)
    units = np.arange(4, dtype=np.int32)
    with pytest.raises(ContextError, match="day 0 must begin before a page"):
        simulation.step_page(units, slates, 0)
    with pytest.raises(ContextError, match="day 0 must begin before it ends"):
        simulation.end_day()
    with pytest.raises(ContextError, match=r"day must be 0 .* got 1"):
        simulation.begin_day(1)
    simulation.begin_day(0)
    with pytest.raises(ContextError, match="day 0 must end before"):
        simulation.begin_day(1)


def test_impossible_users_are_refused(world: World) -> None:
    for users, message in (
        (np.array([1, 1]), "distinct"),
        (np.array([-1]), ">= 0, got -1"),
        (np.array([1.0]), "int64"),
    ):
        with pytest.raises(ContextError, match=message):
            Simulation(world, users, seed=1, parameters=Parameters())
    with pytest.raises(ContextError, match="start_day"):
        Simulation(world, np.arange(2), seed=1, parameters=Parameters(), start_day=LAST_DAY + 1)


def test_nobody_is_a_valid_batch(world: World, simulate: Build, random_slates: Draw) -> None:
    simulation = simulate(5)
    simulation.begin_day(0)
    feedback = simulation.step_page(np.zeros(0, np.int32), random_slates(0), 0)
    assert feedback.clicks.shape == (0, 10)
    empty = Simulation(world, np.zeros(0, np.int64), seed=1, parameters=Parameters())
    assert empty.begin_day(0).size == 0
    empty.end_day()
