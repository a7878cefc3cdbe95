"""How much a candidate repeats what a slate already shows.

The redundancy of candidate i after items J were chosen is

    redundancy(i | J) = max(0, max over j in J of cosine(e_i, e_j))

the largest similarity of MMR (Carbonell and Goldstein 1998), never below 0: an item that points
away from the others earns no bonus, so the first slot and an unknown item (zero vector) have
redundancy 0. Vectors have length one or zero, so the cosine is their dot product.

Only the similarity row of the last pick is ever computed. A decision's vectors are gathered once,
feature-major `[m, K]`, so that the inner loops run over candidates and no sum is reordered.
"""

import numpy as np

from matinee_policies.arrays import Float32Array, FloatArray, IndexArray
from matinee_policies.compiled import kernel
from matinee_policies.records import PAD


@kernel
def gather_vectors(candidates: IndexArray, embeddings: Float32Array, block: Float32Array) -> None:
    """Write the similarity vectors of one decision's candidates into `block`.

    Args:
        candidates: catalogue rows, `int32 [K]`; padding becomes a zero vector.
        embeddings: similarity vectors of the catalogue, `float32 [M, m]`.
        block: receives the vectors, `float32 [m, K]`.
    """
    for k in range(candidates.shape[0]):
        item = candidates[k]
        for j in range(block.shape[0]):
            block[j, k] = embeddings[item, j] if item != PAD else np.float32(0.0)


@kernel
def raise_redundancy(
    block: Float32Array, last: int, scratch: FloatArray, redundancy: FloatArray
) -> None:
    """Raise every candidate's redundancy to its similarity with the item chosen last.

    Args:
        block: as filled by `gather_vectors`, `float32 [m, K]`.
        last: position of the item chosen last.
        scratch: overwritten, `float64 [K]`.
        redundancy: running maximum, at least 0, `float64 [K]`; updated in place.
    """
    for k in range(block.shape[1]):
        scratch[k] = 0.0
    for j in range(block.shape[0]):
        weight = np.float64(block[j, last])
        for k in range(block.shape[1]):
            scratch[k] += weight * block[j, k]
    for k in range(block.shape[1]):
        redundancy[k] = max(redundancy[k], scratch[k])


def redundancy_reference(
    candidates: IndexArray, embeddings: Float32Array, chosen: IndexArray
) -> FloatArray:
    """Redundancy of each candidate given the items chosen, from the definition.

    Args:
        candidates: catalogue rows of one decision, `int32 [K]`.
        embeddings: similarity vectors of the catalogue, `float32 [M, m]`.
        chosen: positions chosen so far, `int32 [any length]`.

    Returns:
        Values in [0, 1], `float64 [K]`.
    """
    vectors = np.where(candidates[:, None] == PAD, 0.0, embeddings[candidates].astype(np.float64))
    largest: FloatArray = (vectors @ vectors[chosen].T).max(axis=1, initial=0.0)
    return largest
