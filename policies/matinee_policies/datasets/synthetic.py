"""A drawn catalogue with ratings, for work without real data.

Its shape follows MovieLens latest-small: who rates how much, which films everyone knows, how stars
are spread, how much taste there is beyond them. Every figure is held by a test.
"""

import numpy as np

from matinee_policies.arrays import FloatArray, Int64Array
from matinee_policies.catalogue import Catalogue
from matinee_policies.config import check_whole
from matinee_policies.datasets import synthetic_activity as activity
from matinee_policies.datasets.dataset import Dataset
from matinee_policies.datasets.synthetic_films import FilmPlan, make_catalogue, plan_films
from matinee_policies.datasets.synthetic_ratings import draw_opinions, draw_ratings
from matinee_policies.datasets.synthetic_times import draw_careers, draw_releases, draw_times
from matinee_policies.datasets.synthetic_words import THEMES
from matinee_policies.errors import ConfigError
from matinee_policies.interactions import Interactions
from matinee_policies.philox import stream_key

N_USERS = 610
N_ITEMS = 9_724

_LEAST_USERS, _LEAST_ITEMS = 20, 60
_MOST_PAIRS = 100_000_000
_TASTE_PULL = 1.6


def synthetic_dataset(*, seed: int = 0, n_users: int = N_USERS, n_items: int = N_ITEMS) -> Dataset:
    """Draw a catalogue with about 165 ratings per user, at least 20 each.

    Time and memory grow with `n_users * n_items`: about a second at the default sizes.

    Args:
        seed: equal seeds give equal data.
        n_users: number of users, at least 20.
        n_items: number of films, at least 60 and few enough that each can have a rating.

    Raises:
        ConfigError: a number is out of its range.
    """
    check_whole("seed", seed, low=0)
    check_whole("n_users", n_users, low=_LEAST_USERS)
    check_whole("n_items", n_items, low=_LEAST_ITEMS)
    if n_users * n_items > _MOST_PAIRS:
        raise ConfigError(
            f"n_users * n_items must be at most {_MOST_PAIRS:,}, got {n_users * n_items:,}"
        )
    user_counts = activity.draw_user_counts(
        _stream(seed, "users"), n_users=n_users, n_items=n_items
    )
    total = int(user_counts.sum())
    if total < n_items:
        raise ConfigError(
            f"n_items must be at most {total}, the ratings of {n_users} users, got {n_items}"
        )
    plan = plan_films(_stream(seed, "films"), n_items)
    item_counts = np.empty(n_items, dtype=np.int64)
    item_counts[np.argsort(-plan.popularity)] = activity.draw_item_counts(
        _stream(seed, "items"), n_users=n_users, n_items=n_items, total=total
    )
    catalogue = make_catalogue(_stream(seed, "catalogue"), plan, item_counts)
    return Dataset(
        name="synthetic",
        description=(
            f"synthetic catalogue, {n_users:,} users, {n_items:,} films, {total:,} ratings drawn "
            f"with seed {seed} (no real data: set MATINEE_DATA or --data DIR)"
        ),
        catalogue=catalogue,
        interactions=_draw_interactions(
            seed, plan, catalogue=catalogue, user_counts=user_counts, item_counts=item_counts
        ),
    )


def _draw_interactions(
    seed: int,
    plan: FilmPlan,
    *,
    catalogue: Catalogue,
    user_counts: Int64Array,
    item_counts: Int64Array,
) -> Interactions:
    n_users = user_counts.size
    opinions = draw_opinions(
        _stream(seed, "opinions"),
        n_users=n_users,
        genres=catalogue.genres,
        item_counts=item_counts,
        quality=_quality(plan),
    )
    careers = draw_careers(_stream(seed, "careers"), n_users)
    releases = draw_releases(_stream(seed, "releases"), plan.years)
    rated = activity.draw_raters(
        _stream(seed, "raters"),
        user_counts=user_counts,
        item_counts=item_counts,
        affinity=np.float32(_TASTE_PULL) * opinions.taste() + careers.nearness(releases),
        available=careers.knows(releases),
    )
    users, items = (rows.astype(np.int32) for rows in np.nonzero(rated))
    return Interactions.from_triplets(
        users,
        items,
        draw_ratings(_stream(seed, "ratings"), opinions, users=users, items=items),
        draw_times(
            _stream(seed, "times"), users=users, items=items, careers=careers, releases=releases
        ),
        user_ids=np.arange(1, n_users + 1, dtype=np.int64),
        item_ids=catalogue.ids,
        rating_range=(0.5, 5.0),
    )


def _stream(seed: int, purpose: str) -> np.random.Generator:
    return np.random.default_rng(int(stream_key(seed, "synthetic", purpose)))


def _quality(plan: FilmPlan) -> FloatArray:
    return np.array([theme.quality for theme in THEMES])[plan.themes]
