"""Greedy slates of plain arrays: MMR and DPP without a policy.

At each slot the item of largest value minus price * redundancy is taken, the lowest position among
equals: the slates of the sampler (`slate.py`) for a rule that takes the best. For DPP this is fast
greedy MAP inference (Chen, Zhang and Zhou 2018, algorithm 1) for the kernel of cosines, with
weights value / price on the logarithm of its determinant.

Vectors may be of float32 or float64; sums are in float64 in either case (`similarity.py`).
"""

import numpy as np

from matinee_policies.arrays import AnyArray, Float32Array, FloatArray, IndexArray
from matinee_policies.candidate_checks import FINE, OUTSIDE, REPEATED, first_fault
from matinee_policies.compiled import kernel
from matinee_policies.config import check_range
from matinee_policies.diversity import MOST_PRICE, MOST_VALUE
from matinee_policies.embedding_check import LENGTH_TOLERANCE, check_table, check_vectors
from matinee_policies.errors import ContextError
from matinee_policies.records import PAD
from matinee_policies.redundancy import dpp_reference, mmr_reference
from matinee_policies.redundancy_codes import CODE_DPP, CODE_MMR, CODE_NONE
from matinee_policies.rules import GREEDY
from matinee_policies.slate_problem import check_slots
from matinee_policies.slate_walk import walk
from matinee_policies.unit_rows import first_odd_row
from matinee_policies.walk_arrays import (
    NO_ASPECTS,
    NO_CREATORS,
    NO_DOUBLES,
    NO_MASK,
    NO_MEMBERS,
    NO_SINGLES,
    plain,
    table,
)

_FLOATS = "fd"  # float32 and float64, as numpy names them


# A little narrower than what is refused: rounding in float32 must not let an odd row pass.
_UNIT_SQUARES = (1.0 - 1.99 * LENGTH_TOLERANCE, 1.0 + 1.99 * LENGTH_TOLERANCE)


def greedy_mmr(
    values: AnyArray,
    vectors: AnyArray | tuple[IndexArray, AnyArray],
    *,
    slots: int,
    price: float,
) -> IndexArray:
    """Greedy slates by maximal marginal relevance (Carbonell and Goldstein 1998).

    Args:
        values: of the candidates, finite and within 1e12, `float32` or `float64 [B, K]`.
        vectors: of the candidates, of length one or zero, `float32` or `float64 [B, K, m]`; or
            catalogue rows of the candidates, distinct, `int32 [B, K]` with -1 for none, and the
            vectors of the catalogue, `[M, m]`. Lengths are checked where there is a price: of a
            catalogue once, so that calls with the same array are spared.
        slots: length `L` of every slate, at least 1.
        price: units of value for one unit of redundancy, in [0, 1e12].

    Returns:
        Positions of the candidates taken, -1 where they ran out, `int32 [B, L]`.

    Raises:
        ContextError: if the arrays or `slots` break a rule above.
        ConfigError: if `price` does.

    Example:
        >>> vectors = np.array([[[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]])
        >>> greedy_mmr(np.array([[0.9, 0.8, 0.5]]), vectors, slots=2, price=0.5)
        array([[0, 2]], dtype=int32)
    """
    return _greedy(values, vectors, slots=slots, price=price, code=CODE_MMR)


def greedy_dpp(
    values: AnyArray,
    vectors: AnyArray | tuple[IndexArray, AnyArray],
    *,
    slots: int,
    price: float,
) -> IndexArray:
    """Greedy slates under a determinantal point process; arguments as `greedy_mmr`.

    Example:
        >>> vectors = np.array([[[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]])
        >>> greedy_dpp(np.array([[0.9, 0.8, 0.5]]), vectors, slots=2, price=0.1)
        array([[0, 2]], dtype=int32)
    """
    return _greedy(values, vectors, slots=slots, price=price, code=CODE_DPP)


def greedy_slate_reference(
    values: AnyArray, vectors: AnyArray, *, slots: int, price: float, kind: str
) -> tuple[list[int], list[float]]:
    """One greedy slate from the definitions.

    Args:
        values: of the candidates, `[K]`.
        vectors: of the candidates, `[K, m]`.
        slots: length of the slate, at most `K`.
        price: of redundancy.
        kind: `"mmr"` or `"dpp"`.

    Returns:
        Positions, and the utility of each when it was taken.
    """
    redundancy = {"mmr": mmr_reference, "dpp": dpp_reference}[kind]
    chosen: list[int] = []
    utilities: list[float] = []
    for _ in range(slots):
        utility = values - price * redundancy(vectors, np.array(chosen, dtype=np.int32))
        utility[chosen] = -np.inf
        chosen.append(int(utility.argmax()))
        utilities.append(float(utility.max()))
    return chosen, utilities


def _greedy(
    values: AnyArray,
    vectors: AnyArray | tuple[IndexArray, AnyArray],
    *,
    slots: int,
    price: float,
    code: int,
) -> IndexArray:
    check_slots(slots)
    # The full check would cost a small slate a tenth of its time.
    if type(price) is not float or not 0.0 <= price <= MOST_PRICE:
        check_range("price", price, low=0, high=MOST_PRICE)
    _check_floats(values, "values", 2)
    if isinstance(vectors, tuple):
        candidates, given = vectors
        _check_floats(given, "embeddings", 2)
        _check_candidates(candidates, values.shape)
    else:
        _check_floats(vectors, "vectors", 3)
        if vectors.shape[:2] != values.shape:
            raise ContextError(
                f"vectors must be [B, K, m] with [B, K] = {values.shape}, got {vectors.shape}"
            )
        candidates = np.arange(values.size, dtype=np.int32).reshape(values.shape)
        given = vectors.reshape(values.size, vectors.shape[2])
    rows = table(given)
    if price > 0 and isinstance(vectors, tuple):
        check_table(given, "embeddings")
    elif price > 0 and first_odd_row(rows, *_UNIT_SQUARES) != PAD:
        check_vectors(rows, "vectors")
    wide, places = plain(values.astype(np.float64, copy=False)), plain(candidates)
    positions = np.empty((len(values), slots), dtype=np.int32)
    is_single = rows.dtype == np.float32
    rule = _take_best(
        wide,
        places,
        rows if is_single else NO_SINGLES,
        NO_DOUBLES if is_single else rows,
        NO_ASPECTS,
        NO_CREATORS,
        len(given),
        code if price > 0 else CODE_NONE,
        float(price),
        positions,
    )
    if rule != FINE:
        raise ContextError(_complaint(places, wide, len(given)))
    return positions


@kernel
def _take_best(
    values: FloatArray,
    candidates: IndexArray,
    singles: Float32Array,
    doubles: FloatArray,
    aspects: Float32Array,
    creators: IndexArray,
    catalogue: int,
    code: int,
    price: float,
    positions: IndexArray,
) -> int:
    """Check the candidates, then walk with the rule that takes the best: one call from Python.

    Returns:
        Rule of `candidate_checks` that is broken, `FINE` if none is.
    """
    available = np.empty(values.shape, np.bool_)
    members, mask = np.empty((0, 0, 0)), np.empty((0, 0), np.bool_)
    fault = first_fault(candidates, values, members, mask, mask, catalogue, available)
    if fault.rule != FINE:
        return fault.rule
    walk(
        values,
        members,
        available,
        candidates,
        singles,
        doubles,
        np.empty((0, 0), np.int32),
        aspects,
        creators,
        np.empty((0, 0), np.float32),
        0,
        0,
        code,
        price,
        0.0,
        GREEDY,
        0.0,
        0.0,
        0.0,
        # The best candidate takes all, so keys are not read; that there are any means to draw.
        np.empty(values.shape[0], np.uint64),
        positions,
        np.empty_like(positions),
        np.empty(positions.shape),
        np.empty((0, 0)),
        np.empty(0),
        positions.shape[1] - 1,
    )
    return FINE


def _check_floats(array: AnyArray, name: str, dimensions: int) -> None:
    if (
        not isinstance(array, np.ndarray)
        or array.dtype.char not in _FLOATS
        or array.ndim != dimensions
    ):
        raise ContextError(
            f"{name} must be a float32 or float64 array with {dimensions} dimensions, got {array!r}"
        )


def _check_candidates(candidates: AnyArray, shape: tuple[int, ...]) -> None:
    if (
        not isinstance(candidates, np.ndarray)
        or candidates.dtype != np.int32
        or candidates.shape != shape
    ):
        raise ContextError(f"candidates must be int32 of shape {shape}, got {candidates!r}")


def _complaint(candidates: IndexArray, values: FloatArray, catalogue: int) -> str:
    available = np.empty(values.shape, dtype=np.bool_)
    fault = first_fault(candidates, values, NO_MEMBERS, NO_MASK, NO_MASK, catalogue, available)
    at = fault.decision, fault.place
    if fault.rule == OUTSIDE:
        return f"candidates must be {PAD} or below {catalogue}, got {candidates[at]}"
    if fault.rule == REPEATED:
        return f"candidates of slate {at[0]} must be distinct, got item {candidates[at]} twice"
    return f"values must be finite and within {MOST_VALUE:g}, got {values[at]}"
