"""Facts 21, 22 and 23: what personalisation and variety go with."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from matinee_policies.arrays import FloatArray
from matinee_policies.errors import ContextError
from matinee_simulator.stylised_facts.fact import fact
from matinee_simulator.stylised_facts.finding import (
    Figure,
    Finding,
    Line,
    Plot,
    Verdict,
    mean_and_error,
    told,
    within,
)
from matinee_simulator.stylised_facts.literature import HOLTZ, RETURN_TIME_EFFECT

CLEAR = 2.0
"""Standard errors from 0 at which a sign counts as seen."""

_EFFECT = 0.30


@dataclass(frozen=True, slots=True, kw_only=True)
class Breadth:
    """What a ranking does to the users of one population.

    Attributes:
        clicks: per user.
        diversity: mean over slates of 1 - cosine over pairs.
        coverage: share of the catalogue examined at least once.
    """

    clicks: float
    diversity: float
    coverage: float


def personalisation(personal: Sequence[Breadth], popular: Sequence[Breadth]) -> Finding:
    """Fact 21: relative differences of matrix factorization to popularity, by population.

    Args:
        personal: under the order of matrix factorization, at least two populations.
        popular: under popularity, of the same populations.
    """
    changes = {
        "clicks": [p.clicks / q.clicks - 1 for p, q in zip(personal, popular, strict=True)],
        "individual diversity": [
            p.diversity / q.diversity - 1 for p, q in zip(personal, popular, strict=True)
        ],
        "aggregate diversity": [
            p.coverage / q.coverage - 1 for p, q in zip(personal, popular, strict=True)
        ],
    }
    figures: list[Figure] = []
    for name, values in changes.items():
        figures.append(told(f"change of {name}", values, HOLTZ[name], source="Holtz et al."))
        figures.append(sign_figure(name, values, positive=HOLTZ[name] > 0))
    found = [mean_and_error(values) for values in changes.values()]
    means = np.array([mean for mean, _ in found])
    errors = np.array([error for _, error in found])
    places = np.arange(1.0, 4.0)
    return fact(21).finding(
        figures,
        plot=Plot(
            x_title="measure",
            categories=tuple(changes),
            y_title="relative change",
            lines=(
                Line(
                    name="simulated",
                    role="simulated",
                    x=places,
                    y=means,
                    low=means - 2 * errors,
                    high=means + 2 * errors,
                    dots=True,
                ),
                Line(
                    name="Holtz et al.",
                    role="literature",
                    x=places + 0.12,
                    y=np.array(list(HOLTZ.values())),
                    dots=True,
                ),
            ),
        ),
    )


def sign_figure(name: str, values: Sequence[float], *, positive: bool) -> Figure:
    """How clearly a difference has the wanted sign, in standard errors."""
    mean, error = mean_and_error(values)
    clear = mean / error if error > 0 else float("nan")
    low, high = (CLEAR, np.inf) if positive else (-np.inf, -CLEAR)
    return within(f"{name}, in standard errors", [clear], low, high, digits=1)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Consumption:
    """What users consumed in their first weeks, and how often they came afterwards.

    Attributes:
        diversity: mean of 1 - cosine over the pairs of clicked items, `float64 [n]`.
        clicks: in the first weeks, at least two, `[n]`.
        sessions: in the first weeks, `[n]`.
        later: sessions in the weeks after, `[n]`.
    """

    diversity: FloatArray
    clicks: FloatArray
    sessions: FloatArray
    later: FloatArray


def diverse_stay(users: Consumption) -> Finding:
    """Fact 22: a regression of later sessions on early diversity and early activity."""
    if users.diversity.size < 50:
        return fact(22).without(
            Verdict.NOT_APPLICABLE, f"Only {users.diversity.size} users clicked twice or more."
        )
    controls = [np.log(users.clicks), np.log(users.sessions)]
    spread = users.diversity.std()
    slope, error = regression_slope(users.later, users.diversity / spread, controls)
    plain, plain_error = regression_slope(users.later, users.diversity / spread, [])
    groups = np.array_split(np.argsort(users.diversity, kind="stable"), 8)
    explained = residual(users.later, np.column_stack([np.ones(users.later.size), *controls]))
    levels = explained + users.later.mean()
    means = np.array([levels[group].mean() for group in groups])
    errors = np.array([levels[group].std(ddof=1) / np.sqrt(group.size) for group in groups])
    return fact(22).finding(
        [
            Figure(
                name="later sessions per sd of diversity",
                value=slope,
                standard_error=error,
                gated=False,
            ),
            within("the same, in standard errors", [slope / error], low=CLEAR, digits=1),
            Figure(
                name="without control for activity",
                value=plain,
                standard_error=plain_error,
                gated=False,
            ),
        ],
        plot=Plot(
            x_title="diversity of what was clicked in the first 14 days",
            y_title="sessions in the next 28 days, activity held",
            lines=(
                Line(
                    name="simulated",
                    role="simulated",
                    x=np.array([users.diversity[group].mean() for group in groups]),
                    y=means,
                    low=means - 2 * errors,
                    high=means + 2 * errors,
                ),
            ),
        ),
        explain="Varied users are active users, and at equal clicks and sessions no effect is "
        "seen. Nobody in the model likes variety for itself: it helps only by tiring users less.",
    )


def regression_slope(
    y: FloatArray, x: FloatArray, controls: Sequence[FloatArray]
) -> tuple[float, float]:
    """Coefficient of `x` in a least-squares regression with a constant, and its robust error.

    The error is White's (HC1). Source: Frisch, Waugh and Lovell for the residual form.

    Args:
        y: `float64 [n]`.
        x: `float64 [n]`.
        controls: further regressors, `float64 [n]` each.

    Raises:
        ContextError: `x` does not vary given the controls.
    """
    design = np.column_stack([np.ones(y.size), *controls])
    x_rest, y_rest = residual(x, design), residual(y, design)
    spread = float(x_rest @ x_rest)
    if not spread > 1e-12 * y.size:
        raise ContextError("the regressor must vary given the controls, got a constant")
    slope = float(x_rest @ y_rest) / spread
    errors = y_rest - slope * x_rest
    lost = y.size - design.shape[1] - 1
    variance = float(np.sum((x_rest * errors) ** 2)) / spread**2 * y.size / max(lost, 1)
    return slope, float(np.sqrt(variance))


def residual(values: FloatArray, design: FloatArray) -> FloatArray:
    """What a least-squares regression on `design` leaves of `values`, `float64 [n]`."""
    solution = np.linalg.lstsq(design, values, rcond=None)[0]
    return np.asarray(values - design @ solution)


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """The D28 of a policy that learns, against that of matrix factorization on the same users.

    Attributes:
        policy: its name.
        d28: share of users active on day 28.
        control: the same of matrix factorization.
        standard_error: of the difference, paired by user.
    """

    policy: str
    d28: float
    control: float
    standard_error: float

    @property
    def change(self) -> float:
        """Relative change."""
        return self.d28 / self.control - 1.0

    @property
    def change_error(self) -> float:
        """Its standard error, that of the control left aside."""
        return self.standard_error / self.control


def effects_are_small(effects: Sequence[Effect]) -> Finding:
    """Fact 23, of at least one policy that learns."""
    best = max(effects, key=lambda effect: effect.d28)
    figures = [
        Figure(
            name=f"change of D28 by {best.policy}, the best",
            value=best.change,
            standard_error=best.change_error,
            low=-_EFFECT,
            high=_EFFECT,
        ),
        *(
            Figure(
                name=f"change of D28 by {effect.policy}",
                value=effect.change,
                standard_error=effect.change_error,
                gated=False,
            )
            for effect in effects
            if effect is not best
        ),
        told("D28 of matrix factorization", [best.control]),
        told("change of return time elsewhere", [RETURN_TIME_EFFECT], source="KuaiSim"),
    ]
    places = np.arange(1.0, len(effects) + 1)
    changes = np.array([effect.change for effect in effects])
    errors = np.array([effect.change_error for effect in effects])
    return fact(23).finding(
        figures,
        plot=Plot(
            x_title="policy",
            categories=tuple(effect.policy for effect in effects),
            y_title="change of D28",
            lines=(
                Line(
                    name="simulated",
                    role="simulated",
                    x=places,
                    y=changes,
                    low=changes - 2 * errors,
                    high=changes + 2 * errors,
                    dots=True,
                ),
                Line(
                    name="accepted",
                    role="literature",
                    x=np.array([0.6, len(effects) + 0.4]),
                    y=np.zeros(2),
                    low=np.full(2, -_EFFECT),
                    high=np.full(2, _EFFECT),
                ),
            ),
        ),
    )
