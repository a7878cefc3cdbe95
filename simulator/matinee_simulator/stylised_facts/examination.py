"""Fact 17: clicks fall with rank, and the examination behind them can be recovered."""

from collections.abc import Sequence

import numpy as np

from matinee_policies.arrays import FloatArray, Int64Array
from matinee_simulator.stylised_facts.fact import fact
from matinee_simulator.stylised_facts.finding import (
    Finding,
    Line,
    Plot,
    Verdict,
    mean_and_error,
    near,
    told,
    within,
)
from matinee_simulator.stylised_facts.literature import PERSISTENCE_RANGE

_FIRST_RANK = 2


def position_curve(
    impressions: Sequence[Int64Array],
    clicks: Sequence[Int64Array],
    *,
    persistence: float,
    click_model: str,
) -> Finding:
    """Fact 17, from pages in random order of independent populations.

    Args:
        impressions: items shown by slot, `int64 [L]` each.
        clicks: clicks by slot, `int64 [L]` each.
        persistence: the true gamma.
        click_model: of the users.
    """
    if click_model != "position":
        return fact(17).without(
            Verdict.NOT_APPLICABLE,
            f"Clicks of the {click_model} model depend on those above; gamma is not their fall.",
        )
    rates = np.array([c / n for c, n in zip(clicks, impressions, strict=True)])
    gammas = [fitted_persistence(n, c) for n, c in zip(impressions, clicks, strict=True)]
    pooled = np.sum(clicks, axis=0) / np.sum(impressions, axis=0)
    rises = int((np.diff(pooled) > 0).sum())
    ranks = np.arange(1, pooled.size + 1)
    found = [mean_and_error(rates[:, place]) for place in range(pooled.size)]
    means = np.array([mean for mean, _ in found])
    errors = np.array([error for _, error in found])
    mean_gamma = mean_and_error(gammas)[0]
    return fact(17).finding(
        [
            near(
                "gamma, fitted on slots 2 up", gammas, persistence, tolerance=0.02, source="truth"
            ),
            within("ranks clicked more than the one above", [float(rises)], 0, 0, digits=0),
            told(
                "gamma of other simulators, middle",
                [mean_gamma],
                float(np.mean(PERSISTENCE_RANGE)),
                source="SARDINE, RecSim",
            ),
        ],
        plot=Plot(
            x_title="rank",
            y_title="clicks per item shown",
            lines=(
                Line(
                    name="simulated",
                    role="simulated",
                    x=ranks.astype(float),
                    y=means,
                    low=means - 2 * errors,
                    high=means + 2 * errors,
                ),
                Line(
                    name="gamma^(k-2) from rank 2",
                    role="literature",
                    x=ranks[1:].astype(float),
                    y=means[1] * persistence ** (ranks[1:] - 2.0),
                ),
            ),
        ),
    )


def fitted_persistence(impressions: Int64Array, clicks: Int64Array) -> float:
    """Gamma by a log-linear Poisson regression of clicks on the slot, exposure known.

    Items come in random order, so that from the second slot on they are alike: as attractive, as
    similar to those above. The first slot alone has nothing above it and is left out.

    Args:
        impressions: items shown by slot, `int64 [L]`, at least three slots.
        clicks: clicks by slot, `int64 [L]`.

    Example:
        >>> shown = np.full(5, 10_000)
        >>> round(fitted_persistence(shown, np.array([999, 800, 400, 200, 100])), 6)
        0.5
    """
    shown = impressions[_FIRST_RANK - 1 :].astype(np.float64)
    clicked = clicks[_FIRST_RANK - 1 :].astype(np.float64)
    slots = np.arange(shown.size, dtype=np.float64)
    slope = 0.0
    for _ in range(60):
        slope = _newton_step(shown, clicked, slots, slope)
    return float(np.exp(slope))


def _newton_step(shown: FloatArray, clicked: FloatArray, slots: FloatArray, slope: float) -> float:
    """One step on the likelihood of the slope, in which the level is already the best one."""
    weights = shown * np.exp(slope * slots)
    law = weights / weights.sum()
    mean = float(law @ slots)
    spread = float(law @ (slots - mean) ** 2)
    total = float(clicked.sum())
    if not (total > 0 and spread > 0):
        return float("nan")
    return slope + (float(clicked @ slots) / total - mean) / spread
