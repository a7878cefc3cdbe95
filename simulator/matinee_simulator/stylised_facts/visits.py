"""Facts 9, 12, 13, 14 and 16: how sessions end, who comes back, who is lost."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from matinee_policies.arrays import AnyArray, BoolArray, FloatArray, IndexArray
from matinee_simulator.stylised_facts.beta_geometric import fit_beta_geometric
from matinee_simulator.stylised_facts.fact import fact
from matinee_simulator.stylised_facts.finding import (
    Figure,
    Finding,
    Line,
    Plot,
    Verdict,
    mean_and_error,
    near,
    told,
    within,
)
from matinee_simulator.stylised_facts.literature import (
    ONE_SESSION_SHARE,
    RETENTION_RANGES,
    RETENTION_STREAMING,
    RETURN_CLICKS,
    RETURN_WITHIN_3_DAYS,
    SBG_SURVIVAL_HIGH_END,
    SBG_SURVIVAL_REGULAR,
    STOP_CLICKS,
    STOP_HAZARD,
)

SETTLING_DAYS = 28
"""Days without a visit before a user counts as lost."""

_ONCE_DAYS = 16
_RETURN_DAYS = 3
_WEEK = 7
_LAST_DAY = 60


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Visits:
    """When the users of one population came, and how their sessions went.

    Attributes:
        visits: who came on which day, `bool [n, days]`.
        arrival: day of the first visit, `int32 [n]`.
        user: of each session, `int32 [S]`, in the order of users, then days.
        pages: of each session, `int32 [S]`.
        clicks: of each session, `int32 [S]`.
        most_pages: pages after which every session ends.
    """

    visits: BoolArray
    arrival: IndexArray
    user: IndexArray
    pages: IndexArray
    clicks: IndexArray
    most_pages: int

    @property
    def days(self) -> int:
        """Days of the run."""
        return int(self.visits.shape[1])

    def since_arrival(self, after: int) -> FloatArray:
        """Whether each user came `after` days after arrival; NaN if the run ended before."""
        day = self.arrival + after
        known = day < self.days
        rows = np.arange(self.arrival.size)
        came = self.visits[rows, np.minimum(day, self.days - 1)]
        return np.where(known, came, np.nan)

    def first_sessions(self) -> IndexArray:
        """Place of the first session of each user who has one, `[m]`."""
        return np.unique(self.user, return_index=True)[1].astype(np.int32)


def session_ends(populations: Sequence[Visits]) -> Finding:
    """Fact 9, of independent populations."""
    most = min(population.most_pages for population in populations)
    compared = most > STOP_CLICKS - 1
    pages = (STOP_CLICKS[compared] - 1).astype(int)
    hazards = np.array([stop_hazard(population.pages, pages) for population in populations])
    figures: list[Figure] = [
        near(
            f"ends at click {page + 1}, page {page}",
            hazards[:, place],
            float(STOP_HAZARD[compared][place]),
            tolerance=0.06,
            source="Globo",
        )
        for place, page in enumerate(pages.tolist())
    ]
    depths = np.concatenate([population.pages for population in populations]) + 1
    figures += [
        told("mean clicks, as in Globo", [float(depths.mean())], 2.85, source="Globo", digits=2),
        told("95 % quantile", [float(np.quantile(depths, 0.95))], 6.0, source="Globo", digits=1),
    ]
    return fact(9).finding(
        figures,
        plot=Plot(
            x_title="pages of the session so far",
            y_title="probability that it ends here",
            lines=(
                _seeds_line("simulated", pages, hazards),
                Line(
                    name="Globo",
                    role="literature",
                    x=STOP_CLICKS - 1,
                    y=STOP_HAZARD,
                    low=STOP_HAZARD - 0.06,
                    high=STOP_HAZARD + 0.06,
                    dots=True,
                ),
            ),
        ),
        explain="How soon users leave is a matter of parameters, which matinee calibrate fits.",
    )


def stop_hazard(pages: IndexArray, at: AnyArray) -> FloatArray:
    """P(a session ends with page n, if it comes so far), for each n of `at`, `float64 [k]`.

    Example:
        >>> stop_hazard(np.array([1, 1, 2, 3], dtype=np.int32), np.array([1, 2])).tolist()
        [0.5, 0.5]
    """
    reached = np.array([(pages >= page).sum() for page in at])
    ended = np.array([(pages == page).sum() for page in at])
    return np.asarray(ended / np.where(reached > 0, reached, np.nan))


def come_once(populations: Sequence[Visits]) -> Finding:
    """Fact 12, of independent populations."""
    if populations[0].days < _ONCE_DAYS:
        return fact(12).without(
            Verdict.NOT_APPLICABLE, f"The run is shorter than {_ONCE_DAYS} days."
        )
    counts = [_visits_within(population, _ONCE_DAYS) for population in populations]
    shares = [float((count == 1).mean()) for count in counts]
    numbers = np.arange(1, _ONCE_DAYS + 1)
    spread = np.array([[(count == number).mean() for number in numbers] for count in counts])
    globo = ONE_SESSION_SHARE["Globo, 16 days"]
    return fact(12).finding(
        [
            within("share with one session", shares, 0.25, 0.50, source="preset"),
            told("share with one session", shares, globo, source="Globo"),
        ],
        plot=Plot(
            x_title="days with a visit, of the first 16",
            y_title="share of the users",
            lines=(
                _seeds_line("simulated", numbers, spread),
                Line(
                    name="Globo",
                    role="literature",
                    x=np.array([1.0]),
                    y=np.array([globo]),
                    dots=True,
                ),
            ),
        ),
    )


def retention_curve(populations: Sequence[Visits]) -> Finding:
    """Fact 13, of independent populations."""
    last = min(
        min(population.days - int(population.arrival.max()) for population in populations), 61
    )
    days = np.arange(1, last)
    rates = np.array([[np.nanmean(p.since_arrival(int(day))) for day in days] for p in populations])
    figures: list[Figure] = []
    for day, (low, high) in RETENTION_RANGES.items():
        if day < last:
            figures.append(
                within(f"D{day}", rates[:, day - 1], low, high, source="benchmark pages")
            )
    if len(figures) < len(RETENTION_RANGES):
        return fact(13).without(Verdict.NOT_APPLICABLE, "The run is too short for D28.")
    shapes = [curve_shape(rate) for rate in rates]
    figures += [
        told("curvature of log D over days (> 0: slower than exponential)", [s[0] for s in shapes]),
        told("curvature of log D over log days (< 0: faster than a power)", [s[1] for s in shapes]),
    ]
    middles = np.array([float(day) for day in RETENTION_RANGES])
    lows = np.array([low for low, _ in RETENTION_RANGES.values()])
    highs = np.array([high for _, high in RETENTION_RANGES.values()])
    return fact(13).finding(
        figures,
        plot=Plot(
            x_title="days after the first visit",
            y_title="share of the users active",
            lines=(
                _seeds_line("simulated", days, rates),
                Line(
                    name="accepted",
                    role="literature",
                    x=middles,
                    y=(lows + highs) / 2,
                    low=lows,
                    high=highs,
                    dots=True,
                ),
                Line(
                    name="streaming medians",
                    role="other",
                    x=np.array(list(RETENTION_STREAMING), dtype=np.float64),
                    y=np.array(list(RETENTION_STREAMING.values())),
                    dots=True,
                ),
            ),
        ),
    )


def curve_shape(rates: FloatArray) -> tuple[float, float]:
    """Quadratic coefficients of log D_k, k = 1.., over k / 10 and over log k; NaN where D is 0.

    Both are 0 for neither; an exponential has the first 0, a power law the second.
    """
    if not (rates > 0).all() or rates.size < 3:
        return float("nan"), float("nan")
    days = np.arange(1, rates.size + 1)
    logs = np.log(rates)
    return (
        float(np.polyfit(days / 10.0, logs, 2)[0]),
        float(np.polyfit(np.log(days), logs, 2)[0]),
    )


def churn(populations: Sequence[Visits]) -> Finding:
    """Fact 14, of independent populations."""
    tables = [weekly_losses(population) for population in populations]
    if any(table is None for table in tables):
        return fact(14).without(
            Verdict.NOT_APPLICABLE,
            f"The run is too short: three weeks and {SETTLING_DAYS} days to settle are needed.",
        )
    found = [table for table in tables if table is not None]
    fits = [fit_beta_geometric(left, stayed) for left, stayed in found]
    weeks = np.arange(0, found[0][0].size + 1)
    curves = np.array([_survival_of(left, stayed) for left, stayed in found])
    hazards = np.array([-np.diff(curve) / curve[:-1] for curve in curves])
    return fact(14).finding(
        [
            within("R² of the fit", [fit.r_squared for fit in fits], low=0.98),
            within(
                "fall of the weekly hazard, first to last",
                hazards[:, 0] - hazards[:, -1],
                low=0.0,
            ),
            told("hazard of week 1", hazards[:, 0]),
            told(f"hazard of week {weeks[-1]}", hazards[:, -1]),
        ],
        plot=Plot(
            x_title="periods (weeks; renewals of Fader and Hardie)",
            y_title="share not yet lost",
            lines=(
                _seeds_line("simulated", weeks, curves),
                Line(
                    name="fitted",
                    role="other",
                    x=weeks.astype(float),
                    y=np.mean([fit.survival(weeks) for fit in fits], axis=0),
                ),
                _survival_line("regular cohort", SBG_SURVIVAL_REGULAR),
                _survival_line("high end cohort", SBG_SURVIVAL_HIGH_END),
            ),
        ),
        explain="Where the fitted curve falls short, the hazard has levelled off instead of "
        "falling on: those who churn are soon gone, and each week some rare visitors pay what is "
        "their last visit within the run.",
    )


def weekly_losses(population: Visits) -> tuple[AnyArray, int] | None:
    """Users whose last visit fell into week 1, 2, ... after arrival, and those who stayed.

    Weeks count up to where every user is watched for `SETTLING_DAYS` more; None if these are fewer
    than three.
    """
    horizon = population.days - 1 - int(population.arrival.max()) - SETTLING_DAYS
    weeks = horizon // _WEEK
    if weeks < 3:
        return None
    last = population.days - 1 - np.argmax(population.visits[:, ::-1], axis=1)
    lived = (last - population.arrival) // _WEEK
    left = np.bincount(np.minimum(lived, weeks), minlength=weeks + 1)
    return left[:weeks], int(left[weeks])


def depth_and_return(populations: Sequence[Visits]) -> Finding:
    """Fact 16, of independent populations."""
    curves, slopes, by_clicks = [], [], []
    for population in populations:
        first = population.first_sessions()
        back = returned_within(population, _RETURN_DAYS)[population.user[first]]
        known = ~np.isnan(back)
        curve = rate_by_depth(population.pages[first][known] + 1, back[known])
        curves.append(curve)
        slopes.append(slope_of(RETURN_CLICKS, curve))
        by_clicks.append(
            slope_of(RETURN_CLICKS, rate_by_depth(population.clicks[first][known], back[known]))
        )
    known_slope = slope_of(RETURN_CLICKS, RETURN_WITHIN_3_DAYS)
    return fact(16).finding(
        [
            near(
                "slope per click",
                slopes,
                known_slope,
                tolerance=0.5 * known_slope,
                source="Globo",
                digits=4,
            ),
            told("slope by clicks of the session", by_clicks, known_slope, digits=4),
            told("three-day return, depth 2", [c[0] for c in curves], RETURN_WITHIN_3_DAYS[0]),
            told("three-day return, depth 8 up", [c[-1] for c in curves], RETURN_WITHIN_3_DAYS[-1]),
        ],
        plot=Plot(
            x_title="clicks of the first session (pages + 1)",
            y_title="share back within three days",
            lines=(
                _seeds_line("simulated", RETURN_CLICKS, np.array(curves)),
                Line(
                    name="Globo",
                    role="literature",
                    x=RETURN_CLICKS,
                    y=RETURN_WITHIN_3_DAYS,
                    dots=True,
                ),
            ),
        ),
        explain="How much of the slope of Globo is selection, and how much is caused by a good "
        "session, cannot be read from observation; frailties that go together would steepen it.",
    )


def returned_within(population: Visits, days: int) -> FloatArray:
    """Whether each user came again within so many days of arrival; NaN if not told by the run."""
    came = np.array([population.since_arrival(day) for day in range(1, days + 1)])
    return np.asarray(came.max(axis=0))


def rate_by_depth(depths: AnyArray, back: FloatArray) -> FloatArray:
    """Share that came back by depth 2, 3, ... 8 and more, `float64 [7]`; NaN without users."""
    capped = np.minimum(depths, int(RETURN_CLICKS[-1]))
    groups = [back[capped == depth] for depth in RETURN_CLICKS]
    return np.array([group.mean() if group.size else np.nan for group in groups])


def slope_of(x: FloatArray, y: FloatArray) -> float:
    """Slope of the least-squares line; NaN if a point is missing.

    Example:
        >>> slope_of(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0]))
        2.0
    """
    centred = x - x.mean()
    return float(centred @ (y - y.mean()) / (centred @ centred))


def _visits_within(population: Visits, days: int) -> AnyArray:
    """Days with a visit of each user in the first `days`, if the run watches the user so long."""
    came = np.array([population.since_arrival(day) for day in range(days)])
    return np.asarray(came.sum(axis=0)[~np.isnan(came).any(axis=0)])


def _survival_of(left: AnyArray, stayed: int) -> FloatArray:
    total = left.sum() + stayed
    return np.append(1.0, 1.0 - np.cumsum(left) / total)


def _survival_line(name: str, shares: FloatArray) -> Line:
    return Line(
        name=name, role="literature", x=np.arange(shares.size, dtype=float), y=shares, dots=True
    )


def _seeds_line(name: str, x: AnyArray, rows: FloatArray) -> Line:
    """Mean over populations with a band of two standard errors."""
    found = [mean_and_error(rows[:, place]) for place in range(rows.shape[1])]
    means = np.array([mean for mean, _ in found])
    errors = np.array([error for _, error in found])
    return Line(
        name=name,
        role="simulated",
        x=np.asarray(x, dtype=np.float64),
        y=means,
        low=means - 2 * errors,
        high=means + 2 * errors,
    )
