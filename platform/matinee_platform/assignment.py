"""Assign units to the arms of an experiment: a pure function of salt and unit id.

The hash is the one GrowthBook publishes as version 2, so that any of its SDKs recomputes an arm:
`bucket = fnv1a32(str(fnv1a32(salt + unit))) mod 10000`, over the UTF-16 code units of the text.
Arm `i` owns the buckets from `10000 * sum(weights[:i])` on, for a length of
`10000 * coverage * weights[i]`: more coverage only lets units in, nobody changes arm.

Which units exist, who has been exposed and when are questions to the log.
"""

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from matinee_policies.arrays import FloatArray, Int64Array
from matinee_policies.compiled import kernel
from matinee_policies.config import check_range
from matinee_policies.errors import ConfigError, ContextError

Int16Array: TypeAlias = NDArray[np.int16]
UInt16Array: TypeAlias = NDArray[np.uint16]

BUCKETS = 10_000
"""A unit falls into one of this many buckets."""

NO_ARM = -1
"""The arm of a unit that coverage leaves out."""

_OFFSET_BASIS = 2166136261
_PRIME = 16777619
_MASK32 = 0xFFFFFFFF
_WEIGHT_SLACK = 1e-9


def assign(
    units: Sequence[str], *, salt: str, weights: Sequence[float], coverage: float = 1.0
) -> Int16Array:
    """The arm of each unit.

    Args:
        units: raw unit ids, `n` of them.
        salt: the experiment's own; another salt gives an independent assignment.
        weights: share of each arm, at least 0, summing to one.
        coverage: share of each arm's units that take part, in [0, 1].

    Returns:
        Index of the arm, `int16 [n]`; `NO_ARM` for a unit outside the experiment.

    Raises:
        ConfigError: on weights or coverage that break their rule.
        ContextError: on a unit id that is not Unicode text.

    Example:
        >>> assign(["ada", "bo", "cy"], salt="spring", weights=[0.5, 0.5]).tolist()
        [1, 0, 1]
    """
    return choose_arms(buckets(units, salt), bucket_ranges(weights, coverage=coverage))


def buckets(units: Sequence[str], salt: str) -> Int16Array:
    """The bucket of each unit, `int16 [n]`, below `BUCKETS`; arguments and errors as `assign`.

    Example:
        >>> buckets(["a", "b"], "seed").tolist()
        [505, 2696]
    """
    return UnitCodes(units).buckets(salt)


class UnitCodes:
    """Unit ids made ready once, to fall into buckets under any number of salts.

    Args:
        units: raw unit ids, `n` of them.

    Raises:
        ContextError: on a unit id that is not Unicode text.

    Example:
        >>> codes = UnitCodes(["a", "b"])
        >>> codes.buckets("seed").tolist(), codes.buckets("other").tolist()
        ([505, 2696], [8395, 732])
    """

    __slots__ = ("_codes", "_ends")

    def __init__(self, units: Sequence[str]) -> None:
        self._codes, self._ends = _code_units(units)

    def __len__(self) -> int:
        return int(self._ends.size)

    def buckets(self, salt: str) -> Int16Array:
        """The bucket of each unit under a salt, `int16 [n]`, as `assignment.buckets` gives it."""
        return _bucket_kernel(self._codes, self._ends, np.uint64(_fnv1a32(salt)))


def buckets_reference(units: Sequence[str], salt: str) -> Int16Array:
    """Plain Python twin of `buckets`."""
    values = [_fnv1a32(str(_fnv1a32(salt + unit))) % BUCKETS for unit in units]
    return np.array(values, dtype=np.int16)


def bucket_ranges(weights: Sequence[float], *, coverage: float = 1.0) -> FloatArray:
    """Where each arm begins and ends within [0, 1); arguments as `assign`.

    Returns:
        First share (inside) and last share (outside) of each arm, `float64 [arms, 2]`.

    Raises:
        ConfigError: on weights or coverage that break their rule.

    Example:
        >>> bucket_ranges([0.25, 0.75], coverage=0.5).tolist()
        [[0.0, 0.125], [0.25, 0.625]]
    """
    check_weights(weights)
    check_range("coverage", coverage, low=0, high=1)
    ranges = np.empty((len(weights), 2))
    start = 0.0
    for arm, weight in enumerate(weights):
        ranges[arm] = start, start + coverage * weight
        start += weight
    return ranges


def check_weights(weights: Sequence[float]) -> None:
    """Refuse weights that are not shares of one whole; nothing is repaired.

    Args:
        weights: share of each arm.

    Raises:
        ConfigError: when there is none, one is below 0, or the sum is not 1 (within 1e-9).
    """
    if not len(weights):
        raise ConfigError("an experiment needs at least one arm, got no weight")
    for weight in weights:
        check_range("weight of an arm", weight, low=0, high=1)
    total = math.fsum(weights)
    if abs(total - 1.0) > _WEIGHT_SLACK:
        shown = ", ".join(f"{weight:g}" for weight in weights)
        raise ConfigError(f"weights of the arms must sum to 1, got {total:.10g} ({shown})")


def choose_arms(unit_buckets: Int16Array, ranges: FloatArray) -> Int16Array:
    """The first arm whose range holds each bucket.

    Args:
        unit_buckets: `int16 [n]`, below `BUCKETS`.
        ranges: as `bucket_ranges` gives them, `float64 [arms, 2]`.

    Returns:
        Index of the arm, `int16 [n]`; `NO_ARM` where no range holds the bucket.

    Example:
        >>> choose_arms(np.array([2000, 4000], dtype=np.int16), np.array([[0, 0.25], [0.5, 0.75]]))
        array([ 0, -1], dtype=int16)
    """
    share = unit_buckets.astype(np.float64) / BUCKETS
    arms = np.full(share.size, NO_ARM, dtype=np.int16)
    for arm in reversed(range(len(ranges))):
        arms[(share >= ranges[arm, 0]) & (share < ranges[arm, 1])] = arm
    return arms


def _fnv1a32(text: str) -> int:
    """Fowler, Noll and Vo's hash 1a of 32 bits over the UTF-16 code units of `text`."""
    state = _OFFSET_BASIS
    for code in np.frombuffer(text.encode("utf-16-le", "surrogatepass"), dtype="<u2").tolist():
        state = ((state ^ code) * _PRIME) & _MASK32
    return state


def _code_units(units: Sequence[str]) -> tuple[UInt16Array, Int64Array]:
    """All ids as one run of UTF-16 code units, and where each of them ends."""
    try:
        encoded = "".join(units).encode("utf-16-le")
        lengths = np.fromiter(map(len, units), dtype=np.int64, count=len(units))
        if len(encoded) != 2 * int(lengths.sum()):
            # Beyond the basic plane one character takes two code units.
            sizes = (len(unit.encode("utf-16-le")) // 2 for unit in units)
            lengths = np.fromiter(sizes, dtype=np.int64, count=len(units))
    except (TypeError, UnicodeEncodeError):
        # The id itself stays out of the message: it is personal.
        raise ContextError(f"unit ids must be Unicode text, {_first_wrong(units)} is not") from None
    codes = np.frombuffer(encoded, dtype="<u2").astype(np.uint16)
    return codes, np.cumsum(lengths)


def _first_wrong(units: Sequence[object]) -> str:
    for index, unit in enumerate(units):
        if not isinstance(unit, str) or any("\ud800" <= sign <= "\udfff" for sign in unit):
            return f"the one at index {index}"
    return "one of them"


@kernel
def _bucket_kernel(codes: UInt16Array, ends: Int64Array, salt_state: np.uint64) -> Int16Array:
    """Buckets of ids laid end to end; `salt_state` is the hash of the salt before them."""
    basis, prime = np.uint64(2166136261), np.uint64(16777619)
    mask, ten = np.uint64(0xFFFFFFFF), np.uint64(10)
    result = np.empty(ends.size, dtype=np.int16)
    start = np.int64(0)
    for row in range(ends.size):
        inner = salt_state
        for place in range(start, ends[row]):
            inner = ((inner ^ np.uint64(codes[place])) * prime) & mask
        start = ends[row]
        power = np.uint64(1)
        while inner // power >= ten:
            power *= ten
        outer = basis
        while power > np.uint64(0):
            digit = (inner // power) % ten
            outer = ((outer ^ (digit + np.uint64(48))) * prime) & mask
            power //= ten
        result[row] = np.int16(outer % np.uint64(10000))
    return result
