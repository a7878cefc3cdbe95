"""Appeal: how much more an item is clicked than its ratings and its age explain.

    c = .6 e + .8 v,    log popularity = [1, b_i, age] . w + e,    v ~ N(0, 1)

e, the part that public counts reveal, and v, which nothing reveals, are standardised residuals of
the same regression, so that c is uncorrelated with the rating bias b_i and with age. Age comes in
with its square: the middle years of a catalogue have the most ratings, and are no clickbait.
"""

import numpy as np
from numpy.typing import NDArray

from matinee_policies.arrays import AnyArray, FloatArray, IndexArray, Int64Array
from matinee_policies.interactions import Interactions
from matinee_policies.philox import stream_key
from matinee_simulator.draws import normals

_SEEN = 0.6
_HIDDEN = 0.8


def appeal_gap(
    popularity: Int64Array,
    item_bias: AnyArray,
    *,
    age: FloatArray,
    items: IndexArray,
    seed: int,
) -> FloatArray:
    """Appeal c of every item, mean 0 and sd 1.

    Args:
        popularity: number of ratings, >= 1, `int64 [M]`.
        item_bias: b, `[M]`.
        age: what `age_columns` gives, `float64 [M, a]`.
        items: what the hidden part of each item is drawn for, `int32 [M]`.
        seed: of the hidden part.

    Returns:
        `float64 [M]`, uncorrelated with `item_bias` and with each column of `age`.
    """
    design = np.column_stack([np.ones(len(item_bias)), standardised(_wide(item_bias)), age])
    key = stream_key(seed, "world", "appeal")
    hidden = normals(key, items.astype(np.uint64), 1)[:, 0]
    seen = standardised(_residual(design, np.log(popularity)))
    return standardised(_SEEN * seen + _HIDDEN * standardised(_residual(design, hidden)))


def age_columns(years: NDArray[np.int16], first_rated: Int64Array) -> FloatArray:
    """What is regressed on to take age out of a quantity of items.

    Year of release where it is known, else the time of the first rating: each with its square, and
    with a mean of its own for either group, since the two are on different clocks.

    Args:
        years: of release, 0 if unknown, `int16 [M]`.
        first_rated: unix seconds of the earliest rating, `int64 [M]`.

    Returns:
        `float64 [M, a]`, columns that do not vary left out, so `a` may be 0.

    Example:
        >>> age_columns(np.array([1990, 2000, 2010], dtype=np.int16), np.zeros(3, dtype=np.int64))
        array([[-1.22474487,  1.5       ],
               [ 0.        ,  0.        ],
               [ 1.22474487,  1.5       ]])
    """
    known = years > 0
    columns = [known.astype(np.float64)]
    for group, clock in ((known, years), (~known, first_rated)):
        column = np.zeros(years.size)
        if group.any():
            column[group] = standardised(_wide(clock[group]))
        columns += [column, column**2]
    varying = [column for column in columns if column.size and np.ptp(column) > 0.0]
    return np.column_stack(varying) if varying else np.zeros((years.size, 0))


def first_rated(interactions: Interactions) -> Int64Array:
    """Unix seconds of the earliest rating of every item, the largest number if there is none.

    Args:
        interactions: of `M` items.

    Returns:
        `int64 [M]`.
    """
    earliest = np.full(interactions.n_items, np.iinfo(np.int64).max)
    np.minimum.at(earliest, interactions.matrix.indices, interactions.times)
    return earliest


def standardised(values: FloatArray) -> FloatArray:
    """Values with mean 0 and sd 1; zeros where they do not vary."""
    centred = values - values.mean()
    sd = float(centred.std())
    return np.asarray(centred / sd if sd > 1e-12 else np.zeros_like(centred))


def _residual(design: FloatArray, values: FloatArray) -> FloatArray:
    """What of `values` least squares on the columns of `design` leave."""
    return np.asarray(values - design @ np.linalg.lstsq(design, values, rcond=None)[0])


def _wide(values: AnyArray) -> FloatArray:
    return np.asarray(values, dtype=np.float64)
