"""Who rates what in drawn data.

The number of ratings of each item and of each user is fixed first, from curves that follow
MovieLens latest-small; then each item's raters are drawn so that both sets of numbers hold exactly.
"""

import numpy as np

from matinee_policies.arrays import (
    AnyArray,
    BoolArray,
    Float32Array,
    FloatArray,
    Int64Array,
)

MIN_RATINGS = 20
"""MovieLens keeps users with at least this many ratings."""

# Least-squares fits to the sorted counts of MovieLens latest-small.
# Items: count at rank share q is proportional to q^-0.254 (1 + q / 0.1444)^-1.919.
_ITEM_HEAD, _ITEM_KNEE, _ITEM_TAIL = 0.254, 0.1444, 1.919
_ITEM_ROUNDING = 0.30
# Users: log(count - 20 + 2) is normal.
_USER_MEAN, _USER_SPREAD, _USER_SHIFT = 3.94, 1.50, 2.0
_LARGEST_USER_SHARE = 0.28
_LARGEST_ITEM_SHARE = 0.54
_UNAVAILABLE = 20.0


def draw_user_counts(random: np.random.Generator, *, n_users: int, n_items: int) -> Int64Array:
    """Ratings per user, at least 20 each, heavy tailed, `int64 [N]`."""
    z = _normal_quantile(_stratified(random, n_users))
    counts = MIN_RATINGS + np.exp(_USER_MEAN + _USER_SPREAD * z) - _USER_SHIFT
    largest = max(float(MIN_RATINGS), _LARGEST_USER_SHARE * n_items)
    return np.clip(np.rint(counts), MIN_RATINGS, largest).astype(np.int64)


def draw_item_counts(
    random: np.random.Generator, *, n_users: int, n_items: int, total: int
) -> Int64Array:
    """Ratings per item, at least 1 each, adding up to `total`, descending, `int64 [M]`."""
    q = np.sort(_stratified(random, n_items))
    shape = q**-_ITEM_HEAD * (1.0 + q / _ITEM_KNEE) ** -_ITEM_TAIL
    largest = max(1, int(_LARGEST_ITEM_SHARE * n_users))

    def counts(scale: float) -> Int64Array:
        rounded = np.floor(scale * shape + _ITEM_ROUNDING)
        return np.clip(rounded, 1, largest).astype(np.int64)

    low, high = 0.0, float(n_users) / shape[-1]
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if counts(middle).sum() <= total else (low, middle)
    drawn = counts(low)
    # What rounding left over goes to the items next in line, one each.
    missing = total - int(drawn.sum())
    room = np.flatnonzero((drawn > 1) & (drawn < largest))
    while missing > 0:
        chosen = random.permutation(room)[:missing]
        drawn[chosen] += 1
        missing -= chosen.size
        room = np.flatnonzero(drawn < largest)
    return np.sort(drawn)[::-1].copy()


def draw_raters(
    random: np.random.Generator,
    *,
    user_counts: Int64Array,
    item_counts: Int64Array,
    affinity: Float32Array,
    available: BoolArray,
) -> BoolArray:
    """Who rated what, with exactly the given numbers per user and per item.

    Args:
        random: generator to draw from.
        user_counts: ratings of each user, `int64 [N]`.
        item_counts: ratings of each item, with the same sum, `int64 [M]`.
        affinity: log of how much more likely a user takes an item than its like, `float32 [M, N]`.
        available: which items a user can know; others are taken only where the numbers leave no
            choice, `bool [M, N]`.

    Returns:
        `bool [N, M]`.
    """
    known = (available * item_counts[:, None]).sum(axis=0) / item_counts.sum()
    weights = _user_weights(user_counts, item_counts) / np.maximum(known, 0.02)
    noise = random.random(affinity.shape, dtype=np.float32)
    # Largest of log weight plus Gumbel noise: sampling without replacement.
    keys = affinity + np.log(weights).astype(np.float32)
    keys -= np.log(-np.log(np.maximum(noise, np.float32(1e-12))))
    keys[~available] -= np.float32(_UNAVAILABLE)
    order = np.argsort(-keys, axis=1)
    taken = np.arange(user_counts.size) < item_counts[:, None]
    rated = np.zeros((user_counts.size, item_counts.size), dtype=np.bool_)
    rated[order[taken], np.nonzero(taken)[0]] = True
    _balance(random, rated, user_counts=user_counts, available=available.T)
    return rated


def _stratified(random: np.random.Generator, n: int) -> FloatArray:
    """One uniform number from each of `n` equal strata of (0, 1), shuffled."""
    strata = (np.arange(n) + np.clip(random.random(n), 1e-9, 1 - 1e-9)) / n
    return random.permutation(strata)


def _normal_quantile(p: FloatArray) -> FloatArray:
    """Inverse of the normal distribution, by its logistic approximation (error below .02).

    Source: Shore 1982, "Simple approximations for the inverse cumulative function".
    """
    upper = np.where(p >= 0.5, p, 1.0 - p)
    z = 5.5556 * (1.0 - ((1.0 - upper) / upper) ** 0.1186)
    return np.where(p >= 0.5, z, -z)


def _user_weights(user_counts: Int64Array, item_counts: Int64Array) -> FloatArray:
    """Weights a_u for which raters drawn without replacement give about the user counts.

    A user takes an item with probability 1 - exp(-a_u t), where t of an item makes its number of
    raters right; solved in turns over users and over the distinct item counts.
    """
    distinct, multiplicity = np.unique(item_counts, return_counts=True)
    weights = user_counts / user_counts.mean()
    t = distinct / user_counts.size
    for _ in range(60):
        share = -np.expm1(-weights[:, None] * t[None, :])
        t = t * distinct / share.sum(axis=0)
        share = -np.expm1(-weights[:, None] * t[None, :])
        weights = weights * user_counts / (share * multiplicity).sum(axis=1)
    return np.asarray(weights)


def _balance(
    random: np.random.Generator,
    rated: BoolArray,
    *,
    user_counts: Int64Array,
    available: BoolArray,
) -> None:
    """Hand items from users with too many to users with too few, in place.

    Items that the taker can know are handed first. When no giver has anything new for a taker, one
    of them hands an item to a third user instead, who may have.
    """
    excess = rated.sum(axis=1) - user_counts
    while (excess < 0).any():
        taker = int(np.argmin(excess))
        for allowed in (available[taker], True):
            for giver in np.argsort(-excess, kind="stable"):
                if excess[taker] == 0 or excess[giver] <= 0:
                    break
                offered = np.flatnonzero(rated[giver] & ~rated[taker] & allowed)
                most = min(int(excess[giver]), -int(excess[taker]), offered.size)
                chosen = random.choice(offered, most, replace=False)
                _hand(rated, excess, items=chosen, giver=int(giver), taker=taker)
        if excess[taker] < 0:
            giver = int(random.choice(np.flatnonzero(excess > 0)))
            third = int(random.integers(excess.size))
            offered = np.flatnonzero(rated[giver] & ~rated[third])
            if offered.size:
                _hand(rated, excess, items=offered[:1], giver=giver, taker=third)


def _hand(rated: BoolArray, excess: Int64Array, *, items: AnyArray, giver: int, taker: int) -> None:
    rated[giver, items], rated[taker, items] = False, True
    excess[giver] -= items.size
    excess[taker] += items.size
