"""Sums and sums of products of the columns, block by block, in an order that no part can change.

Within a block of `BLOCK` rows, 64 lanes add up side by side and are folded in halves; blocks are
added with the error of each addition kept (Knuth's two-sum), so totals lose next to nothing.
"""

import numpy as np

from matinee_platform.ope.row_columns import BLOCK, SLOT, E, P, R, U, X, Y, fill_columns
from matinee_platform.ope.weight_grid import factor, factor_reference
from matinee_policies.arrays import FloatArray, Int64Array
from matinee_policies.compiled import inlined_kernel, lean_kernel

LANES = 64

SUMS = ("u", "x", "e", "y", "r", "uu", "ux", "xx", "ee", "ey", "yy", "uy", "ue", "positives")
"""Sums of a slot: of the columns, of their products, and rows with `u r` above 0."""

EXTREMES = ("largest_u", "least_u", "largest_p", "least_p")
"""Extremes of a slot: of the weights and of the logged probabilities."""

GRID_SUMS = ("c", "cc", "v", "vv")
"""Sums of one point of a grid in one slot: terms, tamed weights, and their squares."""

_N_SUMS = 14
_N_ALL = 18
_REWARDS, _POSITIVES, _HIGH_U, _LOW_U, _HIGH_P, _LOW_P = 4, 13, 14, 15, 16, 17


@lean_kernel
def add_rows(
    rewards: FloatArray,
    logged: FloatArray,
    target: FloatArray,
    predicted: FloatArray,
    expected: FloatArray,
    form: int,
    rows: int,
    z: FloatArray,
    lanes: FloatArray,
    sums: FloatArray,
    extremes: FloatArray,
    pairs: FloatArray,
    grid_forms: Int64Array,
    grid_models: Int64Array,
    grid_values: FloatArray,
    grid_sums: FloatArray,
    grid_largest: FloatArray,
    page_sums: FloatArray,
    terms: FloatArray,
) -> None:
    """Add rows to all sums in one pass; only the last block may be short.

    Args:
        rewards: `float64 [n, L]`, as the four arrays that follow, see `fill_columns`.
        logged: of the policy that chose.
        target: of the evaluated policy.
        predicted: without rows if there is no model.
        expected: likewise.
        form: of the weights.
        rows: how many of the `n`; behind a short block `z` must be free to write.
        z: room for the columns of a block, `[COLUMNS, L, WIDTH]`, zero where there is no model.
        lanes: room, `[18 * LANES]`.
        sums: `[2, L, len(SUMS)]`, totals and what their additions lost.
        extremes: `[L, len(EXTREMES)]`.
        pairs: sums of products of the first four columns over all slots, `[2, 4 L, 4 L]`, upper
            triangle; without entries where pages are not asked for.
        grid_forms: `[H]`, see `grid_codes`.
        grid_models: `[H]`.
        grid_values: `[H]`.
        grid_sums: `[2, H, L, len(GRID_SUMS)]`.
        grid_largest: largest tamed weight, `[H, L]`.
        page_sums: of each row's terms summed over slots, and of the squares, `[2, H, 2]`.
        terms: room for those of a block, `[H, BLOCK]`.
    """
    # Of one slot, with nothing but its own sums to make, whole blocks need no columns.
    plain = z.shape[1] == 1 and form == SLOT and predicted.shape[0] > 0
    plain = plain and pairs.shape[1] == 0 and grid_forms.shape[0] == 0
    for first in range(0, rows, BLOCK):
        count = min(BLOCK, rows - first)
        if plain and count == BLOCK:
            stop = first + BLOCK
            _add_one_slot(
                rewards.reshape(-1)[first:stop],
                logged.reshape(-1)[first:stop],
                target.reshape(-1)[first:stop],
                predicted.reshape(-1)[first:stop],
                expected.reshape(-1)[first:stop],
                lanes,
            )
            _add_lanes(lanes, 0, BLOCK, sums, extremes)
            continue
        fill_columns(rewards, logged, target, predicted, expected, form, first, count, z)
        if count < BLOCK:
            _clear_behind(z, count)
        for slot in range(z.shape[1]):
            _add_slot(z, slot, count, lanes, sums, extremes)
        if pairs.shape[1] > 0:
            _add_pairs(z, lanes, pairs)
        for h in range(grid_forms.shape[0]):
            for i in range(BLOCK):
                terms[h, i] = 0.0
            for slot in range(z.shape[1]):
                _add_point(
                    z,
                    slot,
                    lanes,
                    h,
                    grid_forms[h],
                    grid_models[h],
                    grid_values[h],
                    grid_sums,
                    grid_largest,
                    terms,
                )
            _add_pages(terms, h, lanes, page_sums)


@lean_kernel
def _add_one_slot(
    rewards: FloatArray,
    logged: FloatArray,
    target: FloatArray,
    predicted: FloatArray,
    expected: FloatArray,
    lanes: FloatArray,
) -> None:
    """Lanes of a whole block, straight from its arrays; the bits are those of `_add_slot`."""
    for j in range(_N_SUMS * LANES):
        lanes[j] = 0.0
    for j in range(LANES):
        lanes[_HIGH_U * LANES + j] = 0.0
        lanes[_LOW_U * LANES + j] = np.inf
        lanes[_HIGH_P * LANES + j] = 0.0
        lanes[_LOW_P * LANES + j] = np.inf
    for start in range(0, BLOCK, 2 * LANES):
        for j in range(LANES):
            i, k = start + j, start + LANES + j
            p, q = logged[i], logged[k]
            a, b = rewards[i], rewards[k]
            e, f = expected[i], expected[k]
            u, v = target[i] / p, target[k] / q
            x, s = u * a, v * b
            y, h = u * (a - predicted[i]), v * (b - predicted[k])
            lanes[_REWARDS * LANES + j] += a + b
            _take_terms(lanes, j, u, v, x, s, e, f, y, h)
            _take_chances(lanes, j, p, q)


@inlined_kernel
def _take_terms(
    lanes: FloatArray,
    j: int,
    u: float,
    v: float,
    x: float,
    s: float,
    e: float,
    f: float,
    y: float,
    h: float,
) -> None:
    """Add the columns of two rows, (u, x, e, y) and (v, s, f, h), to one of the lanes."""
    lanes[0 * LANES + j] += u + v
    lanes[1 * LANES + j] += x + s
    lanes[2 * LANES + j] += e + f
    lanes[3 * LANES + j] += y + h
    lanes[5 * LANES + j] += u * u + v * v
    lanes[6 * LANES + j] += u * x + v * s
    lanes[7 * LANES + j] += x * x + s * s
    lanes[8 * LANES + j] += e * e + f * f
    lanes[9 * LANES + j] += e * y + f * h
    lanes[10 * LANES + j] += y * y + h * h
    lanes[11 * LANES + j] += u * y + v * h
    lanes[12 * LANES + j] += u * e + v * f
    positive = (1.0 if x > 0.0 else 0.0) + (1.0 if s > 0.0 else 0.0)
    lanes[_POSITIVES * LANES + j] += positive
    high, low = (u if u > v else v), (u if u < v else v)
    old = lanes[_HIGH_U * LANES + j]
    lanes[_HIGH_U * LANES + j] = high if high > old else old
    old = lanes[_LOW_U * LANES + j]
    lanes[_LOW_U * LANES + j] = low if low < old else old


@inlined_kernel
def _take_chances(lanes: FloatArray, j: int, p: float, q: float) -> None:
    """Hold two logged probabilities against the extremes of one of the lanes."""
    high, low = (p if p > q else q), (p if p < q else q)
    old = lanes[_HIGH_P * LANES + j]
    lanes[_HIGH_P * LANES + j] = high if high > old else old
    old = lanes[_LOW_P * LANES + j]
    lanes[_LOW_P * LANES + j] = low if low < old else old


@lean_kernel
def _add_lanes(
    lanes: FloatArray, slot: int, count: int, sums: FloatArray, extremes: FloatArray
) -> None:
    """Fold the lanes into the totals of a slot; the least weight of whole blocks alone."""
    for k in range(_N_SUMS):
        _two_sum(sums, slot, k, _fold(lanes, k))
    for j in range(LANES):
        extremes[slot, 0] = max(extremes[slot, 0], lanes[_HIGH_U * LANES + j])
        if count == BLOCK:
            extremes[slot, 1] = min(extremes[slot, 1], lanes[_LOW_U * LANES + j])
        extremes[slot, 2] = max(extremes[slot, 2], lanes[_HIGH_P * LANES + j])
        extremes[slot, 3] = min(extremes[slot, 3], lanes[_LOW_P * LANES + j])


@lean_kernel
def _clear_behind(z: FloatArray, count: int) -> None:
    """Rows of weight 0 that leave all sums as they are, and all extremes but the least weight."""
    for slot in range(z.shape[1]):
        for i in range(count, BLOCK):
            for column in range(z.shape[0]):
                z[column, slot, i] = 0.0
            z[P, slot, i] = z[P, slot, 0]


@lean_kernel
def _add_slot(
    z: FloatArray, slot: int, count: int, lanes: FloatArray, sums: FloatArray, extremes: FloatArray
) -> None:
    us, xs, es, ys = z[U, slot], z[X, slot], z[E, slot], z[Y, slot]
    rs, ps = z[R, slot], z[P, slot]
    for j in range(_N_SUMS * LANES):
        lanes[j] = 0.0
    for j in range(LANES):
        lanes[_HIGH_U * LANES + j] = us[j]
        lanes[_LOW_U * LANES + j] = us[0]
        lanes[_HIGH_P * LANES + j] = ps[j]
        lanes[_LOW_P * LANES + j] = ps[j]
    # Two rows a turn: every lane is read and written half as often.
    for start in range(0, BLOCK, 2 * LANES):
        for j in range(LANES):
            u, v = us[start + j], us[start + LANES + j]
            x, s = xs[start + j], xs[start + LANES + j]
            e, f = es[start + j], es[start + LANES + j]
            y, h = ys[start + j], ys[start + LANES + j]
            _take_terms(lanes, j, u, v, x, s, e, f, y, h)
        for j in range(LANES):
            lanes[_REWARDS * LANES + j] += rs[start + j] + rs[start + LANES + j]
            _take_chances(lanes, j, ps[start + j], ps[start + LANES + j])
    _add_lanes(lanes, slot, count, sums, extremes)
    if count < BLOCK:
        for i in range(count):
            extremes[slot, 1] = min(extremes[slot, 1], us[i])


@lean_kernel
def _add_pairs(z: FloatArray, lanes: FloatArray, pairs: FloatArray) -> None:
    slots = z.shape[1]
    for a in range(4 * slots):
        left = z[a // slots, a % slots]
        for b in range(a, 4 * slots):
            right = z[b // slots, b % slots]
            for j in range(LANES):
                lanes[j] = 0.0
            for start in range(0, BLOCK, LANES):
                for j in range(LANES):
                    lanes[j] += left[start + j] * right[start + j]
            _two_sum(pairs, a, b, _fold(lanes, 0))


@lean_kernel
def _add_point(
    z: FloatArray,
    slot: int,
    lanes: FloatArray,
    h: int,
    form: int,
    model: int,
    value: float,
    grid_sums: FloatArray,
    grid_largest: FloatArray,
    terms: FloatArray,
) -> None:
    us, es = z[U, slot], z[E, slot]
    weighted = z[Y, slot] if model else z[X, slot]
    term = terms[h]
    for j in range(5 * LANES):
        lanes[j] = 0.0
    for start in range(0, BLOCK, LANES):
        for j in range(LANES):
            u = us[start + j]
            f = factor(form, u, value)
            c = f * weighted[start + j]
            if model:
                c += es[start + j]
            v = f * u
            term[start + j] += c
            lanes[0 * LANES + j] += c
            lanes[1 * LANES + j] += c * c
            lanes[2 * LANES + j] += v
            lanes[3 * LANES + j] += v * v
            high = lanes[4 * LANES + j]
            lanes[4 * LANES + j] = v if v > high else high
    for k in range(4):
        _two_sum_point(grid_sums, h, slot, k, _fold(lanes, k))
    for j in range(LANES):
        grid_largest[h, slot] = max(grid_largest[h, slot], lanes[4 * LANES + j])


@lean_kernel
def _add_pages(terms: FloatArray, h: int, lanes: FloatArray, page_sums: FloatArray) -> None:
    term = terms[h]
    for j in range(2 * LANES):
        lanes[j] = 0.0
    for start in range(0, BLOCK, LANES):
        for j in range(LANES):
            c = term[start + j]
            lanes[j] += c
            lanes[LANES + j] += c * c
    _two_sum(page_sums, h, 0, _fold(lanes, 0))
    _two_sum(page_sums, h, 1, _fold(lanes, 1))


@lean_kernel
def _fold(lanes: FloatArray, k: int) -> float:
    """Sum of one set of lanes, in halves; the lanes are spent."""
    half = LANES // 2
    while half > 0:
        for j in range(half):
            lanes[k * LANES + j] += lanes[k * LANES + half + j]
        half //= 2
    return float(lanes[k * LANES])


@lean_kernel
def _two_sum(sums: FloatArray, i: int, j: int, value: float) -> None:
    """Add to a total, and what the addition loses to its companion (Knuth 1969)."""
    old = sums[0, i, j]
    new = old + value
    shift = new - old
    sums[0, i, j] = new
    sums[1, i, j] += (old - (new - shift)) + (value - shift)


@lean_kernel
def _two_sum_point(sums: FloatArray, h: int, i: int, j: int, value: float) -> None:
    """As `_two_sum`, with one index more."""
    old = sums[0, h, i, j]
    new = old + value
    shift = new - old
    sums[0, h, i, j] = new
    sums[1, h, i, j] += (old - (new - shift)) + (value - shift)


def sums_reference(z: FloatArray) -> FloatArray:
    """The plain twin: totals of `SUMS`, `float64 [L, 14]`, from columns `[COLUMNS, L, n]`."""
    u, x, e, y, r = (z[column] for column in (U, X, E, Y, R))
    products = [u * u, u * x, x * x, e * e, e * y, y * y, u * y, u * e, x > 0.0]
    return np.stack([column.sum(axis=1) for column in (u, x, e, y, r, *products)], axis=1)


def pairs_reference(z: FloatArray) -> FloatArray:
    """The plain twin: products of the first four columns, `float64 [4 L, 4 L]`, symmetric."""
    flat = z[:4].reshape(-1, z.shape[2])
    products: FloatArray = flat @ flat.T
    return products


def grid_reference(
    z: FloatArray, form: int, *, model: bool, value: float
) -> tuple[FloatArray, FloatArray]:
    """The plain twin: terms and tamed weights of one point, both `float64 [L, n]`."""
    f = factor_reference(form, z[U], value)
    return (z[E] + f * z[Y] if model else f * z[X]), f * z[U]
