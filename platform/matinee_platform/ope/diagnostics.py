"""What goes with every value: how much of the log speaks of the target, and how evenly."""

import math
from dataclasses import dataclass

import numpy as np

from matinee_platform.ope.weighted_sums import WeightedSums
from matinee_policies.arrays import AnyArray
from matinee_policies.config import check_range, check_whole
from matinee_policies.errors import ContextError


@dataclass(frozen=True, slots=True)
class Diagnostics:
    """Of one column of weights: a slot's, a page's or a slate's.

    Attributes:
        rows: with a propensity, those that the value is made of.
        effective: sample size, `(sum w)^2 / sum w^2` (Kong 1992); 0 if all weights are.
        largest: weight seen; NaN without rows.
        largest_share: of the sum of the weights; NaN if that is 0.
        mean: weight, 1 in expectation where the logging law covers the target's; NaN without rows.
        mean_error: standard error of `mean`; NaN below two rows.
        positives: rows with a reward above 0 at a weight above 0; others do not tell of the target.
        unreachable: mass that the target puts on items that the logging law could not show, mean
            over the rows; NaN if unknown.
        unmatched: rows without a matching propensity, left out of the value.

    Raises:
        ConfigError: on a number that cannot be.
    """

    rows: int
    effective: float
    largest: float
    largest_share: float
    mean: float
    mean_error: float
    positives: int
    unreachable: float
    unmatched: int = 0

    def __post_init__(self) -> None:
        check_whole("rows", self.rows, low=0)
        check_whole("positives", self.positives, low=0)
        check_whole("rows without a propensity", self.unmatched, low=0)
        check_range("effective sample size", self.effective, low=0)
        if not math.isnan(self.unreachable):
            # Masses that were summed in floating point may end a hair beyond 1.
            check_range("mass on unlogged items", self.unreachable, low=-1e-6, high=1 + 1e-6)

    @classmethod
    def of(
        cls,
        weights: AnyArray,
        rewards: AnyArray,
        *,
        unreachable: AnyArray | float,
        unmatched: int = 0,
        units: AnyArray | None = None,
    ) -> "Diagnostics":
        """Diagnostics of rows.

        Args:
            weights: finite, >= 0, `float64 [n]`.
            rewards: finite, `float64 [n]`.
            unreachable: target mass on unlogged items, of each row, `float64 [n]`, or their mean.
            unmatched: rows without a matching propensity, not among these.
            units: of each row, `[n]`: then the error of the mean weight is that of a sum over
                units, whose rows resemble each other; given once per row by default.

        Raises:
            ContextError: on shapes that do not fit, a negative weight or what is no finite number.

        Example:
            >>> found = Diagnostics.of(np.array([0.0, 2.0, 1.0]), np.ones(3), unreachable=0.0)
            >>> found.effective, found.mean, found.positives
            (1.8, 1.0, 2)
        """
        w = np.asarray(weights, dtype=np.float64)
        if w.ndim != 1:
            raise ContextError(f"weights of one column must be a row, got {list(w.shape)}")
        sums = WeightedSums.of(w, rewards)
        mass = np.asarray(unreachable, dtype=np.float64)
        if mass.shape not in ((), w.shape):
            raise ContextError(f"masses must be [{w.size}] or one, got {list(mass.shape)}")
        error = None if units is None else clustered_error(w, units)
        return cls.from_sums(
            sums,
            unreachable=float(mass.mean()) if mass.size else math.nan,
            unmatched=unmatched,
            mean_error=error,
        )

    @classmethod
    def from_sums(
        cls,
        sums: WeightedSums,
        *,
        unreachable: float,
        unmatched: int = 0,
        mean_error: float | None = None,
    ) -> "Diagnostics":
        """Diagnostics of sums without further axes; arguments as `of`.

        Args:
            sums: of the log's weights and rewards.
            unreachable: mean target mass on unlogged items.
            unmatched: rows without a matching propensity.
            mean_error: of the mean weight, of independent rows by default.
        """
        n, total = float(sums.rows), float(sums.weight)
        mean = total / n if n else math.nan
        if mean_error is None:
            spread = max(float(sums.weight2) - n * mean * mean, 0.0) if n > 1 else math.nan
            mean_error = math.sqrt(spread / (n - 1) / n) if n > 1 else math.nan
        return cls(
            rows=round(n),
            effective=float(sums.effective),
            largest=float(sums.largest) if n else math.nan,
            largest_share=float(sums.largest) / total if total else math.nan,
            mean=mean,
            mean_error=mean_error,
            positives=round(float(sums.positives)),
            unreachable=unreachable,
            unmatched=unmatched,
        )

    @property
    def effective_share(self) -> float:
        """Effective sample size as a share of the rows; NaN without rows."""
        return self.effective / self.rows if self.rows else math.nan

    @property
    def unmatched_share(self) -> float:
        """Rows without a matching propensity, of all; NaN without any."""
        seen = self.rows + self.unmatched
        return self.unmatched / seen if seen else math.nan


def clustered_error(values: AnyArray, units: AnyArray) -> float:
    """Standard error of a mean over rows, by the delta method over units; NaN below two units.

    Args:
        values: one per row, `float64 [n]`.
        units: whose each row is, `[n]`.

    Raises:
        ContextError: on another number of units than of values.
    """
    if np.shape(units) != np.shape(values):
        raise ContextError(f"units must be {np.shape(values)}, got {np.shape(units)}")
    _, place = np.unique(units, return_inverse=True)
    count = int(place.max(initial=-1)) + 1
    if count < 2:
        return math.nan
    residual = np.bincount(place, weights=values - np.mean(values), minlength=count)
    return float(np.sqrt((residual**2).sum() * count / (count - 1)) / len(values))
