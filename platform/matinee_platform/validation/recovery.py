"""T10: fit the click equation to an exploration log, and compare with the truth.

Pages are uniformly random, so the propensity of every slot is known: 1 / (M - k + 1) for the item
at rank k of M. The model of a click at rank k is gamma^(k-1) sigmoid(z . beta), with relevance,
appeal, satiation, redundancy and earlier impressions in z, as only the simulator knows them.
Weighted by 1 / propensity the likelihood is that of the pages of a uniform choice; the weights are
normalised by rank, so that here they are 1 unless the catalogue moves. Clicks of one user depend on
each other through the depth of a page, so the errors are those of the sandwich with users as
clusters (Liang and Zeger 1986).
"""

import dataclasses
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from matinee_platform.validation.claims import ACCEPTANCE
from matinee_policies.arrays import AnyArray, BoolArray, FloatArray, IndexArray
from matinee_policies.philox import stream_key
from matinee_simulator.oracle import Oracle
from matinee_simulator.parameters import Parameters
from matinee_simulator.simulation import Simulation
from matinee_simulator.stylised_facts import Figure, Finding, Line, Plot, Verdict
from matinee_simulator.world import World

_SLOTS = 10
_ERRORS = 3.0
_NAMES = (
    "gamma",
    "a0",
    "a1 relevance",
    "a2 appeal",
    "-a3 satiation",
    "-a4 redundancy",
    "-a6 fatigue",
)
_GATED = ("gamma", "a1 relevance", "a2 appeal")


@dataclass(frozen=True, slots=True, eq=False)
class ExplorationLog:
    """Slots of random pages.

    Attributes:
        user: `int32 [n]`.
        rank: from 0, `int64 [n]`.
        clicked: `bool [n]`.
        propensity: of the item at its rank, given those above, `float64 [n]`.
        features: 1 and the quantities of the click equation, `float64 [n, 6]`.
    """

    user: IndexArray
    rank: AnyArray
    clicked: BoolArray
    propensity: FloatArray
    features: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """Estimates of gamma and beta with their standard errors, `float64 [7]` each."""

    values: FloatArray
    errors: FloatArray


def parameters_are_recovered(
    world: World, parameters: Parameters, *, users: int, days: int, seed: int
) -> Finding:
    """The finding of T10.

    Args:
        world: the truth.
        parameters: of the users.
        users: of the log.
        days: of the log.
        seed: of users and pages.
    """
    if parameters.click_model != "position":
        return ACCEPTANCE["T10"].without(
            Verdict.NOT_APPLICABLE,
            f"The fit is of position-based clicks, not of the {parameters.click_model} model.",
        )
    log = explore(world, parameters, users=users, days=days, seed=seed)
    fit = fit_position_model(log)
    truth = np.array(
        [
            parameters.examination_persistence,
            parameters.click_base,
            parameters.click_relevance,
            parameters.click_appeal,
            -parameters.click_satiation,
            -parameters.click_redundancy,
            -parameters.click_fatigue,
        ]
    )
    figures = [
        Figure(
            name=name,
            value=float(value),
            standard_error=float(error),
            reference=float(true),
            source="truth",
            low=float(true - _ERRORS * error) if name in _GATED else -np.inf,
            high=float(true + _ERRORS * error) if name in _GATED else np.inf,
            gated=name in _GATED,
        )
        for name, value, error, true in zip(_NAMES, fit.values, fit.errors, truth, strict=True)
    ]
    figures.append(
        Figure(name="slots of the log", value=float(log.clicked.size), gated=False, digits=0)
    )
    figures.append(
        Figure(name="clicks of the log", value=float(log.clicked.sum()), gated=False, digits=0)
    )
    places = np.arange(1.0, len(_NAMES) + 1)
    half = _ERRORS * fit.errors
    return ACCEPTANCE["T10"].finding(
        figures,
        plot=Plot(
            x_title="parameter",
            categories=_NAMES,
            y_title="estimate",
            lines=(
                Line(name="truth", role="literature", x=places, y=truth, dots=True),
                Line(
                    name="refitted",
                    role="simulated",
                    x=places + 0.12,
                    y=fit.values,
                    low=fit.values - half,
                    high=fit.values + half,
                    dots=True,
                ),
            ),
        ),
    )


def explore(
    world: World, parameters: Parameters, *, users: int, days: int, seed: int
) -> ExplorationLog:
    """Show uniformly random pages, and note every slot; arguments as `parameters_are_recovered`."""
    together = dataclasses.replace(parameters, arrival_days=1)
    simulation = Simulation(world, np.arange(users), seed=seed, parameters=together)
    oracle = simulation.oracle()
    rng = np.random.default_rng(int(stream_key(seed, "validation", "exploration")))
    parts = []
    for day in range(days):
        units = simulation.begin_day(day)
        items = np.flatnonzero(simulation.available(day)).astype(np.int32)
        for page in range(parameters.max_pages):
            if not units.size:
                break
            slates = _random_slates(items, units.size, rng)
            features = _features(world, parameters, simulation, oracle, units, slates, day)
            feedback = simulation.step_page(units, slates, page)
            parts.append((np.repeat(units, _SLOTS), feedback.clicks.ravel(), features, items.size))
            units = units[~feedback.left]
        simulation.end_day()
    ranks = [np.tile(np.arange(_SLOTS), user.size // _SLOTS) for user, _, _, _ in parts]
    return ExplorationLog(
        user=np.concatenate([user for user, _, _, _ in parts]),
        rank=np.concatenate(ranks),
        clicked=np.concatenate([clicked for _, clicked, _, _ in parts]),
        propensity=np.concatenate(
            [1.0 / (n - rank) for rank, (_, _, _, n) in zip(ranks, parts, strict=True)]
        ),
        features=np.concatenate([features for _, _, features, _ in parts]),
    )


def fit_position_model(log: ExplorationLog) -> Fit:
    """Maximum likelihood, weighted by inverse propensity, with errors by user.

    Args:
        log: at least one click.
    """
    weights = 1.0 / log.propensity
    for rank in range(int(log.rank.max()) + 1):
        here = log.rank == rank
        weights[here] /= weights[here].mean()
    start = np.zeros(log.features.shape[1] + 1)
    start[0], start[1] = 1.0, -3.0
    found = minimize(_cost, start, (log, weights), "BFGS", True, options={"gtol": 1e-9})
    theta = np.asarray(found.x, dtype=np.float64)
    values = theta.copy()
    values[0] = _gamma(theta[0])
    errors = _errors(theta, log, weights)
    errors[0] *= values[0] * (1.0 - values[0])
    return Fit(values, errors)


def _gamma(logit: float) -> float:
    return float(1.0 / (1.0 + np.exp(-logit)))


def _cost(theta: FloatArray, log: ExplorationLog, weights: FloatArray) -> tuple[float, FloatArray]:
    chance, slopes = _chances(theta, log)
    likely = np.where(log.clicked, np.log(chance), np.log1p(-chance))
    scores = np.where(log.clicked, 1.0 / chance, -1.0 / (1.0 - chance))
    total = weights.sum()
    return (
        -float(weights @ likely) / total,
        -np.asarray(slopes.T @ (weights * scores)) / total,
    )


def _chances(theta: FloatArray, log: ExplorationLog) -> tuple[FloatArray, FloatArray]:
    """P(click) of each slot `[n]`, and its derivative by every parameter `[n, 7]`."""
    gamma = _gamma(theta[0])
    attractive = 1.0 / (1.0 + np.exp(-(log.features @ theta[1:])))
    chance = np.clip(gamma**log.rank * attractive, 1e-12, 1.0 - 1e-12)
    by_gamma = log.rank * chance * (1.0 - gamma)
    by_beta = (chance * (1.0 - attractive))[:, None] * log.features
    return chance, np.column_stack([by_gamma, by_beta])


def _errors(theta: FloatArray, log: ExplorationLog, weights: FloatArray) -> FloatArray:
    """Standard errors by the sandwich, users as clusters, `float64 [7]`."""
    chance, slopes = _chances(theta, log)
    scale = weights / (chance * (1.0 - chance))
    information = slopes.T @ (scale[:, None] * slopes)
    rows = (scale * (log.clicked - chance))[:, None] * slopes
    order = np.argsort(log.user, kind="stable")
    firsts = np.flatnonzero(np.diff(log.user[order], prepend=-1))
    by_user = np.add.reduceat(rows[order], firsts, axis=0)
    bread = np.linalg.inv(information)
    return np.asarray(np.sqrt(np.diag(bread @ (by_user.T @ by_user) @ bread)))


def _features(
    world: World,
    parameters: Parameters,
    simulation: Simulation,
    oracle: Oracle,
    units: IndexArray,
    slates: IndexArray,
    day: int,
) -> FloatArray:
    """The quantities of the click equation for every slot, `float64 [n L, 6]`."""
    satiation = np.einsum("ng,nlg->nl", oracle.satiation(units), world.topics[slates])
    vectors = world.similarity[slates]
    alike = np.maximum(np.einsum("nkm,njm->nkj", vectors, vectors), 0.0)
    above = np.tril(np.ones((_SLOTS, _SLOTS)), -1)
    redundancy = (alike * above).sum(axis=2) / np.maximum(np.arange(_SLOTS), 1)
    state = simulation.arrays()
    recent = state["shown_day"][units].astype(np.int64) > day - parameters.fatigue_days
    rings = np.where(recent, state["shown_item"][units], -1)
    shown = (rings[:, None, :] == slates[:, :, None]).sum(axis=2)
    return np.stack(
        [
            np.ones(slates.shape),
            oracle.relevance(units, slates),
            world.appeal[slates].astype(np.float64),
            satiation,
            redundancy,
            np.minimum(shown, parameters.fatigue_cap),
        ],
        axis=2,
    ).reshape(-1, 6)


def _random_slates(items: IndexArray, n: int, rng: np.random.Generator) -> IndexArray:
    """Uniform slates without repetition, `int32 [n, L]`."""
    places = rng.integers(0, items.size, (n, _SLOTS))
    while True:
        ordered = np.sort(places, axis=1)
        again = (np.diff(ordered, axis=1) == 0).any(axis=1)
        if not again.any():
            return np.asarray(items[places])
        # Drawn anew as a whole, so that the slates that remain are uniform.
        places[again] = rng.integers(0, items.size, (int(again.sum()), _SLOTS))
