"""What a data set holds, in figures, and what a person should know before they use it."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from matinee_policies.catalogue import Catalogue
from matinee_policies.datasets.dataset import Dataset
from matinee_policies.datasets.shape_statistics import gini
from matinee_policies.tag_table import TagTable

LEAST_RATINGS = 5
"""Ratings that an item needs to enter a simulated world."""

_LEAST_ITEMS = 20
_NOTABLE_SHARE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class DataInfo:
    """Figures of a data set.

    Attributes:
        name: of the set.
        description: which data this is.
        users: number of users.
        items: number of items.
        interactions: pairs of user and item.
        ratings: least, mean and largest rating in stars, and how many levels occur.
        times: first and last day, and the days between; None where the data have no times.
        density: share of all pairs of user and item.
        gini_items: inequality of the items' numbers of ratings, in [0, 1].
        gini_users: the same of the users'.
        singleton_items: share of the items with a single rating.
        singleton_users: share of the users with a single rating.
        usable_items: items with enough ratings for a simulated world.
        catalogue: share of the items with a year, genres, people, keywords; number of genres.
        problems: what a person should know, a plain line each.
    """

    name: str
    description: str
    users: int
    items: int
    interactions: int
    ratings: dict[str, float]
    times: dict[str, Any] | None
    density: float
    gini_items: float
    gini_users: float
    singleton_items: float
    singleton_users: float
    usable_items: int
    catalogue: dict[str, float]
    problems: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {**asdict(self), "problems": list(self.problems)}


def describe_data(dataset: Dataset, *, has_times: bool = True) -> DataInfo:
    """Count what a data set holds.

    Args:
        dataset: the data.
        has_times: whether its times are times, not the order of its rows.
    """
    interactions = dataset.interactions
    items, users = interactions.item_counts(), interactions.user_counts()
    stars = interactions.matrix.data
    levels = np.unique(stars)
    usable = int((items >= LEAST_RATINGS).sum())
    return DataInfo(
        name=dataset.name,
        description=dataset.description,
        users=interactions.n_users,
        items=interactions.n_items,
        interactions=int(interactions.matrix.nnz),
        ratings={
            "least": float(levels[0]),
            "mean": float(stars.mean(dtype=np.float64)),
            "largest": float(levels[-1]),
            "levels": levels.size,
        },
        times=_span(interactions.times) if has_times else None,
        density=interactions.matrix.nnz / (interactions.n_users * interactions.n_items),
        gini_items=gini(items),
        gini_users=gini(users),
        singleton_items=float((items == 1).mean()),
        singleton_users=float((users == 1).mean()),
        usable_items=usable,
        catalogue=_fields(dataset.catalogue),
        problems=(*dataset.notes, *_problems(items, users, usable, dataset.catalogue)),
    )


def _span(times: "np.ndarray[Any, np.dtype[np.int64]]") -> dict[str, Any]:
    first, last = int(times.min()), int(times.max())
    days = [datetime.fromtimestamp(moment, tz=UTC).date().isoformat() for moment in (first, last)]
    return {"first": days[0], "last": days[1], "days": (last - first) / 86_400}


def _fields(catalogue: Catalogue) -> dict[str, float]:
    return {
        "year": float((catalogue.years > 0).mean()),
        "genres": float(catalogue.genres.any(axis=1).mean()),
        "people": _share_with(catalogue.people),
        "keywords": _share_with(catalogue.keywords),
        "genre_names": len(catalogue.genre_names),
    }


def _share_with(tags: TagTable) -> float:
    return float((np.diff(tags.indptr) > 0).mean())


def _problems(
    items: "np.ndarray[Any, np.dtype[np.int64]]",
    users: "np.ndarray[Any, np.dtype[np.int64]]",
    usable: int,
    catalogue: Catalogue,
) -> list[str]:
    problems = []
    if usable < _LEAST_ITEMS:
        problems.append(
            f"only {usable} items have at least {LEAST_RATINGS} ratings; a simulated world needs "
            f"{_LEAST_ITEMS}"
        )
    unrated = int((items == 0).sum())
    if unrated:
        problems.append(f"{unrated:,} items have no rating")
    if float((users == 1).mean()) > _NOTABLE_SHARE:
        problems.append("more than half of the users have a single rating: little taste to learn")
    if not catalogue.genre_names:
        problems.append("no genres: users have no topics to tire of, diversity is by taste alone")
    return problems
