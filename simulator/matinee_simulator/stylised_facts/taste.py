"""Fact 24: how many directions taste has."""

from collections.abc import Sequence

import numpy as np

from matinee_policies.arrays import FloatArray
from matinee_policies.philox import stream_key
from matinee_simulator.draws import normals
from matinee_simulator.parameters import Parameters
from matinee_simulator.population import Population
from matinee_simulator.stylised_facts.fact import fact
from matinee_simulator.stylised_facts.finding import (
    Finding,
    Line,
    Plot,
    told,
    within,
)
from matinee_simulator.stylised_facts.literature import JESTER_FIRST_SHARE, JESTER_NEXT_SHARES
from matinee_simulator.world import World

ITEMS = 100
"""Jokes of Jester, all rated by all of the users that its spectrum is of."""

_FACTOR = 1.5
_NEXT = 9


def taste_spectrum(spectra: Sequence[tuple[FloatArray, FloatArray]]) -> Finding:
    """Fact 24.

    Args:
        spectra: of independent populations, shares of variance of complete ratings and of
            relevance alone, falling, `float64 [r]` each; see `spectrum_of_population`.
    """
    rated = np.array([ratings for ratings, _ in spectra])
    relevance = np.array([x for _, x in spectra])
    low, high = JESTER_NEXT_SHARES
    shown = np.arange(1, 17)[: rated.shape[1]]
    return fact(24).finding(
        [
            within(
                "first share",
                rated[:, 0],
                JESTER_FIRST_SHARE / _FACTOR,
                JESTER_FIRST_SHARE * _FACTOR,
                source="Jester",
            ),
            within("second share", rated[:, 1], high=high * _FACTOR, source="Jester"),
            within("tenth share", rated[:, _NEXT], low=low / _FACTOR, source="Jester"),
            told("first share of relevance alone", relevance[:, 0]),
            told("second share of relevance alone", relevance[:, 1]),
        ],
        plot=Plot(
            x_title="factor",
            y_title="share of the variance",
            y_log=True,
            lines=(
                Line(
                    name="simulated ratings",
                    role="simulated",
                    x=shown.astype(float),
                    y=rated.mean(axis=0)[: shown.size],
                ),
                Line(
                    name="relevance x alone",
                    role="other",
                    x=shown.astype(float),
                    y=relevance.mean(axis=0)[: shown.size],
                ),
                Line(
                    name="Jester",
                    role="literature",
                    x=np.array([1.0, 5.5]),
                    y=np.array([JESTER_FIRST_SHARE, np.mean(JESTER_NEXT_SHARES)]),
                    low=np.array([JESTER_FIRST_SHARE / _FACTOR, low / _FACTOR]),
                    high=np.array([JESTER_FIRST_SHARE * _FACTOR, high * _FACTOR]),
                    dots=True,
                ),
            ),
        ),
    )


def spectrum_of_population(
    world: World, parameters: Parameters, *, users: int, seed: int
) -> tuple[FloatArray, FloatArray]:
    """Spectra of the ratings that users would give the most rated items, every one of them.

    Args:
        world: the truth.
        parameters: of the users.
        users: number of users.
        seed: of the population.

    Returns:
        Shares of variance, falling: of the ratings (bias and noise included, not yet cut into
        stars) and of relevance x alone, `float64 [r]` each.
    """
    population = Population.draw(world, np.arange(users), seed=seed, parameters=parameters)
    items = np.argsort(-world.popularity, kind="stable")[:ITEMS]
    factors = world.item_factors[items].astype(np.float64)
    relevance = population.taste.astype(np.float64) @ factors.T + world.quality[items]
    key = stream_key(seed, "validation", "spectrum")
    noise = normals(key, np.arange(users, dtype=np.uint64), items.size)
    ratings = world.relevance_sd * relevance + population.rating_bias[:, None]
    return variance_shares(ratings + world.rating_noise * noise), variance_shares(relevance)


def variance_shares(values: FloatArray) -> FloatArray:
    """Share of each principal component in the variance around the items' means, falling.

    Args:
        values: users by items, `float64 [n, m]`.

    Example:
        >>> variance_shares(np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]])).tolist()
        [1.0, 0.0]
    """
    centred = values - values.mean(axis=0)
    found = np.maximum(np.linalg.eigvalsh(centred.T @ centred)[::-1], 0.0)
    return np.asarray(found / found.sum())
