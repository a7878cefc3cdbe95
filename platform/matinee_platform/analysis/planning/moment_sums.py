"""Columns of metrics, summed for many arms at once: the moments of each from one product.

A row of sums is linear in who is in the arm, so that `[arms, n] @ [n, width]` gives the moments of
every arm of every assignment, where reading the units anew for each would take the day.
"""

from collections.abc import Mapping
from copy import copy

import numpy as np

from matinee_platform.analysis.inference.cuped import with_missing_indicator
from matinee_platform.analysis.inference.moments import Moments
from matinee_platform.analysis.unit_metrics import UnitMetric
from matinee_policies.arrays import AnyArray, FloatArray
from matinee_policies.errors import ContextError


class MomentSums:
    """Columns of one metric, then those of covariates, centred, of the units that it speaks of.

    Args:
        metric: of `n` units.
        covariates: known before exposure, by name, `float64 [n]`, NaN for none; each becomes two
            columns (`cuped.with_missing_indicator`).

    Attributes:
        metric: as given.
        width: numbers of a row of sums: units, sums, and sums of products of the columns.

    Raises:
        ContextError: on covariates of other units.
    """

    def __init__(self, metric: UnitMetric, covariates: Mapping[str, FloatArray]) -> None:
        n = metric.units.size
        if any(one.shape != (n,) for one in covariates.values()):
            raise ContextError(
                f"covariates must be of the {n} units of {metric.name!r}, got "
                f"{[one.size for one in covariates.values()]}"
            )
        columns = list(metric.columns)
        for covariate in covariates.values():
            columns += with_missing_indicator(covariate[metric.units])
        self.metric = metric
        self._place = np.cumsum(metric.units) - 1
        # Centred before squares are summed: raw sums lose digits where a mean is large.
        self._centre = np.array([column.mean() if column.size else 0.0 for column in columns])
        self._values = np.stack(columns, axis=1) - self._centre
        self._pairs = [(i, j) for i in range(len(columns)) for j in range(i, len(columns))]
        self.width = 1 + len(columns) + len(self._pairs)

    @property
    def own(self) -> int:
        """Columns of the metric itself; those after them are covariates."""
        return len(self.metric.columns)

    @property
    def has_covariates(self) -> bool:
        """Whether there are any columns but the metric's."""
        return self._centre.size > self.own

    def of(self, metric: UnitMetric) -> "MomentSums":
        """Of other values of the same metric and units, centred as these: sums can be compared.

        Raises:
            ContextError: on other units, or a mean for a ratio.
        """
        if len(metric.columns) != self.own or (metric.units != self.metric.units).any():
            raise ContextError(f"values must be of the same units as those of {self.metric.name!r}")
        found = copy(self)
        found.metric, found._values = metric, self._values.copy()
        for place, column in enumerate(metric.columns):
            found._values[:, place] = column - self._centre[place]
        return found

    def rows(self, units: slice | AnyArray) -> FloatArray:
        """What is summed over some units, `float64 [k, width]`; 0 for those left out.

        Args:
            units: places among the `n`.
        """
        used = self.metric.units[units]
        k = self._centre.size
        out = np.zeros((used.size, self.width))
        values = self._values[self._place[units][used]]
        out[used, 0] = 1.0
        out[used, 1 : 1 + k] = values
        for place, (i, j) in enumerate(self._pairs, start=1 + k):
            out[used, place] = values[:, i] * values[:, j]
        return out

    def moments(self, sums: FloatArray) -> Moments:
        """Moments of an arm, from the sum of the rows of its units, `float64 [width]`."""
        k = self._centre.size
        products = np.empty((k, k))
        for value, (i, j) in zip(sums[1 + k :], self._pairs, strict=True):
            products[i, j] = products[j, i] = value
        units = round(float(sums[0]))
        return Moments.from_sums(units, sums[1 : 1 + k], products, shift=self._centre)

    def many_moments(self, sums: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """As `moments`, of many arms: units `[...]`, means `[..., k]`, centred `[..., k, k]`.

        Args:
            sums: `float64 [..., width]`.
        """
        k = self._centre.size
        products = np.empty((*sums.shape[:-1], k, k))
        for place, (i, j) in enumerate(self._pairs, start=1 + k):
            products[..., i, j] = products[..., j, i] = sums[..., place]
        n, total = np.rint(sums[..., 0]), sums[..., 1 : 1 + k]
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = total / n[..., None]
        products -= total[..., :, None] * np.nan_to_num(mean)[..., None, :]
        diagonal = np.einsum("...ii->...i", products)
        np.maximum(diagonal, 0.0, out=diagonal)
        return n, self._centre + mean, products
