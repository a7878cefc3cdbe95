"""Whether a user comes back: session utility, goodwill, the daily return and churn.

    Z = zc tanh(mean clicked y) + .25 log(1 + clicks) 1[sum y > 0]      (zn without a click)
    S <- S + eta (Z - S)                                                after each session
    P(visit on day t | away w days) = sigmoid(r0 + phi_u + r1 S - r2 log(1 + w) + season_t)
    P(churn for good after session m) = sigmoid(k0 - k1 S - k2 log(1 + m))

`w` counts whole days without a visit: 0 on the day after a visit. season_t is a term of the day of
the week (`season`), which callers add to the frailty phi_u. `retention_sensitivity` scales
r1 and k1, the only way by which what is shown reaches who returns.
"""

import math
from typing import NamedTuple

import numpy as np

from matinee_policies.arrays import AnyArray, FloatArray
from matinee_policies.compiled import lean_kernel
from matinee_simulator.logistic import logistic
from matinee_simulator.parameters import Parameters


class RetentionWeights(NamedTuple):
    """The parameters of goodwill, return and churn, as kernels take them."""

    clicked: float
    clicks: float
    no_click: float
    step: float
    return_base: float
    return_goodwill: float
    return_absence: float
    churn_base: float
    churn_goodwill: float
    churn_tenure: float
    season_amplitude: float
    season_peak: float


def retention_weights(parameters: Parameters) -> RetentionWeights:
    """The part of `parameters` that speaks of coming back, sensitivity applied."""
    sensitivity = float(parameters.retention_sensitivity)
    return RetentionWeights(
        clicked=float(parameters.utility_clicked),
        clicks=float(parameters.utility_clicks),
        no_click=float(parameters.utility_no_click),
        step=float(parameters.goodwill_step),
        return_base=float(parameters.return_base),
        return_goodwill=sensitivity * parameters.return_goodwill,
        return_absence=float(parameters.return_absence),
        churn_base=float(parameters.churn_base),
        churn_goodwill=sensitivity * parameters.churn_goodwill,
        churn_tenure=float(parameters.churn_tenure),
        season_amplitude=float(parameters.season_amplitude),
        season_peak=float(parameters.season_peak),
    )


@lean_kernel
def session_utility(weights: RetentionWeights, clicks: int, satisfaction: float) -> float:
    """Z of a session.

    Args:
        weights: of retention.
        clicks: clicks of the session.
        satisfaction: sum of y over them.
    """
    if clicks == 0:
        return weights.no_click
    utility = weights.clicked * math.tanh(satisfaction / clicks)
    if satisfaction > 0.0:
        utility += weights.clicks * math.log1p(clicks)
    return utility


@lean_kernel
def next_goodwill(weights: RetentionWeights, goodwill: float, utility: float) -> float:
    """S after a session of the given utility."""
    return goodwill + weights.step * (utility - goodwill)


@lean_kernel
def return_probability(
    weights: RetentionWeights, frailty: float, goodwill: float, days_away: int
) -> float:
    """Probability of a visit today, in [0, 1].

    Args:
        weights: of retention.
        frailty: the user's phi_u, and the day's season.
        goodwill: S.
        days_away: whole days without a visit since the last one, >= 0.
    """
    return logistic(
        weights.return_base
        + frailty
        + weights.return_goodwill * goodwill
        - weights.return_absence * math.log1p(days_away)
    )


@lean_kernel
def churn_probability(weights: RetentionWeights, goodwill: float, sessions: int) -> float:
    """Probability of never coming back after this session, in [0, 1].

    Args:
        weights: of retention.
        goodwill: S, the session included.
        sessions: sessions so far, this one included, >= 1.
    """
    return logistic(
        weights.churn_base
        - weights.churn_goodwill * goodwill
        - weights.churn_tenure * math.log1p(sessions)
    )


def session_utility_reference(
    weights: RetentionWeights, clicks: AnyArray | float, satisfaction: AnyArray | float
) -> FloatArray:
    """Plain twin of `session_utility`, over arrays."""
    mean = satisfaction / np.maximum(clicks, 1)
    bonus = np.where(satisfaction > 0, weights.clicks * np.log(1 + clicks), 0.0)
    return np.where(clicks > 0, weights.clicked * np.tanh(mean) + bonus, weights.no_click)


def return_probability_reference(
    weights: RetentionWeights,
    frailty: AnyArray | float,
    goodwill: AnyArray | float,
    days_away: AnyArray | float,
) -> FloatArray:
    """Plain twin of `return_probability`, over arrays."""
    logit = weights.return_base + frailty + weights.return_goodwill * goodwill
    return np.asarray(1.0 / (1.0 + np.exp(weights.return_absence * np.log(1 + days_away) - logit)))


def churn_probability_reference(
    weights: RetentionWeights, goodwill: AnyArray | float, sessions: AnyArray | float
) -> FloatArray:
    """Plain twin of `churn_probability`, over arrays."""
    logit = weights.churn_base - weights.churn_goodwill * goodwill
    return np.asarray(1.0 / (1.0 + np.exp(weights.churn_tenure * np.log(1 + sessions) - logit)))
