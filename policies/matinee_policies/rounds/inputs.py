"""Checks of what is played, and the padding that kernels compute in."""

from typing import Literal, TypeAlias

import numpy as np

from matinee_policies.arrays import AnyArray, FloatArray
from matinee_policies.errors import ConfigError, ContextError
from matinee_policies.lanes import aligned_zeros

Precision: TypeAlias = Literal["float64", "float32"]
"""Type that widths are computed in; everything else is float64 always."""

PAD_TO = 16
"""Dimensions are padded to multiples of this: a vector of float32, two of float64."""


def check_array(name: str, array: AnyArray, *, shape: tuple[int, ...], dtype: type) -> None:
    """Refuse an array of another type or shape, or with numbers that are not finite.

    Raises:
        ContextError: with the name, what was given and the rule.
    """
    if not isinstance(array, np.ndarray) or array.dtype != dtype:
        got = getattr(array, "dtype", type(array).__name__)
        raise ContextError(f"{name} must be an array of {np.dtype(dtype).name}, got {got}")
    if array.shape != shape:
        raise ContextError(f"{name} must have shape {shape}, got {array.shape}")
    if not np.isfinite(array).all():
        place = tuple(int(index) for index in np.argwhere(~np.isfinite(array))[0])
        raise ContextError(f"{name} must be finite, got {array[place]} at {place}")


def check_table(name: str, array: AnyArray, *, columns: int) -> int:
    """Refuse rewards that are no finite `float64 [T, columns]`; gives T."""
    rounds = array.shape[0] if isinstance(array, np.ndarray) and array.ndim else 0
    check_array(name, array, shape=(rounds, columns), dtype=np.float64)
    return rounds


def writable(array: AnyArray) -> AnyArray:
    """In the one layout that kernels are compiled for."""
    return np.require(array, requirements=["C", "W"])


def copied(array: AnyArray) -> AnyArray:
    """A copy in the one layout that kernels are compiled for."""
    return np.array(array, order="C")


def check_result(*arrays: FloatArray) -> None:
    """Refuse to go on from a state that features too large have spoilt.

    Raises:
        ContextError: if anything is not finite.
    """
    if not all(np.isfinite(array).all() for array in arrays):
        raise ContextError("features and rewards must be of moderate size, got sums that overflow")


def precision_like(precision: Precision) -> AnyArray:
    """An empty array of the type to compute widths in."""
    if precision not in ("float64", "float32"):
        raise ConfigError(f"precision must be 'float64' or 'float32', got {precision!r}")
    return np.empty(0, np.dtype(precision))


def padded(array: FloatArray, *, axes: int) -> FloatArray:
    """A copy whose last `axes` axes are filled up with zeros, in whole cache lines."""
    kept = array.ndim - axes
    shape = array.shape[:kept] + tuple(padded_size(size) for size in array.shape[kept:])
    copy: FloatArray = aligned_zeros(int(np.prod(shape)), np.empty(0)).reshape(shape)
    copy[_corner(array.shape)] = array
    return copy


def unpadded(array: FloatArray, like: FloatArray) -> FloatArray:
    """What `padded` took in, of the shape of `like`."""
    return np.ascontiguousarray(array[_corner(like.shape)])


def padded_size(size: int) -> int:
    """The next multiple of `PAD_TO`."""
    return -(-size // PAD_TO) * PAD_TO


def _corner(shape: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(size) for size in shape)
