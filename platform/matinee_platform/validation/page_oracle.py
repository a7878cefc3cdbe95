"""T6: random swaps of the oracle's page, in each click model."""

import dataclasses

import numpy as np

from matinee_platform.validation.claims import ACCEPTANCE
from matinee_policies.arrays import FloatArray, IndexArray
from matinee_policies.philox import stream_key
from matinee_simulator.oracle import Oracle
from matinee_simulator.parameters import CLICK_MODELS, Parameters
from matinee_simulator.simulation import Simulation
from matinee_simulator.stylised_facts import Figure, Finding, Line, Plot
from matinee_simulator.world import World

_CANDIDATES, _SLOTS = 100, 10
_ROUNDING = 1e-9
_BEFORE = 3


def oracle_beats_swaps(
    world: World, parameters: Parameters, *, pages: int, swaps: int, seed: int
) -> Finding:
    """The finding of T6.

    Args:
        world: the truth.
        parameters: of the users; its click model and redundancy are replaced.
        pages: users whose page is tried.
        swaps: of each page, half of two ranks, half of a rank and a candidate left out.
        seed: of users, candidates and swaps.
    """
    figures: list[Figure] = []
    lines: list[Line] = []
    for model in CLICK_MODELS:
        plain = dataclasses.replace(parameters, click_model=model, click_redundancy=0.0)
        worth, swapped, bound = _trial(world, plain, pages=pages, swaps=swaps, seed=seed)
        gains = swapped - worth[:, None]
        figures.append(
            Figure(
                name=f"{model}: swaps that gain clicks, no redundancy",
                value=float((gains > _ROUNDING).sum()),
                low=0.0,
                high=0.0,
                digits=0,
            )
        )
        figures.append(
            Figure(
                name=f"{model}: gap between page and bound, no redundancy",
                value=float(np.abs(bound - worth).max()),
                low=0.0,
                high=_ROUNDING,
                digits=9,
            )
        )
        lines.append(_gains_line(model, gains, len(lines)))
        redundant = dataclasses.replace(parameters, click_model=model)
        if redundant.click_redundancy > 0:
            worth, swapped, bound = _trial(world, redundant, pages=pages, swaps=swaps, seed=seed)
            figures.append(
                Figure(
                    name=f"{model}: swaps above the bound, with redundancy",
                    value=float((swapped > bound[:, None] + _ROUNDING).sum()),
                    low=0.0,
                    high=0.0,
                    digits=0,
                )
            )
            figures.append(
                Figure(
                    name=f"{model}: share of swaps that gain on the greedy page, with redundancy",
                    value=float((swapped > worth[:, None] + _ROUNDING).mean()),
                    gated=False,
                )
            )
    return ACCEPTANCE["T6"].finding(
        figures,
        plot=Plot(
            x_title="change of the expected clicks of a page by a swap",
            y_title="share of swaps below",
            lines=(
                *lines,
                Line(
                    name="no gain",
                    role="literature",
                    x=np.zeros(2),
                    y=np.array([0.0, 1.0]),
                ),
            ),
        ),
    )


def _trial(
    world: World, parameters: Parameters, *, pages: int, swaps: int, seed: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Expected clicks of the oracle's pages `[n]`, of their swaps `[n, swaps]`, and the bounds."""
    rng = np.random.default_rng(int(stream_key(seed, "validation", "swaps")))
    oracle, units, candidates = _lived(world, parameters, users=pages, seed=seed, rng=rng)
    best = oracle.best_page(units, candidates, slots=_SLOTS)
    worth = oracle.expected_clicks(units, best.slates)
    swapped = np.empty((units.size, swaps))
    for row in range(units.size):
        slates = swapped_slates(best.slates[row], candidates[row], swaps=swaps, rng=rng)
        repeated = np.repeat(units[row : row + 1], swaps)
        swapped[row] = oracle.expected_clicks(repeated, slates)
    return worth, swapped, best.bound


def _lived(
    world: World, parameters: Parameters, *, users: int, seed: int, rng: np.random.Generator
) -> tuple[Oracle, IndexArray, IndexArray]:
    """Users with some past, and candidates for each of those who visit last."""
    together = dataclasses.replace(parameters, arrival_days=1)
    simulation = Simulation(world, np.arange(4 * users), seed=seed, parameters=together)
    units = simulation.begin_day(0)
    for day in range(_BEFORE):
        browsing = units
        for page in range(min(2, parameters.max_pages)):
            slates = _distinct(rng, browsing.size, world.n_items, _SLOTS)
            browsing = browsing[~simulation.step_page(browsing, slates, page).left]
        simulation.end_day()
        units = simulation.begin_day(day + 1)
    chosen = np.arange(users, dtype=np.int32)
    count = min(_CANDIDATES, world.n_items)
    return simulation.oracle(), chosen, _distinct(rng, users, world.n_items, count)


def swapped_slates(
    slate: IndexArray, candidates: IndexArray, *, swaps: int, rng: np.random.Generator
) -> IndexArray:
    """Slates that differ from one by a swap, half within it, half with a candidate left out.

    Args:
        slate: distinct items, `int32 [L]`, L >= 2.
        candidates: among which the slate was chosen, `int32 [K]`.
        swaps: number of slates.
        rng: draws the swaps.

    Returns:
        `int32 [swaps, L]`.
    """
    slates = np.tile(slate, (swaps, 1))
    rest = np.setdiff1d(candidates, slate)
    for row in range(swaps):
        first, second = rng.choice(slate.size, 2, replace=False)
        if row % 2 == 0 or not rest.size:
            slates[row, [first, second]] = slates[row, [second, first]]
        else:
            slates[row, first] = rng.choice(rest)
    return slates


def _distinct(rng: np.random.Generator, n: int, items: int, count: int) -> IndexArray:
    return np.argsort(rng.random((n, items)), axis=1)[:, :count].astype(np.int32)


def _gains_line(model: str, gains: FloatArray, place: int) -> Line:
    shares = np.linspace(0.0, 1.0, 61)
    return Line(
        name=model,
        role=("simulated", "data", "other")[place],
        x=np.quantile(gains, shares),
        y=shares,
    )
