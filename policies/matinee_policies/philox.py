"""Counter-based random numbers: Philox4x32-10.

Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".

A draw is a pure function of a 64-bit key and two 64-bit counters, so the same decision or the same
simulated user draws the same numbers in any batch, process or order. Nothing here keeps state.
"""

import hashlib
import math

import numpy as np

from matinee_policies.compiled import lean_kernel

_MASK32 = np.uint64(0xFFFFFFFF)
_SHIFT32 = np.uint64(32)
_SHIFT11 = np.uint64(11)
_MULTIPLIER_0 = np.uint64(0xD2511F53)
_MULTIPLIER_1 = np.uint64(0xCD9E8D57)
_WEYL_0 = np.uint64(0x9E3779B9)
_WEYL_1 = np.uint64(0xBB67AE85)
_TO_UNIT = 2.0**-53
_HALF_STEP = 2.0**-54


def stream_key(seed: int, *purpose: str | int) -> np.uint64:
    """Key of the stream of random numbers for one purpose of one seed.

    Args:
        seed: the run's seed, any integer.
        purpose: words that tell this stream from every other, e.g. `"visit"`.

    Returns:
        A 64-bit key; streams of different purposes are independent.

    Example:
        >>> int(stream_key(7, "visit")) == int(stream_key(7, "visit"))
        True
        >>> int(stream_key(7, "visit")) == int(stream_key(7, "click"))
        False
    """
    text = "\x1f".join(str(part) for part in (seed, *purpose))
    digest = hashlib.blake2b(text.encode(), digest_size=8, person=b"matinee-stream").digest()
    return np.uint64(int.from_bytes(digest, "little"))


@lean_kernel
def random_bits(key: np.uint64, a: np.uint64, b: np.uint64) -> tuple[np.uint64, np.uint64]:
    """128 random bits for counter `(a, b)` under `key`, as two words of 64 bits.

    Args:
        key: stream key, `uint64`.
        a: high-level counter, `uint64`, e.g. the user.
        b: low-level counter, `uint64`, e.g. day, page and draw packed together.
    """
    c0, c1 = a & _MASK32, a >> _SHIFT32
    c2, c3 = b & _MASK32, b >> _SHIFT32
    k0, k1 = key & _MASK32, key >> _SHIFT32
    for _ in range(10):
        product_0 = _MULTIPLIER_0 * c0
        product_1 = _MULTIPLIER_1 * c2
        c0, c1, c2, c3 = (
            (product_1 >> _SHIFT32) ^ c1 ^ k0,
            product_1 & _MASK32,
            (product_0 >> _SHIFT32) ^ c3 ^ k1,
            product_0 & _MASK32,
        )
        k0 = (k0 + _WEYL_0) & _MASK32
        k1 = (k1 + _WEYL_1) & _MASK32
    return c0 | (c1 << _SHIFT32), c2 | (c3 << _SHIFT32)


@lean_kernel
def uniform(key: np.uint64, a: np.uint64, b: np.uint64) -> float:
    """One uniform number in [0, 1), a multiple of 2^-53; arguments as `random_bits`."""
    word, _ = random_bits(key, a, b)
    return float(word >> _SHIFT11) * _TO_UNIT


@lean_kernel
def normal(key: np.uint64, a: np.uint64, b: np.uint64) -> float:
    """One standard normal number by Box and Muller (1958); arguments as `random_bits`."""
    first, second = random_bits(key, a, b)
    # Half a step up keeps the logarithm finite.
    radius = math.sqrt(-2.0 * math.log(float(first >> _SHIFT11) * _TO_UNIT + _HALF_STEP))
    return radius * math.cos(2.0 * math.pi * float(second >> _SHIFT11) * _TO_UNIT)
