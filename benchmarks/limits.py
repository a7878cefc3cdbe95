"""Limits of this machine on one thread: reading memory, matrix products, rows of dot products.

Each is `Work` on a block of the size that the measured code works on, so that a limit is met in the
same level of the memory and in the same run.
"""

import numpy as np
from numpy.typing import DTypeLike

from harness import Work
from matinee_policies.arrays import AnyArray, Float32Array, Int64Array
from matinee_policies.compiled import kernel

_ONE_CALL_READS = 1 << 24
"""Bytes that one call reads at least, so that neither the call nor the clock counts."""


def reading(n_bytes: int) -> Work:
    """Read a block of `n_bytes` once, from wherever it lies after the last time; a unit is a block.

    Eight places at once keep the memory busier than one. The sum is of integers, which the compiler
    may reorder.
    """
    block = np.ones((8, max(n_bytes // 64, 1)), dtype=np.int64)
    passes = max(_ONE_CALL_READS // block.nbytes, 1)
    return Work(lambda: _read(block, passes), units=passes)


def product(rows: int, inner: int, columns: int, *, dtype: DTypeLike = np.float64) -> Work:
    """One matrix product `[rows, inner] @ [inner, columns]` by BLAS; a unit is a product."""
    rng = np.random.default_rng(0)
    A: AnyArray = rng.random((rows, inner)).astype(dtype)
    B: AnyArray = rng.random((inner, columns)).astype(dtype)
    out: AnyArray = np.empty((rows, columns), dtype)
    calls = max(int(2e7 / (2.0 * rows * inner * columns)), 1)

    def run() -> None:
        for _ in range(calls):
            np.matmul(A, B, out=out)

    return Work(run, units=calls)


def dot_rows(K: int, m: int) -> Work:
    """Dot products of `K` vectors with one more, `float32 [m, K]` in cache; a unit is `K` of them.

    A plain compiled loop over contiguous candidates, without fused or reordered additions: what a
    kernel that gives the same bits everywhere can reach.
    """
    vectors = np.random.default_rng(0).random((m, K), dtype=np.float32)
    query = vectors[:, 0].copy()
    out = np.zeros(K, np.float32)
    passes = max(int(2e7 / (2.0 * K * m)), 1)
    return Work(lambda: _dot_rows(vectors, query, out, passes), units=passes)


@kernel
def _read(block: Int64Array, passes: int) -> int:
    total = 0
    for step in range(passes):
        part, p, q, r = step, 0, 0, 0
        for i in range(block.shape[1]):
            part += block[0, i] + block[1, i]
            p += block[2, i] + block[3, i]
            q += block[4, i] + block[5, i]
            r += block[6, i] + block[7, i]
        # Depends on every pass, or the compiler would read the block once.
        total ^= part + p + q + r
    return total


@kernel
def _dot_rows(vectors: Float32Array, query: Float32Array, out: Float32Array, passes: int) -> None:
    for _ in range(passes):
        for j in range(vectors.shape[0]):
            for k in range(vectors.shape[1]):
                out[k] += query[j] * vectors[j, k]
