"""Streams of random numbers of simulated users: one per purpose, user, day, page and slot.

Two worlds with the same seed and users draw the same numbers whatever is shown in them (common
random numbers), in any batch and any order.
"""

import math
from typing import NamedTuple

import numpy as np

from matinee_policies.arrays import FloatArray, UInt64Array
from matinee_policies.compiled import lean_kernel
from matinee_policies.philox import normal, random_bits, stream_key, uniform

_DAY_SHIFT = np.uint64(32)
_PAGE_SHIFT = np.uint64(16)
_SHIFT11 = np.uint64(11)
_TO_UNIT = 2.0**-53


class Streams(NamedTuple):
    """Keys of the streams that a running simulation draws from, `uint64` each."""

    visit: np.uint64
    depth: np.uint64
    click: np.uint64
    satisfaction: np.uint64
    watch: np.uint64
    rated: np.uint64
    rating: np.uint64
    delay: np.uint64
    leave: np.uint64
    churn: np.uint64
    enough: np.uint64
    choice: np.uint64


def streams(seed: int) -> Streams:
    """The streams of one seed."""
    return Streams(*(stream_key(seed, "users", purpose) for purpose in Streams._fields))


@lean_kernel
def moment(day: int, page: int, slot: int) -> np.uint64:
    """Counter of one slot of one page of one day, the second counter of every draw.

    Args:
        day: >= 0, below 2^31.
        page: page within the session, from 0, below 2^16.
        slot: slot within the page, from 0, below 2^16.
    """
    return (np.uint64(day) << _DAY_SHIFT) | (np.uint64(page) << _PAGE_SHIFT) | np.uint64(slot)


@lean_kernel
def normal_pair(key: np.uint64, a: np.uint64, b: np.uint64) -> tuple[float, float]:
    """Two independent standard normal numbers of one counter, the first that of `philox.normal`.

    Both halves of Box and Muller (1958); arguments as `philox.random_bits`.
    """
    first, second = random_bits(key, a, b)
    # Half a step up keeps the logarithm finite.
    radius = math.sqrt(-2.0 * math.log(float(first >> _SHIFT11) * _TO_UNIT + 0.5 * _TO_UNIT))
    angle = 2.0 * math.pi * float(second >> _SHIFT11) * _TO_UNIT
    return radius * math.cos(angle), radius * math.sin(angle)


def normal_pair_reference(key: np.uint64, a: int, b: int) -> tuple[float, float]:
    """Plain twin of `normal_pair`."""
    first, second = (int(word) >> 11 for word in random_bits(key, np.uint64(a), np.uint64(b)))
    radius = math.sqrt(-2.0 * math.log((first + 0.5) / 2**53))
    return radius * math.cos(math.tau * second / 2**53), radius * math.sin(
        math.tau * second / 2**53
    )


@lean_kernel
def fill_uniforms(key: np.uint64, numbers: UInt64Array, out: FloatArray) -> None:
    """Uniform draws in [0, 1): `out[r, c]` belongs to counter `(numbers[r], c)`.

    Args:
        key: stream key.
        numbers: `uint64 [n]`.
        out: receives the draws, `float64 [n, k]`.
    """
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            out[row, column] = uniform(key, numbers[row], np.uint64(column))


@lean_kernel
def fill_normals(key: np.uint64, numbers: UInt64Array, out: FloatArray) -> None:
    """Standard normal draws; arguments as `fill_uniforms`."""
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            out[row, column] = normal(key, numbers[row], np.uint64(column))


def uniforms(key: np.uint64, numbers: UInt64Array, columns: int) -> FloatArray:
    """`columns` uniform draws of each of `numbers`, `float64 [n, columns]`."""
    out = np.empty((numbers.size, columns))
    fill_uniforms(key, numbers, out)
    return out


def normals(key: np.uint64, numbers: UInt64Array, columns: int) -> FloatArray:
    """`columns` standard normal draws of each of `numbers`, `float64 [n, columns]`."""
    out = np.empty((numbers.size, columns))
    fill_normals(key, numbers, out)
    return out
