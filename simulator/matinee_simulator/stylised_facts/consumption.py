"""Let users live under a simple personal ranking, and note how varied what they click is.

The ranking is the platform's order of matrix factorization as it stands before the run; each page
goes on where the last one ended, so nothing is shown twice until the ranking is through.
"""

import numpy as np

from matinee_policies.arrays import FloatArray, IndexArray
from matinee_simulator.parameters import Parameters
from matinee_simulator.rollout import Sight
from matinee_simulator.simulation import Simulation
from matinee_simulator.stylised_facts.personalisation import Consumption
from matinee_simulator.world import World

EARLY_DAYS, LATER_DAYS = 14, 28
"""Days in which consumption is noted, and days after them in which visits are."""

_RANKED = 500


def consume(
    world: World, sight: Sight, parameters: Parameters, *, users: int, seed: int, slots: int = 10
) -> Consumption:
    """What fact 22 speaks of.

    Args:
        world: the truth.
        sight: what the platform knows.
        parameters: of the users.
        users: number of users.
        seed: of the run.
        slots: of a page.
    """
    rankings = _rankings(world, sight, parameters, users=users, seed=seed, slots=slots)
    simulation = Simulation(world, np.arange(users), seed=seed, parameters=parameters)
    pages = rankings.shape[1] // slots
    place = np.zeros(users, dtype=np.int64)
    arrival = np.full(users, -1, dtype=np.int64)
    sessions, later, clicks = np.zeros((3, users))
    # With vectors e of length 1 or 0 the sum over pairs is (|sum e|^2 - sum |e|^2) / 2.
    embeddings = world.similarity.astype(np.float64)
    lengths = np.sum(embeddings**2, axis=1)
    sums, squares = np.zeros((users, embeddings.shape[1])), np.zeros(users)
    for day in range(parameters.arrival_days + EARLY_DAYS + LATER_DAYS):
        units = simulation.begin_day(day)
        arrival[units] = np.where(arrival[units] < 0, day, arrival[units])
        early = day - arrival < EARLY_DAYS
        late = ~early & (day - arrival < EARLY_DAYS + LATER_DAYS)
        sessions[units] += early[units]
        later[units] += late[units]
        for page in range(parameters.max_pages):
            if not units.size:
                break
            columns = (place[units] % pages)[:, None] * slots + np.arange(slots)
            slates = np.take_along_axis(rankings[units], columns, axis=1)
            feedback = simulation.step_page(units, slates, page)
            place[units] += 1
            counted = feedback.clicks & early[units][:, None]
            rows, ranks = np.nonzero(counted)
            items = slates[rows, ranks]
            np.add.at(sums, units[rows], embeddings[items])
            np.add.at(squares, units[rows], lengths[items])
            clicks[units] += counted.sum(axis=1)
            units = units[~feedback.left]
        simulation.end_day()
    kept = clicks >= 2
    pairs = clicks[kept] * (clicks[kept] - 1)
    alike = (np.sum(sums[kept] ** 2, axis=1) - squares[kept]) / pairs
    return Consumption(
        diversity=np.asarray(1.0 - alike, dtype=np.float64),
        clicks=clicks[kept],
        sessions=sessions[kept],
        later=later[kept],
    )


def _rankings(
    world: World, sight: Sight, parameters: Parameters, *, users: int, seed: int, slots: int
) -> IndexArray:
    """The best items of each user by the platform's order, `int32 [n, R]`, best first."""
    audience = sight.meet(world, users=users, seed=seed, parameters=parameters)
    vectors = audience.vectors.astype(np.float64)
    model = sight.taste
    scores: FloatArray = vectors @ model.item_factors.astype(np.float64).T + model.item_offset
    ranked = min(_RANKED, world.n_items) // slots * slots
    best = np.argpartition(-scores, ranked - 1, axis=1)[:, :ranked]
    order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
    return np.take_along_axis(best, order, axis=1).astype(np.int32)
