"""From what people did to ratings between 0.5 and 5 stars, the scale that truths are fitted on.

Pure functions on arrays. Each mapping is one line of arithmetic, and each says itself in words.

    ratings   within 0.5 and 5 as they stand; any other scale [low, high] linearly onto [0.5, 5]
    plays     3 + log2(n / g_u) / 2, n times played, g_u the user's geometric mean of n
    watched   0.5 + 4.5 f, f the watched fraction

Plays and watched fractions are rounded to half stars. A user who plays an item twice as often as
their other items gives it half a star more: how active a user is says nothing of taste.
"""

from typing import Literal

import numpy as np

from matinee_policies.arrays import FloatArray, Int64Array

FeedbackKind = Literal["ratings", "plays", "watched"]

STARS = (0.5, 5.0)
"""Least and largest rating of the scale."""

_MOST_LEVELS = 40
_PLAYED_AS_USUAL = 3.0
_STARS_PER_DOUBLING = 0.5


def ratings_to_stars(
    values: FloatArray, scale: tuple[float, float] | None
) -> tuple[FloatArray, str]:
    """Ratings of any scale as stars.

    Args:
        values: ratings within `scale`, not all alike, `[n]`.
        scale: least and largest possible rating; by default those that occur. A scale within 0.5
            and 5 is left as it stands.

    Returns:
        Stars, and the mapping in words, empty if there is none.

    Example:
        >>> ratings_to_stars(np.array([0.0, 50.0, 100.0]), None)
        (array([0.5 , 2.75, 5.  ]), 'ratings from 0 to 100 mapped linearly to 0.5-5 stars')
    """
    low, high = scale or (float(values.min()), float(values.max()))
    if low >= STARS[0] and high <= STARS[1]:
        stars, words = values, ""
    else:
        stars = STARS[0] + (STARS[1] - STARS[0]) * (values - low) / (high - low)
        words = f"ratings from {low:g} to {high:g} mapped linearly to 0.5-5 stars"
    if np.unique(stars).size > _MOST_LEVELS:
        stars = np.round(stars, 1)
        words = f"{words or 'ratings'} in tenths of a star"
    return stars, words


def plays_to_stars(plays: FloatArray, users: Int64Array) -> tuple[FloatArray, str]:
    """Numbers of plays of each (user, item) pair as stars.

    Args:
        plays: > 0, `[n]`.
        users: row of the user of each pair, `[n]`.

    Example:
        >>> plays_to_stars(np.array([1.0, 4.0, 7.0]), np.array([0, 0, 1]))[0]
        array([2.5, 3.5, 3. ])
    """
    logs = np.log2(plays)
    counts = np.maximum(np.bincount(users), 1)
    usual = np.bincount(users, weights=logs) / counts
    stars = _half_stars(_PLAYED_AS_USUAL + _STARS_PER_DOUBLING * (logs - usual[users]))
    return stars, (
        "plays mapped to stars: 3 for a user's usual number, half a star for each doubling"
    )


def watched_to_stars(fractions: FloatArray) -> tuple[FloatArray, str]:
    """Watched fractions within 0 and 1 as stars.

    Example:
        >>> watched_to_stars(np.array([0.0, 0.5, 1.0]))[0]
        array([0.5, 3. , 5. ])
    """
    stars = _half_stars(STARS[0] + (STARS[1] - STARS[0]) * fractions)
    return stars, "watched fractions 0-1 mapped linearly to 0.5-5 stars"


def _half_stars(stars: FloatArray) -> FloatArray:
    # Halves go up, so that no level gets more than its share.
    return np.asarray(np.clip(np.floor(2.0 * stars + 0.5) / 2.0, *STARS))
