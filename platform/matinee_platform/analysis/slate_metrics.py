"""What the slates of an arm looked like: varied within a page, and across the catalogue.

Items count as exposed when they were shown; whether a user looked at them is not in the log.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from matinee_platform.decision_log import read_parts
from matinee_platform.log_schema import matrix
from matinee_policies.arrays import Float32Array, FloatArray, IndexArray, Int64Array
from matinee_policies.compiled import kernel
from matinee_policies.errors import ContextError, DataError
from matinee_policies.records import PAD

EXPLORED_BELOW = 0.5
"""A slot shown with a lower probability than this counts as explored: above it, no other item
could have been likelier."""


@dataclass(frozen=True, slots=True)
class SlateMetrics:
    """Slates of one arm, summed up.

    Attributes:
        pages: slates shown.
        impressions: items shown.
        intra_list_diversity: mean over pages of `intra_list_diversity`, NaN without a page of two.
        coverage: share of the catalogue shown at least once.
        gini: of the impressions over the catalogue, 0 even, towards 1 on few items; NaN if none.
        novelty: mean over impressions of -log2(share of past users who know the item), in bits;
            NaN if nothing was shown.
    """

    pages: int
    impressions: int
    intra_list_diversity: float
    coverage: float
    gini: float
    novelty: float


def read_slate_metrics(
    run: Path, arm: str, *, embeddings: Float32Array, popularity: Int64Array, past_users: int
) -> SlateMetrics:
    """Read the slates of one arm's log by row group.

    Args:
        run: folder of the run.
        arm: name of the arm.
        embeddings: similarity vectors of the catalogue, rows of length one or zero,
            `float32 [M, m]`.
        popularity: past users who know each item, `int64 [M]`.
        past_users: number of past users, at least 1.

    Raises:
        DataError: if a slate names an item outside the catalogue.
    """
    counts = np.zeros(embeddings.shape[0], dtype=np.int64)
    pages = 0

    def diversities() -> Iterator[list[float]]:
        nonlocal pages
        for slates in read_slates(run, arm, items=counts.size):
            counts[:] += exposure_counts(slates, counts.size)
            pages += slates.shape[0]
            values = intra_list_diversity(slates, embeddings)
            yield values[~np.isnan(values)].tolist()

    mean = _exact_mean(chain.from_iterable(diversities()))
    return SlateMetrics(
        pages=pages,
        impressions=int(counts.sum()),
        intra_list_diversity=mean,
        coverage=coverage(counts),
        gini=gini(counts),
        novelty=novelty(counts, popularity, past_users=past_users),
    )


def read_slates(run: Path, arm: str, *, items: int) -> Iterator[IndexArray]:
    """The slates of one arm's log by row group, each `int32 [n, L]`.

    Raises:
        DataError: if the log cannot be read or names an item outside the catalogue of `items`.
    """
    for rows in read_parts(run, "decisions", arm, ["slate"]):
        slates: IndexArray = matrix(rows.column("slate"))
        wrong = (slates < PAD) | (slates >= items)
        if wrong.any():
            raise DataError(
                run / "decisions" / arm,
                rule=f"slate must hold catalogue rows below {items}",
                value=int(slates[wrong][0]),
            )
        yield slates


def intra_list_diversity(slates: IndexArray, embeddings: Float32Array) -> FloatArray:
    """Mean over the pairs of a slate of 1 - cosine of their vectors.

    With vectors of length one or zero the sum over pairs needs no pairs:
    `2 sum_(j<k) e_j.e_k = |sum_k e_k|^2 - sum_k |e_k|^2`.

    Args:
        slates: catalogue rows below `M`, -1 for an empty slot, `int32 [n, L]`.
        embeddings: rows of length one or zero, `float32 [M, m]`.

    Returns:
        `float64 [n]` within [0, 2]; NaN for a slate of fewer than two items.

    Example:
        >>> vectors = np.array([[1, 0], [0, 1]], dtype=np.float32)
        >>> intra_list_diversity(np.array([[0, 1], [0, 0]], dtype=np.int32), vectors).tolist()
        [1.0, 0.0]
    """
    diversity = np.empty(slates.shape[0])
    # Arrays read from files may be read-only, which the kernel would be compiled for anew.
    writeable: IndexArray = np.require(slates, np.int32, ["C", "W"])
    vectors: Float32Array = np.require(embeddings, np.float32, ["C", "W"])
    _diversities(writeable, vectors, diversity)
    return diversity


@kernel
def _diversities(slates: IndexArray, embeddings: Float32Array, diversity: FloatArray) -> None:
    total = np.empty(embeddings.shape[1])
    squares = np.empty(embeddings.shape[1])
    for row in range(slates.shape[0]):
        for j in range(total.size):
            total[j] = 0.0
            squares[j] = 0.0
        count = 0
        for slot in range(slates.shape[1]):
            item = slates[row, slot]
            if item != PAD:
                count += 1
                for j in range(total.size):
                    value = np.float64(embeddings[item, j])
                    total[j] += value
                    squares[j] += value * value
        twice_cosines = 0.0
        for j in range(total.size):
            twice_cosines += total[j] * total[j] - squares[j]
        pairs = count * (count - 1.0)
        diversity[row] = 1.0 - twice_cosines / pairs if count >= 2 else np.nan


def intra_list_diversity_reference(slates: IndexArray, embeddings: Float32Array) -> FloatArray:
    """The same from the definition, pair by pair."""
    values = []
    for slate in slates:
        vectors = embeddings[slate[slate != PAD]].astype(np.float64)
        pairs = [
            1.0 - float(vectors[j] @ vectors[k]) for k in range(len(vectors)) for j in range(k)
        ]
        values.append(sum(pairs) / len(pairs) if pairs else math.nan)
    return np.array(values)


def exposure_counts(slates: IndexArray, items: int) -> Int64Array:
    """How often each of `items` items was shown, `int64 [items]`."""
    return np.bincount(slates[slates != PAD], minlength=items).astype(np.int64)


def coverage(counts: Int64Array) -> float:
    """Share of the catalogue shown at least once; NaN for an empty catalogue."""
    return float((counts > 0).mean()) if counts.size else math.nan


def gini(counts: Int64Array) -> float:
    """Gini index of the impressions over the whole catalogue, items never shown included.

    Example:
        >>> gini(np.array([5, 5, 5, 5])), gini(np.array([0, 0, 0, 20]))
        (0.0, 0.75)
    """
    total = int(counts.sum())
    if not total:
        return math.nan
    n = counts.size
    rank = np.arange(1, n + 1)
    return float(2 * (rank * np.sort(counts)).sum() / (n * total) - (n + 1) / n)


def novelty(counts: Int64Array, popularity: Int64Array, *, past_users: int) -> float:
    """Mean over impressions of -log2(popularity / past_users), in bits; NaN if nothing was shown.

    An item that nobody knows counts as known by one user, so that its novelty is finite.

    Raises:
        ContextError: when the arrays do not fit, or an item is known by more than all users.
    """
    if popularity.shape != counts.shape or past_users < 1 or popularity.max(initial=0) > past_users:
        raise ContextError(
            f"popularity must be {counts.size} counts of at most past_users = {past_users} users, "
            f"got {popularity.size} up to {popularity.max(initial=0)}"
        )
    total = int(counts.sum())
    bits = -np.log2(np.maximum(popularity, 1) / past_users)
    return float((counts * bits).sum() / total) if total else math.nan


def _exact_mean(values: Iterator[float]) -> float:
    """Mean with a correctly rounded sum, so that the cut into row groups does not show."""
    count = 0

    def counted() -> Iterator[float]:
        nonlocal count
        for value in values:
            count += 1
            yield value

    total = math.fsum(counted())
    return total / count if count else math.nan
