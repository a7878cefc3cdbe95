"""Facts 1, 2, 3, 5 and 7: how ratings are spread over items."""

from collections.abc import Sequence

import numpy as np

from matinee_policies.arrays import AnyArray, FloatArray
from matinee_policies.datasets.shape_statistics import gini, hill_exponent, top_share, zipf_slope
from matinee_simulator.stylised_facts.fact import fact
from matinee_simulator.stylised_facts.finding import (
    Figure,
    Finding,
    Line,
    Plot,
    Verdict,
    near,
    told,
)
from matinee_simulator.stylised_facts.literature import (
    HILL_EXPONENT,
    POPULARITY_GINI,
    POPULARITY_QUALITY,
    SINGLE_RATING_SHARE,
    ZIPF_SLOPE,
)
from matinee_simulator.stylised_facts.sample import RatingSample

_FIRST_RANK, _LAST_RANK = 5, 500
_TAIL = 10
_LEAST_RATINGS = 5

_FEW = (
    "The world leaves out every item with fewer than five ratings, whose taste nobody could learn: "
    "the long tail of the published catalogue is not in it. With all items kept it would be"
)


def popularity_inequality(
    simulated: Sequence[RatingSample],
    data: RatingSample,
    *,
    whole: Sequence[RatingSample] = (),
    published: bool = True,
) -> Finding:
    """Fact 1.

    Args:
        simulated: histories of independent populations.
        data: the real ratings of the same items.
        whole: histories in a world of all items, to tell what leaving some out does.
        published: whether the data are those that the published figure is of.
    """
    ginis = [gini(sample.item_counts) for sample in simulated]
    figures = [
        near("Gini of items", ginis, gini(data.item_counts), tolerance=0.05, source="data"),
        near(
            "Gini of items",
            ginis,
            POPULARITY_GINI["ML"],
            tolerance=0.05,
            source="published",
            gated=published,
        ),
        _top("top 10 %", 0.1, simulated, data),
        _top("top 1 %", 0.01, simulated, data),
    ]
    kept = [gini(sample.item_counts) for sample in whole]
    if kept:
        figures.append(told("Gini if all items were kept", kept, POPULARITY_GINI["ML"]))
    explain = f"{_FEW} {np.mean(kept):.3f}." if kept else ""
    return fact(1).finding(figures, plot=_lorenz(simulated[0], data), explain=explain)


def zipf(
    simulated: Sequence[RatingSample], data: RatingSample, *, published: bool = True
) -> Finding:
    """Fact 2; arguments as `popularity_inequality`."""
    least = min(sample.item_counts.size for sample in (*simulated, data))
    if least < 2 * _FIRST_RANK:
        return fact(2).without(Verdict.NOT_APPLICABLE, f"There are only {least} items.")
    last = min(_LAST_RANK, least)

    def slope(sample: RatingSample) -> float:
        return zipf_slope(sample.item_counts, first=_FIRST_RANK, last=last)

    slopes = [slope(sample) for sample in simulated]
    return fact(2).finding(
        [
            near("Zipf slope", slopes, slope(data), tolerance=0.15, source="data"),
            near(
                "Zipf slope",
                slopes,
                ZIPF_SLOPE["ML"],
                tolerance=0.15,
                source="published",
                gated=published,
            ),
        ],
        plot=Plot(
            x_title="rank of the item",
            y_title="share of all ratings",
            x_log=True,
            y_log=True,
            lines=(
                _rank_line("simulated", "simulated", simulated[0]),
                _rank_line("data", "data", data),
            ),
        ),
    )


def tail(
    simulated: Sequence[RatingSample], data: RatingSample, *, published: bool = True
) -> Finding:
    """Fact 3; arguments as `popularity_inequality`."""
    reach = min(int(sample.item_counts.max()) for sample in (*simulated, data))
    if reach < 2 * _TAIL:
        return fact(3).without(Verdict.NOT_APPLICABLE, f"No item has more than {reach} ratings.")
    exponents = [hill_exponent(sample.item_counts, least=_TAIL) for sample in simulated]
    return fact(3).finding(
        [
            near(
                "Hill exponent",
                exponents,
                hill_exponent(data.item_counts, least=_TAIL),
                tolerance=0.2,
                source="data",
            ),
            near(
                "Hill exponent",
                exponents,
                HILL_EXPONENT["ML"],
                tolerance=0.2,
                source="published",
                gated=published,
            ),
        ],
        plot=Plot(
            x_title="ratings of an item",
            y_title="share of items with at least so many",
            x_log=True,
            y_log=True,
            lines=(
                _tail_line("simulated", "simulated", simulated[0]),
                _tail_line("data", "data", data),
            ),
        ),
    )


def single_ratings(
    simulated: Sequence[RatingSample],
    data: RatingSample,
    *,
    whole: Sequence[RatingSample] = (),
    published: bool = True,
) -> Finding:
    """Fact 5; arguments as `popularity_inequality`."""
    shares = [_single(sample) for sample in simulated]
    figures = [
        near("share with one rating", shares, _single(data), tolerance=0.08, source="data"),
        near(
            "share with one rating",
            shares,
            SINGLE_RATING_SHARE["ML"],
            tolerance=0.08,
            source="published",
            gated=published,
        ),
    ]
    kept = [_single(sample) for sample in whole]
    if kept:
        figures.append(told("share if all items were kept", kept, SINGLE_RATING_SHARE["ML"]))
    counts = np.arange(1, 11)
    return fact(5).finding(
        figures,
        plot=Plot(
            x_title="ratings of an item",
            y_title="share of items",
            lines=(
                Line(
                    name="simulated",
                    role="simulated",
                    x=counts.astype(float),
                    y=_share_with(simulated[0], counts),
                ),
                Line(name="data", role="data", x=counts.astype(float), y=_share_with(data, counts)),
                Line(
                    name="published",
                    role="literature",
                    x=np.array([1.0]),
                    y=np.array([SINGLE_RATING_SHARE["ML"]]),
                    dots=True,
                ),
            ),
        ),
        explain=f"{_FEW} {np.mean(kept):.3f}." if kept else "",
    )


def popularity_and_quality(
    simulated: Sequence[RatingSample], data: RatingSample, *, published: bool = True
) -> Finding:
    """Fact 7; arguments as `popularity_inequality`."""
    correlations = [count_quality_correlation(sample) for sample in simulated]
    return fact(7).finding(
        [
            near(
                "correlation",
                correlations,
                count_quality_correlation(data),
                tolerance=0.1,
                source="data",
            ),
            near(
                "correlation",
                correlations,
                POPULARITY_QUALITY["ML"],
                tolerance=0.1,
                source="published",
                gated=published,
            ),
        ],
        plot=Plot(
            x_title="ratings of an item",
            y_title="mean rating, stars",
            x_log=True,
            lines=(
                _quality_line("simulated", "simulated", simulated[0]),
                _quality_line("data", "data", data),
            ),
        ),
    )


def count_quality_correlation(sample: RatingSample) -> float:
    """Correlation of log count and mean rating over items with at least five ratings."""
    kept = sample.item_counts >= _LEAST_RATINGS
    if kept.sum() < 2:
        return float("nan")
    return float(np.corrcoef(np.log(sample.item_counts[kept]), sample.item_means[kept])[0, 1])


def _single(sample: RatingSample) -> float:
    return float((sample.item_counts == 1).mean())


def _share_with(sample: RatingSample, counts: AnyArray) -> FloatArray:
    found = np.bincount(sample.item_counts, minlength=int(counts.max()) + 1)[counts]
    return np.asarray(found / sample.item_counts.size)


def _top(name: str, share: float, simulated: Sequence[RatingSample], data: RatingSample) -> Figure:
    return told(
        f"share of the {name}",
        [top_share(sample.item_counts, share) for sample in simulated],
        top_share(data.item_counts, share),
        source="data",
    )


def _lorenz(simulated: RatingSample, data: RatingSample) -> Plot:
    return Plot(
        x_title="share of the items, most rated first",
        y_title="share of the ratings",
        lines=tuple(
            Line(name=name, role=name, x=x, y=y)
            for name, (x, y) in (("simulated", _curve(simulated)), ("data", _curve(data)))
        ),
    )


def _curve(sample: RatingSample) -> tuple[FloatArray, FloatArray]:
    ordered = np.sort(sample.item_counts)[::-1]
    reached = np.append(0.0, np.cumsum(ordered) / ordered.sum())
    at = np.linspace(0, ordered.size, 81).astype(np.int64)
    return at / ordered.size, reached[at]


def _rank_line(name: str, role: str, sample: RatingSample) -> Line:
    ordered = np.sort(sample.item_counts)[::-1]
    ranks = _log_places(ordered.size)
    return Line(name=name, role=role, x=ranks.astype(float), y=ordered[ranks - 1] / sample.size)


def _tail_line(name: str, role: str, sample: RatingSample) -> Line:
    counts = _log_places(int(sample.item_counts.max()))
    ordered = np.sort(sample.item_counts)
    at_least = 1.0 - np.searchsorted(ordered, counts, side="left") / ordered.size
    return Line(name=name, role=role, x=counts.astype(float), y=at_least)


def _quality_line(name: str, role: str, sample: RatingSample) -> Line:
    kept = sample.item_counts >= _LEAST_RATINGS
    counts, means = sample.item_counts[kept], sample.item_means[kept]
    groups = np.array_split(np.argsort(counts, kind="stable"), 12)
    groups = [group for group in groups if group.size]
    return Line(
        name=name,
        role=role,
        x=np.array([np.exp(np.log(counts[group]).mean()) for group in groups]),
        y=np.array([means[group].mean() for group in groups]),
    )


def _log_places(last: int) -> AnyArray:
    return np.unique(np.geomspace(1, last, 60).round().astype(np.int64))
