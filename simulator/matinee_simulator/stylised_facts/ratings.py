"""Facts 4, 6 and 8: how much users rate, and how."""

from collections.abc import Sequence

import numpy as np

from matinee_policies.arrays import FloatArray
from matinee_policies.datasets.shape_statistics import gini, kolmogorov_distance
from matinee_simulator.stylised_facts.fact import fact
from matinee_simulator.stylised_facts.finding import Figure, Finding, Line, Plot, near, told, within
from matinee_simulator.stylised_facts.literature import (
    ACTIVITY_GINI,
    ACTIVITY_QUANTILES_MT,
    ITEM_MEAN_SD,
    RATING_MEAN_ML,
    RATING_SD_ML,
    RATING_SHARES_ML,
    USER_MEAN_SD,
)
from matinee_simulator.stylised_facts.sample import RatingSample

_FACTOR = 1.3
_LEAST_RATINGS = 20
_MODE = 4.0


def activity(simulated: Sequence[RatingSample], data: RatingSample) -> Finding:
    """Fact 4.

    Args:
        simulated: histories of independent populations.
        data: the real ratings.
    """
    figures = []
    for level in (0.25, 0.75, 0.9):
        of_data = _multiple(data, level)
        figures.append(
            _factor_of(
                f"{100 * level:.0f} % quantile over median",
                [_multiple(sample, level) for sample in simulated],
                of_data,
            )
        )
    ratio = ACTIVITY_QUANTILES_MT[0.9] / ACTIVITY_QUANTILES_MT[0.5]
    figures += [
        told(
            "90 % quantile over median",
            [_multiple(sample, 0.9) for sample in simulated],
            ratio,
            source="MovieTweetings",
        ),
        told(
            "Gini of users",
            [gini(sample.user_counts) for sample in simulated],
            gini(data.user_counts),
            source="data",
        ),
        told(
            "Gini of users",
            [gini(sample.user_counts) for sample in simulated],
            ACTIVITY_GINI["ML"],
            source="published",
        ),
        told(
            "median ratings per user",
            [float(np.median(sample.user_counts)) for sample in simulated],
            float(np.median(data.user_counts)),
            source="data",
            digits=1,
        ),
    ]
    levels = np.linspace(0.02, 0.98, 49)
    return fact(4).finding(
        figures,
        plot=Plot(
            x_title="share of the users",
            y_title="ratings, multiples of the median",
            y_log=True,
            lines=tuple(
                Line(name=name, role=name, x=levels, y=_multiples(sample, levels))
                for name, sample in (("simulated", simulated[0]), ("data", data))
            ),
        ),
        explain="Histories are cut at history_most, so that the most active users count less.",
    )


def rating_shape(
    simulated: Sequence[RatingSample], data: RatingSample, *, published: bool = True
) -> Finding:
    """Fact 6.

    Args:
        simulated: histories of independent populations.
        data: the real ratings.
        published: whether the data are those that the published figures are of.
    """
    levels = np.union1d(data.levels, np.concatenate([sample.levels for sample in simulated]))
    distances = [
        kolmogorov_distance(sample.shares(levels), data.shares(levels)) for sample in simulated
    ]
    figures = [within("Kolmogorov distance", distances, high=0.05, source="data")]
    if published:
        modes = [float(sample.levels[np.argmax(sample.level_counts)]) for sample in simulated]
        figures.append(within("mode", modes, _MODE, _MODE, source="published", digits=1))
        figures += [
            near(
                f"share of {level:g}",
                [float(sample.shares(np.array([level]))[0]) for sample in simulated],
                share,
                tolerance=0.05,
                source="published",
            )
            for level, share in RATING_SHARES_ML.items()
        ]
        figures += [
            told("mean", [_mean(s) for s in simulated], RATING_MEAN_ML, source="published"),
            told("sd", [_sd(s) for s in simulated], RATING_SD_ML, source="published"),
        ]
    lines = [
        Line(name="simulated", role="simulated", x=levels, y=simulated[0].shares(levels)),
        Line(name="data", role="data", x=levels, y=data.shares(levels)),
    ]
    if published:
        lines.append(
            Line(
                name="published",
                role="literature",
                x=np.array(list(RATING_SHARES_ML)),
                y=np.array(list(RATING_SHARES_ML.values())),
                dots=True,
            )
        )
    return fact(6).finding(
        figures, plot=Plot(x_title="rating", y_title="share of the ratings", lines=tuple(lines))
    )


def rating_biases(
    simulated: Sequence[RatingSample], data: RatingSample, *, published: bool = True
) -> Finding:
    """Fact 8; arguments as `rating_shape`."""
    users = [
        _spread(sample.user_means[sample.user_counts >= _LEAST_RATINGS]) for sample in simulated
    ]
    items = [
        _spread(sample.item_means[sample.item_counts >= _LEAST_RATINGS]) for sample in simulated
    ]
    of_users = data.user_means[data.user_counts >= _LEAST_RATINGS]
    of_items = data.item_means[data.item_counts >= _LEAST_RATINGS]
    figures: list[Figure] = []
    for name, values, real, known in (
        ("sd of user means", users, of_users, USER_MEAN_SD),
        ("sd of item means", items, of_items, ITEM_MEAN_SD),
    ):
        if real.size > 1:
            figures.append(near(name, values, _spread(real), tolerance=0.08, source="data"))
        figures.append(
            near(name, values, known, tolerance=0.08, source="published", gated=published)
        )
    levels = np.linspace(0.02, 0.98, 49)
    lines = [
        Line(name=name, role=role, x=np.quantile(values, levels), y=levels, dots=dots)
        for name, role, values, dots in (
            ("users, simulated", "simulated", _user_means(simulated[0]), False),
            ("users, data", "data", of_users, False),
            ("items, simulated", "simulated", _item_means(simulated[0]), True),
            ("items, data", "data", of_items, True),
        )
        if values.size
    ]
    return fact(8).finding(
        figures,
        plot=Plot(
            x_title="mean rating, stars",
            y_title="share with a lower mean",
            lines=tuple(lines),
        ),
    )


def _factor_of(name: str, values: Sequence[float], reference: float) -> Figure:
    figure = near(name, values, reference, tolerance=0.0, source="data", digits=2)
    return Figure(
        name=name,
        value=figure.value,
        standard_error=figure.standard_error,
        reference=reference,
        source="data",
        low=reference / _FACTOR,
        high=reference * _FACTOR,
        digits=2,
    )


def _multiple(sample: RatingSample, level: float) -> float:
    return float(_multiples(sample, np.array([level]))[0])


def _multiples(sample: RatingSample, levels: FloatArray) -> FloatArray:
    counts = sample.user_counts
    return np.asarray(np.quantile(counts, levels) / np.median(counts))


def _user_means(sample: RatingSample) -> FloatArray:
    return np.asarray(sample.user_means[sample.user_counts >= _LEAST_RATINGS])


def _item_means(sample: RatingSample) -> FloatArray:
    return np.asarray(sample.item_means[sample.item_counts >= _LEAST_RATINGS])


def _spread(values: FloatArray) -> float:
    return float(values.std(ddof=1)) if values.size > 1 else float("nan")


def _mean(sample: RatingSample) -> float:
    return float(np.average(sample.levels, weights=sample.level_counts))


def _sd(sample: RatingSample) -> float:
    gaps = sample.levels - _mean(sample)
    return float(np.sqrt(np.average(gaps**2, weights=sample.level_counts)))
