"""Refuse similarity vectors whose products are no cosines.

Redundancy of MMR and DPP is made of scalar products, which are cosines only where vectors have
length one. Raw factors or missing values would give wrong slates without a word.
"""

import weakref

import numpy as np

from matinee_policies.arrays import AnyArray
from matinee_policies.errors import ContextError

LENGTH_TOLERANCE = 1e-3
"""Most that the length of a vector may differ from one."""

_checked: dict[int, weakref.ref[AnyArray]] = {}


def check_table(table: AnyArray, name: str) -> None:
    """Check the vectors of a catalogue, once for every array.

    Arrays are known by identity: what is written into one after its first check is not seen.

    Args:
        table: `float32` or `float64 [M, m]`.
        name: of the table, for the message.

    Raises:
        ContextError: as `check_vectors`.
    """
    key = id(table)
    known = _checked.get(key)
    if known is not None and known() is table:
        return
    check_vectors(table, name)

    def forget(gone: weakref.ref[AnyArray]) -> None:
        # Another array may live at the same address by now.
        if _checked.get(key) is gone:
            del _checked[key]

    _checked[key] = weakref.ref(table, forget)


def check_vectors(vectors: AnyArray, name: str) -> None:
    """Refuse vectors that are not finite, or of a length other than one or zero.

    Args:
        vectors: `float32` or `float64 [n, m]`.
        name: of the vectors, for the message.

    Raises:
        ContextError: naming the row and its length.

    Example:
        >>> check_vectors(np.array([[0.6, 0.8], [0.0, 0.0]]), "embeddings")
        >>> check_vectors(np.array([[0.6, 0.8], [3.0, 4.0]]), "embeddings")
        Traceback (most recent call last):
        matinee_policies.errors.ContextError: embeddings must have length 1 or 0 (unknown), got \
length 5 in row 1
    """
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.einsum("nm,nm->n", vectors, vectors)
        low, high = (1.0 - LENGTH_TOLERANCE) ** 2, (1.0 + LENGTH_TOLERANCE) ** 2
        rows = np.flatnonzero(~((squares >= low) & (squares <= high)))
    # Zeros, and what is not: a vector so short that its square is 0 is no unknown one.
    wrong = rows[vectors[rows].any(axis=1)]
    if wrong.size == 0:
        return
    row = int(wrong[0])
    if not np.isfinite(vectors[row]).all():
        bad = vectors[row][~np.isfinite(vectors[row])][0]
        raise ContextError(f"{name} must be finite, got {bad} in row {row}")
    length = np.linalg.norm(vectors[row].astype(np.float64))
    raise ContextError(
        f"{name} must have length 1 or 0 (unknown), got length {length:.6g} in row {row}"
    )
