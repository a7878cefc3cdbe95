"""What a comparison needs of a sample: its size, means and centred second moments.

One pass over the units makes them; they merge, map and cumulate without the units. They are kept
centred, because the difference of raw sums loses all digits where a mean is large beside its
spread.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Self

import numpy as np

from matinee_platform.analysis.inference.group_sums import group_products, group_totals
from matinee_policies.arrays import AnyArray, FloatArray
from matinee_policies.errors import ContextError


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Moments of `k` numbers of each of `n` units.

    Attributes:
        n: units.
        mean: `float64 [k]`, NaN without units.
        centred: sums of products of deviations from the mean, `float64 [k, k]`.

    Raises:
        ContextError: on arrays that do not fit together, or fewer than 0 units.

    Example:
        >>> first, second = Moments.of(np.array([1.0, 2])), Moments.of(np.array([6.0]))
        >>> both = first.merged(second)
        >>> both.n, both.value, both.variance
        (3, 3.0, 7.0)
    """

    n: int
    mean: FloatArray
    centred: FloatArray

    def __post_init__(self) -> None:
        k = self.mean.size
        if self.n < 0 or not k or self.mean.shape != (k,) or self.centred.shape != (k, k):
            raise ContextError(
                "moments need n >= 0, means [k] and centred moments [k, k] with k >= 1, got "
                f"{self.n}, {list(self.mean.shape)} and {list(self.centred.shape)}"
            )

    @classmethod
    def of(cls, *columns: AnyArray) -> Self:
        """Moments of columns of one number per unit, `[n]` each, by two passes.

        Raises:
            ContextError: without columns, on columns of different length or a value that is no
                finite number.
        """
        values = _checked(columns)
        n = values[0].size
        if not n:
            return cls.none(len(values))
        mean = np.array([column.mean() for column in values])
        apart = [column - centre for column, centre in zip(values, mean, strict=True)]
        return cls(n, mean, _products(apart))

    @classmethod
    def none(cls, k: int) -> Self:
        """Moments of `k` numbers of no unit."""
        return cls(0, np.full(k, np.nan), np.zeros((k, k)))

    @classmethod
    def from_sums(
        cls,
        n: int,
        sums: FloatArray,
        products: FloatArray,
        *,
        shift: FloatArray | None = None,
    ) -> Self:
        """Moments of raw sums, as a database gives them.

        Args:
            n: units.
            sums: of `x - shift`, `float64 [k]`.
            products: sums of products of `x - shift`, `float64 [k, k]`.
            shift: taken off every value before it was summed, `float64 [k]`, 0 by default. A
                guess of the mean keeps the digits that raw sums lose.
        """
        start = np.zeros(sums.size) if shift is None else shift
        if n == 0:
            return cls.none(sums.size)
        mean = sums / n
        centred = products - np.outer(sums, mean)
        # Rounding may leave a square just below 0.
        np.fill_diagonal(centred, np.maximum(np.diag(centred), 0.0))
        return cls(int(n), start + mean, centred)

    def merged(self, other: "Moments") -> "Moments":
        """Moments of both samples together (Chan, Golub and LeVeque 1979).

        Raises:
            ContextError: when the samples have different numbers of columns.
        """
        if self.mean.size != other.mean.size:
            raise ContextError(
                f"merged moments need equal columns, got {self.mean.size} and {other.mean.size}"
            )
        if not self.n or not other.n:
            return self if self.n else other
        n = self.n + other.n
        step = other.mean - self.mean
        between = np.outer(step, step) * (self.n / n * other.n)
        return Moments(n, self.mean + step * (other.n / n), self.centred + other.centred + between)

    def select(self, *columns: int) -> "Moments":
        """Moments of some of the columns, in the order asked for."""
        chosen = list(columns)
        return Moments(self.n, self.mean[chosen], self.centred[np.ix_(chosen, chosen)])

    def mapped(self, matrix: FloatArray, offset: FloatArray) -> "Moments":
        """Moments of `matrix @ x + offset`; `[j, k]` and `[j]`."""
        centred = matrix @ self.centred @ matrix.T
        # Where columns cancel, as in a ratio that all units agree on, rounding may go below 0.
        np.fill_diagonal(centred, np.maximum(np.diag(centred), 0.0))
        return Moments(self.n, matrix @ self.mean + offset, centred)

    @property
    def value(self) -> float:
        """Mean of the first column."""
        return float(self.mean[0])

    @property
    def variance(self) -> float:
        """Sample variance of the first column (divided by n - 1), NaN below two units."""
        return float(self.centred[0, 0]) / (self.n - 1) if self.n > 1 else float("nan")

    @property
    def error2(self) -> float:
        """Squared standard error of the mean of the first column, NaN below two units."""
        return self.variance / self.n if self.n > 1 else float("nan")

    @property
    def covariance(self) -> FloatArray:
        """Sample covariances, `float64 [k, k]`, NaN below two units."""
        return self.centred / (self.n - 1) if self.n > 1 else np.full_like(self.centred, np.nan)


def moments_by_group(
    columns: Sequence[AnyArray], group: AnyArray, *, groups: int
) -> tuple[Moments, ...]:
    """Moments of each group of units (arm, look, segment or their product), in one go.

    Args:
        columns: one number per unit, `[n]` each.
        group: of each unit, within 0 and `groups`; below 0 for none, `int [n]`.
        groups: how many there are.

    Raises:
        ContextError: on columns of different length, a value that is no finite number or a group
            beyond the last.

    Example:
        >>> parts = moments_by_group([np.array([1.0, 5, 3])], np.array([0, 1, 0]), groups=2)
        >>> [(part.n, part.value) for part in parts]
        [(2, 2.0), (1, 5.0)]
    """
    values = _checked(columns)
    if group.shape != values[0].shape or (group.size and group.max() >= groups):
        raise ContextError(
            f"groups must be {values[0].size} numbers below {groups}, got {group.size} numbers"
            + (f" up to {group.max()}" if group.size else "")
        )
    group = group.astype(np.int64, copy=False)
    used = group >= 0
    if not used.all():
        values, group = [column[used] for column in values], group[used]
    count = np.bincount(group, minlength=groups)
    size = np.maximum(count, 1)[:, None]
    centre = group_totals(values, group, groups=groups) / size
    # What the first pass rounded off is what the deviations do not sum to 0 by.
    rest, centred = group_products(values, group, centre)
    centred -= rest[:, :, None] * rest[:, None, :] / size[:, :, None]
    mean, k = centre + rest / size, len(values)
    return tuple(
        Moments(int(count[g]), mean[g], centred[g]) if count[g] else Moments.none(k)
        for g in range(groups)
    )


def cumulative(parts: Sequence[Moments]) -> list[Moments]:
    """Moments of all units up to and with each part: from sums by look to running ones."""
    return list(accumulate(parts, Moments.merged))


def _checked(columns: Sequence[AnyArray]) -> list[FloatArray]:
    if not columns:
        raise ContextError("moments need at least one column, got none")
    values = [np.asarray(column, dtype=np.float64) for column in columns]
    n = values[0].size
    for k, column in enumerate(values):
        if column.shape != (n,):
            raise ContextError(
                f"columns must be [{n}] each, got {list(column.shape)} for column {k}"
            )
        broken = ~np.isfinite(column)
        if broken.any():
            row = int(broken.argmax())
            raise ContextError(
                f"values must be finite, got {column[row]} in row {row} of column {k} "
                f"({int(broken.sum())} of {n})"
            )
    return values


def _products(apart: Sequence[FloatArray]) -> FloatArray:
    k = len(apart)
    centred = np.empty((k, k))
    for i in range(k):
        for j in range(i, k):
            centred[i, j] = centred[j, i] = (apart[i] * apart[j]).sum()
    return centred
