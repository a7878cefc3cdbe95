"""How often each unit counts in each replicate: Poisson draws that are functions of the unit alone.

Rows of a unit count alike wherever they stand in the log, and no table of units is kept. The draws
come from splitmix64 (Steele, Lea and Flood 2014) seeded by the pseudonym and the key; each takes 16
of its bits to a table of the law with mean 1: probabilities are within 3e-4 of Poisson's, mean and
variance are exactly 1.
"""

import math

import numpy as np

from matinee_policies.arrays import FloatArray, UInt8Array, UInt64Array
from matinee_policies.compiled import kernel

_ENTRIES = 1 << 16
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31 = np.uint64(30), np.uint64(27), np.uint64(31)
_S16, _S32, _S48 = np.uint64(16), np.uint64(32), np.uint64(48)
_MASK = np.uint64(_ENTRIES - 1)


def count_table() -> UInt8Array:
    """Counts by 16 random bits, `uint8 [65536]`.

    Example:
        >>> table = count_table().astype(float)
        >>> float(table.mean()), float(table.var())
        (1.0, 1.0)
    """
    entries = [round(_ENTRIES / math.e / math.factorial(k)) for k in range(9)]
    # Entries of 0, 1 and 2 settle the number of entries, the mean and the variance.
    factorial = sum(k * (k - 1) * entries[k] for k in range(3, 9))
    entries[2] = (_ENTRIES - factorial) // 2
    entries[1] = _ENTRIES - sum(k * entries[k] for k in range(2, 9))
    entries[0] = _ENTRIES - sum(entries[1:])
    return np.repeat(np.arange(9, dtype=np.uint8), entries)


@kernel
def fill_counts(
    unit: UInt64Array,
    first: int,
    key: np.uint64,
    table: UInt8Array,
    words: UInt64Array,
    counts: FloatArray,
) -> None:
    """Counts of some rows.

    Args:
        unit: pseudonyms, `uint64 [n]`.
        first: number of the first row.
        key: of the bootstrap.
        table: of `count_table`.
        words: room, `uint64 [B / 4]`.
        counts: receives how often each row counts, `float64 [rows, B]`, `B` a multiple of 4; rows
            beyond the log count 0.
    """
    for i in range(counts.shape[0]):
        if first + i >= unit.size:
            for b in range(counts.shape[1]):
                counts[i, b] = 0.0
            continue
        start = _mixed(unit[first + i] ^ key)
        for q in range(words.size):
            words[q] = _mixed(start + np.uint64(q + 1) * _GOLDEN)
        for q in range(words.size):
            word = words[q]
            counts[i, 4 * q] = table[word & _MASK]
            counts[i, 4 * q + 1] = table[(word >> _S16) & _MASK]
            counts[i, 4 * q + 2] = table[(word >> _S32) & _MASK]
            counts[i, 4 * q + 3] = table[word >> _S48]


@kernel
def _mixed(z: np.uint64) -> np.uint64:
    z = (z ^ (z >> _S30)) * _FIRST
    z = (z ^ (z >> _S27)) * _SECOND
    return z ^ (z >> _S31)


def counts_reference(unit: UInt64Array, key: np.uint64, *, replicates: int) -> FloatArray:
    """The plain twin: `float64 [n, B]`."""
    words = np.arange(1, replicates // 4 + 1, dtype=np.uint64)

    def mixed(z: UInt64Array) -> UInt64Array:
        z = (z ^ (z >> _S30)) * _FIRST
        z = (z ^ (z >> _S27)) * _SECOND
        return z ^ (z >> _S31)

    drawn = mixed(mixed(unit ^ key)[:, None] + words * _GOLDEN)
    bits = (drawn[:, :, None] >> np.array([0, 16, 32, 48], dtype=np.uint64)) & _MASK
    counts: FloatArray = count_table()[bits].reshape(unit.size, -1).astype(np.float64)
    return counts
