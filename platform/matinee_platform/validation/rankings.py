"""T7 and T8: what clicks, satisfaction and variety do to those who return."""

import numpy as np

from matinee_platform.validation.claims import ACCEPTANCE
from matinee_platform.validation.evidence import CANDIDATES, Evidence
from matinee_platform.validation.paired import (
    Gap,
    clicks,
    ctr_gap,
    day_28,
    gap,
    sessions,
)
from matinee_simulator.long_run import frozen_index
from matinee_simulator.rollout import (
    Played,
    Ranker,
    click_order,
    mmr_order,
    relevance_order,
    satisfaction_order,
)
from matinee_simulator.stylised_facts import Figure, Finding, Line, Plot

WIDE = 300
"""Candidates among which T8 chooses. Of the usual 100, all are relevant enough that a page with no
weight on relevance is hardly worse than the best one; that difference is told, not judged."""

WEIGHTS = (1.0, 0.95, 0.9, 0.8, 0.6, 0.4, 0.2, 0.05)
"""Weights of relevance in MMR, from no price of similarity to little else."""

_P_VALUE = 0.001
_CLEAR = 2.0


def clicks_are_not_visits(evidence: Evidence) -> Finding:
    """The finding of T7."""
    tuned = frozen_index()
    tuned.check_seeds(evidence.seeds)
    index = _runs(evidence, tuned.ranker())
    click = _runs(evidence, click_order())
    rates, returns = ctr_gap(click, index), gap(click, index, day_28)
    visits = gap(click, index, sessions)
    figures = [
        _difference("CTR, click oracle minus index", rates, digits=4),
        Figure(
            name="p-value of a higher CTR",
            value=rates.p_value(above=True),
            low=0.0,
            high=_P_VALUE,
            digits=6,
        ),
        _difference("D28, click oracle minus index", returns, digits=4),
        Figure(
            name="p-value of a lower D28",
            value=returns.p_value(above=False),
            low=0.0,
            high=_P_VALUE,
            digits=6,
        ),
        _difference("sessions per user, click oracle minus index", visits, digits=2),
        Figure(name="CTR of the click oracle", value=rates.first, gated=False, digits=4),
        Figure(name="CTR of the index", value=rates.second, gated=False, digits=4),
        Figure(name="D28 of the click oracle", value=returns.first, gated=False, digits=4),
        Figure(name="D28 of the index", value=returns.second, gated=False, digits=4),
    ]
    shown = {
        "click oracle": click,
        "index": index,
        "matrix factorization": _runs(evidence, relevance_order()),
        "satisfaction oracle": _runs(evidence, satisfaction_order()),
    }
    return ACCEPTANCE["T7"].finding(
        figures,
        plot=Plot(
            x_title="clicks per item shown",
            y_title="D28, mean of days 27 to 29",
            lines=tuple(
                _point(name, role, runs)
                for (name, runs), role in zip(
                    shown.items(), ("simulated", "data", "literature", "other"), strict=True
                )
            ),
        ),
        explain="Either the populations are too small to tell, or satisfaction does not decide who "
        "returns in this world.",
    )


def variety_has_an_optimum(evidence: Evidence) -> Finding:
    """The finding of T8.

    The best weight is chosen on one half of the populations and judged on the other, so that luck
    in the choice does not count for it.
    """
    runs = {weight: _runs(evidence, mmr_order(weight), candidates=WIDE) for weight in WEIGHTS}
    half = len(evidence.seeds) // 2
    means = {weight: _mean_clicks(found[:half]) for weight, found in runs.items()}
    best = max(means, key=lambda weight: means[weight])
    figures = []
    for end in (WEIGHTS[0], WEIGHTS[-1]):
        found = gap(runs[best][half:], runs[end][half:], clicks)
        figures.append(
            _difference(f"clicks per user, weight {best:g} minus {end:g}", found, digits=3)
        )
        figures.append(
            Figure(
                name="the same, in standard errors",
                value=found.clear if best != end else 0.0,
                low=_CLEAR,
                digits=1,
            )
        )
    figures.append(Figure(name="best weight of relevance", value=best, gated=False, digits=2))
    usual = [_runs(evidence, mmr_order(weight))[half:] for weight in (best, WEIGHTS[-1])]
    figures.append(
        _difference(
            f"clicks per user, weight {best:g} minus {WEIGHTS[-1]:g}, {CANDIDATES} candidates",
            gap(usual[0], usual[1], clicks),
            digits=3,
        )
    )
    for name, value in (("sessions per user", sessions), ("D28", day_28)):
        found = gap(runs[best], runs[WEIGHTS[0]], value)
        figures.append(_difference(f"{name}, weight {best:g} minus 1", found, digits=4))
    base = runs[WEIGHTS[0]]
    lines = [
        _curve(name, role, [(weight, gap(runs[weight], base, value)) for weight in WEIGHTS])
        for name, role, value in (
            ("clicks per user", "simulated", clicks),
            ("sessions per user", "other", sessions),
        )
    ]
    return ACCEPTANCE["T8"].finding(
        figures,
        plot=Plot(
            x_title="weight of relevance in MMR",
            y_title="relative to weight 1",
            lines=(
                *lines,
                Line(
                    name="weight 1",
                    role="literature",
                    x=np.array([0.0, 1.0]),
                    y=np.ones(2),
                ),
            ),
        ),
        explain="The gain over relevance alone is clear if the first difference is, the loss at "
        "the other end if the second is. The fewer the candidates, the flatter that end: all "
        "weights rank the same best ones, so that a page with hardly any weight on relevance is "
        "relevant still.",
    )


def _runs(evidence: Evidence, ranker: Ranker, *, candidates: int = CANDIDATES) -> list[Played]:
    return [evidence.played(ranker, seed, candidates=candidates) for seed in evidence.seeds]


def _mean_clicks(runs: list[Played]) -> float:
    return float(np.concatenate([clicks(played) for played in runs]).mean())


def _difference(name: str, found: Gap, *, digits: int) -> Figure:
    return Figure(
        name=name,
        value=found.difference,
        standard_error=found.error,
        gated=False,
        digits=digits,
    )


def _point(name: str, role: str, runs: list[Played]) -> Line:
    rate = sum(int(p.user_clicks.sum()) for p in runs) / sum(
        int(p.user_impressions.sum()) for p in runs
    )
    values = np.concatenate([day_28(played) for played in runs])
    values = values[~np.isnan(values)]
    mean = np.array([values.mean()])
    half = 2.0 * values.std(ddof=1) / np.sqrt(values.size)
    return Line(
        name=name,
        role=role,
        x=np.array([rate]),
        y=mean,
        low=mean - half,
        high=mean + half,
        dots=True,
    )


def _curve(name: str, role: str, gaps: list[tuple[float, Gap]]) -> Line:
    base = gaps[0][1].second
    weights = np.array([weight for weight, _ in gaps])[::-1]
    changes = np.array([1.0 + found.difference / base for _, found in gaps])[::-1]
    errors = np.array([found.error / base for _, found in gaps])[::-1]
    return Line(
        name=name,
        role=role,
        x=weights,
        y=changes,
        low=changes - 2 * errors,
        high=changes + 2 * errors,
    )
