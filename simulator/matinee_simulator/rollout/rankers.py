"""Rankers that do not learn: how a page is made of its candidates.

`popularity_order` takes its candidates by popularity; all others choose among the `K` best of the
platform's view of the user. Each fills slots by largest value minus price times the largest
similarity to the items above, the better candidate first among equals.
"""

from typing import NamedTuple

from matinee_policies.config import check_range
from matinee_simulator.oracle import CLICK, INDEX, SATISFACTION

RANDOM = 4
POPULARITY = 5
RELEVANCE = 6
"""Codes of values that are no part of the truth; the others are those of the oracle."""


class Ranker(NamedTuple):
    """What orders the candidates of a page; made by the functions below.

    Attributes:
        name: for tables.
        code: of the value of a candidate.
        scale: factor of that value.
        price: of one unit of similarity to the most similar item above, in units of scaled value.
        satisfaction_weight: `ws` of the index.
        satiation_price: `wh` of the index.
    """

    name: str
    code: int
    scale: float = 1.0
    price: float = 0.0
    satisfaction_weight: float = 0.0
    satiation_price: float = 0.0


def random_order() -> Ranker:
    """The candidates in random order."""
    return Ranker("random", RANDOM)


def popularity_order() -> Ranker:
    """The items most rated before the run, whoever the user is."""
    return Ranker("popularity", POPULARITY)


def relevance_order() -> Ranker:
    """The order of the platform's matrix factorization, folded in from the user's own history."""
    return Ranker("relevance", RELEVANCE)


def mmr_order(weight: float) -> Ranker:
    """Maximal marginal relevance: weight * relevance - (1 - weight) * largest similarity above.

    Relevance is the platform's raw score in standard deviations of the known ratings, similarity
    the cosine of the platform's embeddings, at least 0.

    Args:
        weight: of relevance, in [0, 1]; 1 is `relevance_order`.
    """
    check_range("weight", weight, low=0.0, high=1.0)
    return Ranker(f"mmr {weight:g}", RELEVANCE, float(weight), 1.0 - weight)


def click_order() -> Ranker:
    """By the true probability of a click, redundancy left aside: the myopic click oracle."""
    return Ranker("click oracle", CLICK)


def satisfaction_order() -> Ranker:
    """By the true expected satisfaction with a click: the myopic satisfaction oracle."""
    return Ranker("satisfaction oracle", SATISFACTION)


def index_order(
    satisfaction_weight: float, satiation_price: float, mmr_price: float = 0.0
) -> Ranker:
    """By the true long-run index (simulator.oracle.Oracle.index), with a price of similarity.

    index_i = sigmoid(a) (1 + ws E[y]) - wh sigmoid(a) (<h, g> + |g|^2 / 2)

    Args:
        satisfaction_weight: ws >= 0, what satisfaction is worth beside a click.
        satiation_price: wh >= 0, what satiation costs.
        mmr_price: >= 0, of the largest similarity to the items above, in clicks.
    """
    check_range("satisfaction_weight", satisfaction_weight, low=0.0)
    check_range("satiation_price", satiation_price, low=0.0)
    check_range("mmr_price", mmr_price, low=0.0)
    return Ranker(
        f"index ws={satisfaction_weight:g} wh={satiation_price:g} mmr={mmr_price:g}",
        INDEX,
        1.0,
        float(mmr_price),
        float(satisfaction_weight),
        float(satiation_price),
    )
