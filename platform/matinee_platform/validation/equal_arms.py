"""T3 and T4: arms that should not differ do not."""

import dataclasses
import math
from collections.abc import Iterator

import numpy as np

from matinee_platform.validation.claims import ACCEPTANCE
from matinee_platform.validation.evidence import Evidence
from matinee_policies.arrays import FloatArray
from matinee_simulator.rollout import (
    click_order,
    mmr_order,
    popularity_order,
    random_order,
    relevance_order,
)
from matinee_simulator.stylised_facts import Figure, Finding, Line, Plot

SEEDS, AT_LEAST = 100, 89
"""A/A tests, and how many must be within two standard errors. Of 95.4 expected, fewer than 89 have
a probability of .002."""

_METRICS = ("sessions", "clicks", "pages")


def halves_agree(evidence: Evidence) -> Finding:
    """The finding of T3: users of even and of odd number, in 100 seeds."""
    scores = np.array(list(_scores(evidence)))
    inside = (np.abs(scores) < 2.0).sum(axis=0)
    figures = [
        Figure(
            name=f"seeds within 2 standard errors, {name} per user",
            value=float(count),
            reference=SEEDS * math.erf(math.sqrt(2.0)),
            source="normal law",
            low=float(AT_LEAST),
            digits=0,
        )
        for name, count in zip(_METRICS, inside, strict=True)
    ]
    ordered = np.sort(scores[:, 0])
    shares = (np.arange(SEEDS) + 0.5) / SEEDS
    levels = np.linspace(-3.0, 3.0, 61)
    law = np.array([0.5 * (1.0 + math.erf(level / math.sqrt(2.0))) for level in levels])
    return ACCEPTANCE["T3"].finding(
        figures,
        plot=Plot(
            x_title="difference of sessions per user, standard errors",
            y_title="share of seeds below",
            lines=(
                Line(name="simulated", role="simulated", x=ordered, y=shares),
                Line(name="normal law", role="literature", x=levels, y=law),
            ),
        ),
    )


def _scores(evidence: Evidence) -> Iterator[tuple[float, ...]]:
    size = evidence.size
    for seed in range(10_000, 10_000 + SEEDS):
        played = evidence.play(
            relevance_order(), seed, users=size.equal_users, days=size.equal_days
        )
        values = (played.user_sessions, played.user_clicks, played.user_pages)
        yield tuple(_score(value.astype(np.float64)) for value in values)


def _score(values: FloatArray) -> float:
    """Difference of the means of even and odd users, in its standard errors."""
    even, odd = values[::2], values[1::2]
    error = math.sqrt(even.var(ddof=1) / even.size + odd.var(ddof=1) / odd.size)
    return float(even.mean() - odd.mean()) / error if error > 0 else 0.0


def control_is_flat(evidence: Evidence) -> Finding:
    """The finding of T4: the same users under five rankings, satisfaction without effect."""
    parameters = dataclasses.replace(evidence.parameters, retention_sensitivity=0.0)
    rankers = (
        relevance_order(),
        popularity_order(),
        random_order(),
        mmr_order(0.5),
        click_order(),
    )
    seed = evidence.request.seed
    runs = [evidence.played(ranker, seed, parameters=parameters) for ranker in rankers]
    base = runs[0]
    figures = [
        Figure(
            name=f"visits unlike those under {base.ranker}: {played.ranker}",
            value=float((played.visits != base.visits).sum()),
            low=0.0,
            high=0.0,
            digits=0,
        )
        for played in runs[1:]
    ]
    rates = [played.ctr() for played in runs]
    values = np.array([rate.value for rate in rates])
    figures.append(
        Figure(
            name="largest over smallest CTR",
            value=float(values.max() / values.min()),
            low=1.1,
            digits=2,
        )
    )
    figures.append(
        Figure(
            name="sessions per user, all policies",
            value=base.sessions_per_user().value,
            standard_error=base.sessions_per_user().error,
            gated=False,
        )
    )
    places = np.arange(1.0, len(runs) + 1)
    sessions = np.array([played.sessions_per_user().value for played in runs])
    return ACCEPTANCE["T4"].finding(
        figures,
        plot=Plot(
            x_title="policy",
            categories=tuple(played.ranker for played in runs),
            y_title="relative to the first",
            lines=(
                Line(
                    name="sessions per user",
                    role="simulated",
                    x=places,
                    y=sessions / sessions[0],
                    dots=True,
                ),
                Line(name="CTR", role="other", x=places, y=values / values[0], dots=True),
                Line(
                    name="claimed for sessions",
                    role="literature",
                    x=places[[0, -1]],
                    y=np.ones(2),
                ),
            ),
        ),
    )
