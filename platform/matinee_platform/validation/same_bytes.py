"""T2: what users do is a function of seed and slates, byte for byte, in any batch."""

import hashlib

import numpy as np

from matinee_platform.validation.claims import ACCEPTANCE
from matinee_policies.arrays import IndexArray, Int64Array
from matinee_policies.philox import stream_key
from matinee_simulator.draws import uniforms
from matinee_simulator.parameters import Parameters
from matinee_simulator.simulation import Simulation
from matinee_simulator.stylised_facts import Figure, Finding, Line, Plot
from matinee_simulator.world import World

_USERS, _DAYS, _SLOTS = 60, 12, 10
_ALONE = 12


def same_bytes(world: World, parameters: Parameters, *, seed: int) -> Finding:
    """The finding of T2: digests of everything observable, user by user."""
    everyone = np.arange(_USERS)
    first = user_digests(world, parameters, everyone, seed=seed)
    again = user_digests(world, parameters, everyone, seed=seed)
    other = user_digests(world, parameters, everyone, seed=seed + 1)
    split = user_digests(world, parameters, everyone, seed=seed, batch=7)
    alone = {
        user: user_digests(world, parameters, np.array([user]), seed=seed)[user]
        for user in range(_ALONE)
    }
    unlike = {
        "same seed again": sum(first[user] != again[user] for user in first),
        "pages in batches of 7": sum(first[user] != split[user] for user in first),
        "each user alone": sum(first[user] != alone[user] for user in alone),
    }
    figures = [
        Figure(name=f"{name}: users unlike", value=float(count), low=0.0, high=0.0, digits=0)
        for name, count in unlike.items()
    ]
    changed = sum(first[user] != other[user] for user in first) / _USERS
    figures.append(
        Figure(name="another seed: share of users unlike", value=changed, low=0.9, digits=2)
    )
    return ACCEPTANCE["T2"].finding(
        figures,
        plot=Plot(
            x_title="how the run was repeated",
            categories=(*unlike, "another seed"),
            y_title="share of users with other bytes",
            lines=(
                Line(
                    name="simulated",
                    role="simulated",
                    x=np.arange(1.0, 5.0),
                    y=np.array(
                        [
                            unlike["same seed again"] / _USERS,
                            unlike["pages in batches of 7"] / _USERS,
                            unlike["each user alone"] / _ALONE,
                            changed,
                        ]
                    ),
                    dots=True,
                ),
                Line(
                    name="claimed",
                    role="literature",
                    x=np.array([1.0, 2.0, 3.0]),
                    y=np.zeros(3),
                ),
            ),
        ),
    )


def user_digests(
    world: World,
    parameters: Parameters,
    users: Int64Array,
    *,
    seed: int,
    batch: int = 1_000_000,
) -> dict[int, str]:
    """A digest of the visits, pages and feedback of each user.

    Args:
        world: the truth.
        parameters: of the users.
        users: their numbers, `int64 [n]`.
        seed: of the run; slates do not depend on it.
        batch: most users per call.
    """
    simulation = Simulation(world, users, seed=seed, parameters=parameters)
    digests = {int(user): hashlib.blake2b(digest_size=16) for user in users}
    for day in range(_DAYS):
        units = simulation.begin_day(day)
        shown = np.flatnonzero(simulation.available(day)).astype(np.int32)
        for page in range(parameters.max_pages):
            left = []
            for start in range(0, units.size, batch):
                part = units[start : start + batch]
                slates = _slates(shown, users[part], day=day, page=page)
                feedback = simulation.step_page(part, slates, page)
                left.append(feedback.left)
                for row, unit in enumerate(part.tolist()):
                    digest = digests[int(users[unit])]
                    digest.update(f"{day},{page}".encode())
                    for array in (feedback.clicks, feedback.watch, feedback.ratings):
                        digest.update(array[row].tobytes())
                    digest.update(feedback.rating_delay[row].tobytes())
                    digest.update(feedback.left[row].tobytes())
            if not units.size:
                break
            units = units[~np.concatenate(left)]
        simulation.end_day()
    return {user: digest.hexdigest() for user, digest in digests.items()}


def _slates(shown: IndexArray, users: Int64Array, *, day: int, page: int) -> IndexArray:
    """Slates that are a function of user, day and page: a random start, then every third item."""
    key = stream_key(0, "validation", f"slates {day} {page}")
    start = (uniforms(key, users.astype(np.uint64), 1) * shown.size).astype(np.int64)
    return np.asarray(shown[(start + 3 * np.arange(_SLOTS)) % shown.size])
