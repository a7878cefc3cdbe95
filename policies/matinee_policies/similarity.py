"""Cosines between the candidates of a decision and an item of its slate.

Vectors have length one or zero, so a cosine is a dot product. Candidates are taken in tiles of
`TILE`; a tile's vectors are laid out feature by feature, so that the inner loops run over its
candidates. Sums run over the features in their order, in the type of the vectors and without fused
steps, whatever the batch.

In float32 a cosine of unit vectors of m dimensions therefore differs from the exact one of the same
vectors by at most (m + 2) 2^-24 (Higham 2002, "Accuracy and stability of numerical algorithms",
section 3.1: m rounded products and m - 1 rounded sums of terms whose absolute values sum to at
most 1, one more for the length of the stored vectors).
"""

import numpy as np

from matinee_policies.arrays import AnyArray, IndexArray
from matinee_policies.compiled import kernel
from matinee_policies.records import PAD

TILE = 32
"""Candidates of one tile; a multiple of 8."""

STEP = 8
"""Features that one pass over a tile takes in; `cosines` spells them out."""


@kernel
def gather_tile(
    candidates: IndexArray,
    order: IndexArray,
    first: int,
    embeddings: AnyArray,
    rows: AnyArray,
    block: AnyArray,
) -> None:
    """Lay out the vectors of one tile of a decision's candidates.

    Args:
        candidates: catalogue rows, `int32 [K]`; padding becomes a zero vector.
        order: candidate at each place of the tiles, `PAD` for none, `int32 [T * TILE]`.
        first: first place of the tile.
        embeddings: vectors of the catalogue, `[M, m]`.
        rows: overwritten, `[TILE, Q * STEP]`; columns from `m` on must be 0.
        block: receives the vectors, `[Q, STEP, TILE]`.
    """
    for lane in range(TILE):
        k = order[first + lane]
        item = candidates[k] if k != PAD else PAD
        if item != PAD:
            for f in range(embeddings.shape[1]):
                rows[lane, f] = embeddings[item, f]
        else:
            for f in range(embeddings.shape[1]):
                rows[lane, f] = 0.0
    # By way of rows: reading memory in order and writing whole lines is what counts.
    for q in range(block.shape[0]):
        for step in range(STEP):
            for lane in range(TILE):
                block[q, step, lane] = rows[lane, q * STEP + step]


@kernel
def cosines(block: AnyArray, vector: AnyArray, found: AnyArray) -> None:
    """Dot product of one vector with those of a tile.

    Args:
        block: as filled by `gather_tile`, `[Q, STEP, TILE]`.
        vector: the item's, `[Q, STEP]`.
        found: receives the dot products, `[TILE]`.
    """
    for lane in range(TILE):
        found[lane] = 0.0
    for q in range(block.shape[0]):
        # Eight at a time, so that the running sums stay in registers; still one after the other.
        a, b, c, d = vector[q, 0], vector[q, 1], vector[q, 2], vector[q, 3]
        e, f, g, h = vector[q, 4], vector[q, 5], vector[q, 6], vector[q, 7]
        for lane in range(TILE):
            total = found[lane] + a * block[q, 0, lane]
            total = total + b * block[q, 1, lane]
            total = total + c * block[q, 2, lane]
            total = total + d * block[q, 3, lane]
            total = total + e * block[q, 4, lane]
            total = total + f * block[q, 5, lane]
            total = total + g * block[q, 6, lane]
            found[lane] = total + h * block[q, 7, lane]


def cosines_reference(vectors: AnyArray, vector: AnyArray) -> AnyArray:
    """Dot product of one vector with many, summed like `cosines` does.

    Args:
        vectors: `[n, m]`.
        vector: of the same type, `[m]`.

    Returns:
        Of the same type, `[n]`.
    """
    total = np.zeros(len(vectors), dtype=vectors.dtype)
    for feature in range(vectors.shape[1]):
        total += vector[feature] * vectors[:, feature]
    return total
