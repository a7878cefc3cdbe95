"""How the clicks of one page depend on each other: three laws over the same attractiveness.

In all of them the user's patience reaches the first D ranks, P(D >= k) = gamma^(k-1), drawn once a
page, and a_k is the attractiveness of the item at rank k, redundancy with the items above included
(`response`). An empty slot uses up a rank and is never clicked.

    position     each of the ranks 1..D is clicked with probability a_k, independently
    cascade      the same, from the top, but a click with satisfaction y ends the page with
                 probability Phi((y - e) / se): the user has found enough
    multinomial  at most one click: the choice among the ranks 1..D and nothing, by odds
                 o_k = a_k / (1 - a_k) against 1 for nothing

Position bias after Craswell et al. 2008, "An experimental comparison of click position-bias
models"; the cascade is the dynamic Bayesian network of Chapelle and Zhang 2009 with patience gamma
after a skip and after a click that was not enough; the choice is McFadden's logit. What nothing
weighs is 1, as the base a0 of the logits sets the odds of all items against it.

P(click at rank k) is known in closed form, satisfaction y being normal with mean m_k and sd sy:

    position     gamma^(k-1) a_k
    cascade      E_k a_k, E_1 = 1, E_(k+1) = gamma E_k (1 - a_k s_k),
                 s_k = Phi((m_k - e) / sqrt(se^2 + sy^2))
    multinomial  sum over d >= k of P(D = d) o_k / (1 + o_1 + ... + o_d)

Where nothing satisfies enough the cascade is the position-based law, draw by draw.
"""

import math
from typing import NamedTuple

import numpy as np

from matinee_policies.arrays import FloatArray
from matinee_policies.compiled import lean_kernel
from matinee_simulator.logistic import logistic
from matinee_simulator.parameters import CLICK_MODELS, Parameters

POSITION = 0
CASCADE = 1
MULTINOMIAL = 2

_SMALLEST_TIME = 2.0**-54


class ClickLaw(NamedTuple):
    """A click model and its parameters, as kernels take them.

    Attributes:
        model: `POSITION`, `CASCADE` or `MULTINOMIAL`.
        persistence: gamma.
        enough: e.
        enough_sd: se.
        enough_spread: sqrt(se^2 + sy^2).
    """

    model: int
    persistence: float
    enough: float
    enough_sd: float
    enough_spread: float


def click_law(parameters: Parameters) -> ClickLaw:
    """The part of `parameters` that speaks of examination and of clicks on one page."""
    sd = float(parameters.cascade_enough_sd)
    return ClickLaw(
        model=CLICK_MODELS.index(parameters.click_model),
        persistence=float(parameters.examination_persistence),
        enough=float(parameters.cascade_enough),
        enough_sd=sd,
        enough_spread=math.hypot(sd, parameters.satisfaction_noise),
    )


@lean_kernel
def examined_ranks(draw: float, persistence: float, slots: int) -> int:
    """Number of ranks within patience, D of at most `slots`: P(D >= k) = persistence^(k-1).

    Args:
        draw: uniform in [0, 1).
        persistence: gamma.
        slots: slots of the page.
    """
    depth = 0
    reach = 1.0
    while depth < slots and draw < reach:
        depth += 1
        reach *= persistence
    return depth


@lean_kernel
def has_enough(law: ClickLaw, satisfaction: float, draw: float) -> bool:
    """Whether a user of a cascade looks no further after a click.

    Args:
        law: of the clicks.
        satisfaction: y of the click.
        draw: standard normal.
    """
    return satisfaction > law.enough + law.enough_sd * draw


@lean_kernel
def stop_probability(law: ClickLaw, satisfaction: float) -> float:
    """Probability that a click ends the page of a cascade, y not yet drawn, in [0, 1].

    Args:
        law: of the clicks.
        satisfaction: expected satisfaction E[y] with the item.
    """
    return 0.5 * math.erfc((law.enough - satisfaction) / (law.enough_spread * math.sqrt(2.0)))


@lean_kernel
def choice_score(logit: float, draw: float) -> float:
    """Score of one alternative of a multinomial choice; the largest is chosen.

    With a standard Gumbel variate added to each logit, the largest belongs to each alternative with
    its softmax probability, and a higher logit never loses an alternative its choice.

    Args:
        logit: log odds against choosing nothing, whose own logit is 0.
        draw: uniform in [0, 1).
    """
    return logit - math.log(max(-math.log1p(-draw), _SMALLEST_TIME))


@lean_kernel
def fill_click_chances(
    law: ClickLaw, logits: FloatArray, stops: FloatArray, out: FloatArray
) -> float:
    """P(click at rank k) of one page, and their sum, its expected clicks.

    Args:
        law: of the clicks.
        logits: of the attractiveness by rank, -inf for an empty slot, `float64 [L]`.
        stops: `stop_probability` by rank; read for a cascade alone, `float64 [L]`.
        out: receives the probabilities, `float64 [L]`.
    """
    slots = logits.shape[0]
    if law.model == MULTINOMIAL:
        _fill_choice_chances(law.persistence, logits, out)
    else:
        examined = 1.0
        for rank in range(slots):
            chance = logistic(logits[rank])
            out[rank] = examined * chance
            examined *= law.persistence
            if law.model == CASCADE:
                examined *= 1.0 - chance * stops[rank]
    total = 0.0
    for rank in range(slots):
        total += out[rank]
    return total


@lean_kernel
def _fill_choice_chances(persistence: float, logits: FloatArray, out: FloatArray) -> None:
    slots = logits.shape[0]
    for rank in range(slots):
        out[rank] = 0.0
    log_mass, reach = 0.0, 1.0
    for last in range(slots):
        # In logarithms, as the odds of a sure click would overflow.
        high, low = max(log_mass, logits[last]), min(log_mass, logits[last])
        log_mass = high + math.log1p(math.exp(low - high))
        here = reach * (1.0 - persistence) if last + 1 < slots else reach
        for rank in range(last + 1):
            out[rank] += here * math.exp(logits[rank] - log_mass)
        reach *= persistence


def examined_ranks_reference(draw: float, persistence: float, slots: int) -> int:
    """Plain twin of `examined_ranks`: the inverse of the geometric survival function."""
    if persistence == 1.0 or draw == 0.0:
        return slots
    return min(slots, math.ceil(math.log(draw) / math.log(persistence)))


def choice_score_reference(logit: float, draw: float) -> float:
    """Plain twin of `choice_score`."""
    return logit - math.log(max(-math.log(1.0 - draw), _SMALLEST_TIME))


def click_chances_reference(law: ClickLaw, logits: FloatArray, stops: FloatArray) -> FloatArray:
    """Plain twin of `fill_click_chances`: the closed forms, over arrays; finite odds only."""
    ranks = np.arange(logits.size)
    if law.model == MULTINOMIAL:
        odds = np.exp(logits)
        depths = law.persistence**ranks * np.append(np.full(ranks[1:].size, 1 - law.persistence), 1)
        by_depth = depths / (1.0 + np.cumsum(odds))
        return np.asarray(odds * np.cumsum(by_depth[::-1])[::-1])
    chances = 1.0 / (1.0 + np.exp(-logits))
    going_on = 1.0 - chances * stops if law.model == CASCADE else np.ones(logits.size)
    examined = law.persistence**ranks * np.append(1.0, np.cumprod(going_on)[:-1])
    return np.asarray(examined * chances)
