"""Additive sums of weights and rewards, all that the intervals of a weighted mean ask for.

Everything is elementwise over leading axes that the caller chooses: the slots of a page, the
candidates of a comparison, the logs of a simulation.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from matinee_platform.ope.interval import RewardRange
from matinee_policies.arrays import AnyArray, FloatArray
from matinee_policies.errors import ContextError


@dataclass(frozen=True, slots=True, eq=False)
class WeightedSums:
    """Sums over rows of a weight `w` >= 0 whose expectation is 1, and a reward `r`.

    Attributes:
        rows: how many there are, `float64 [...]`.
        weight: sum of `w`, `float64 [...]`.
        weight2: sum of `w^2`, `float64 [...]`.
        gain: sum of `w r`, `float64 [...]`.
        weight_gain: sum of `w^2 r`, `float64 [...]`.
        gain2: sum of `w^2 r^2`, `float64 [...]`.
        largest: weight seen, 0 without rows, `float64 [...]`.
        reward_low: smallest reward seen at a weight above 0, infinity without, `float64 [...]`.
        reward_high: largest one, -infinity without, `float64 [...]`.
        positives: rows with a reward above 0 at a weight above 0: those that speak of the target,
            `float64 [...]`.

    Example:
        >>> sums = WeightedSums.of(np.array([0.0, 2.0, 1.0]), np.array([1.0, 1.0, 0.0]))
        >>> float(sums.value), float(sums.effective), float(sums.positives)
        (0.6666666666666666, 1.8, 1.0)
    """

    rows: FloatArray
    weight: FloatArray
    weight2: FloatArray
    gain: FloatArray
    weight_gain: FloatArray
    gain2: FloatArray
    largest: FloatArray
    reward_low: FloatArray
    reward_high: FloatArray
    positives: FloatArray

    @classmethod
    def of(cls, weights: AnyArray, rewards: AnyArray, *, counts: AnyArray | None = None) -> Self:
        """Sums over the last axis.

        Args:
            weights: finite, >= 0, `float64 [..., n]`.
            rewards: finite, `float64 [..., n]`.
            counts: how often each pair was seen, >= 0, `[..., n]`, 1 by default: a log of few
                distinct pairs, such as of clicks under few distinct weights, is short that way.

        Raises:
            ContextError: on shapes that do not fit, a negative weight or what is no finite number.
        """
        w, r = _checked(weights, rewards)
        c = np.ones_like(w) if counts is None else np.asarray(counts, dtype=np.float64)
        if c.shape != w.shape or not (c >= 0).all():
            raise ContextError(f"counts must be >= 0, [{w.shape}], got {c.shape}")
        used = (w > 0) & (c > 0)
        # Products over the slots of long pages may overflow; no effective rows are left then.
        with np.errstate(over="ignore", invalid="ignore"):
            cw = c * w
            cww, wr = cw * w, cw * r
            return cls(
                rows=c.sum(axis=-1),
                weight=cw.sum(axis=-1),
                weight2=cww.sum(axis=-1),
                gain=wr.sum(axis=-1),
                weight_gain=(cww * r).sum(axis=-1),
                gain2=(wr * w * r).sum(axis=-1),
                largest=np.where(c > 0, w, 0.0).max(axis=-1, initial=0.0),
                reward_low=np.where(used, r, np.inf).min(axis=-1, initial=np.inf),
                reward_high=np.where(used, r, -np.inf).max(axis=-1, initial=-np.inf),
                positives=np.where(used & (r > 0), c, 0.0).sum(axis=-1),
            )

    @classmethod
    def of_pages(cls, weights: AnyArray, rewards: AnyArray) -> Self:
        """Sums of whole pages: the value is then that of the sum of rewards over the slots.

        A page counts with the mean weight of its slots, whose expectation is 1 as well, and with
        the reward per unit of it, `sum_l w_l r_l / mean_l w_l`. That lies within `L` times the
        range of a slot's reward (`RewardRange.times`), and the largest page weight is at most the
        largest weight of a slot. So a page with its dependent slots is one row of one weight, and
        every interval holds for it as it stands.

        Args:
            weights: of each slot, finite, >= 0, `float64 [..., n, L]`.
            rewards: of each slot, finite, `float64 [..., n, L]`.

        Raises:
            ContextError: as `of`.
        """
        return cls.of(*page_rows(weights, rewards))

    @classmethod
    def from_totals(
        cls,
        rows: AnyArray | float,
        *,
        weight: AnyArray | float,
        weight2: AnyArray | float,
        gain: AnyArray | float,
        weight_gain: AnyArray | float,
        gain2: AnyArray | float,
        largest: AnyArray | float,
        positives: AnyArray | float,
    ) -> Self:
        """Sums that another pass made, elementwise over any axes.

        The gains may be of residuals, `w (r - predicted)`: then intervals are those of the
        correction that a doubly robust value adds to its prediction (`Interval.moved`). Extremes of
        the rewards are unknown, and not held against their range.

        Args:
            rows: how many there are.
            weight: sum of `w`, `float64 [...]`.
            weight2: sum of `w^2`, `float64 [...]`.
            gain: sum of `w r`, `float64 [...]`.
            weight_gain: sum of `w^2 r`, `float64 [...]`.
            gain2: sum of `w^2 r^2`, `float64 [...]`.
            largest: weight seen, `float64 [...]`.
            positives: rows with a reward above 0 at a weight above 0, `float64 [...]`.

        Raises:
            ContextError: on totals of different shapes.
        """
        given = (weight, weight2, gain, weight_gain, gain2, largest, positives)
        totals = [np.asarray(some, dtype=np.float64) for some in given]
        shape = totals[0].shape
        if any(some.shape != shape for some in totals):
            raise ContextError(f"totals need one shape, got {[some.shape for some in totals]}")
        count = np.broadcast_to(np.asarray(rows, dtype=np.float64), shape)
        none = np.full(shape, np.inf)
        return cls(
            rows=count,
            weight=totals[0],
            weight2=totals[1],
            gain=totals[2],
            weight_gain=totals[3],
            gain2=totals[4],
            largest=totals[5],
            reward_low=none,
            reward_high=-none,
            positives=totals[6],
        )

    @classmethod
    def pages_from_products(
        cls,
        rows: float,
        *,
        weight: AnyArray,
        gain: AnyArray,
        weight2: AnyArray,
        weight_gain: AnyArray,
        gain2: AnyArray,
        largest: AnyArray,
        positives: float,
    ) -> Self:
        """As `of_pages`, from sums over rows of products of any two slots.

        Args:
            rows: how many pages there are.
            weight: sums of `w_l`, `float64 [L]`.
            gain: sums of `w_l r_l`, `float64 [L]`.
            weight2: sums of `w_l w_m`, `float64 [L, L]`.
            weight_gain: sums of `w_l w_m r_m`, `float64 [L, L]`.
            gain2: sums of `w_l r_l w_m r_m`, `float64 [L, L]`.
            largest: weight seen at each slot, `float64 [L]`; their mean bounds that of a page.
            positives: pages with a positive reward at a weight above 0.

        Raises:
            ContextError: on sums whose shapes do not fit.
        """
        slots = np.size(weight)
        shapes = [np.shape(some) for some in (weight, gain, largest)]
        squares = [np.shape(some) for some in (weight2, weight_gain, gain2)]
        if not slots or shapes != [(slots,)] * 3 or squares != [(slots, slots)] * 3:
            raise ContextError(f"products need [L] and [L, L], got {[*shapes, *squares]}")
        return cls.from_totals(
            rows,
            weight=float(np.sum(weight)) / slots,
            weight2=float(np.sum(weight2)) / slots**2,
            gain=float(np.sum(gain)),
            weight_gain=float(np.sum(weight_gain)) / slots,
            gain2=float(np.sum(gain2)),
            largest=float(np.mean(largest)),
            positives=positives,
        )

    def merged(self, other: "WeightedSums") -> "WeightedSums":
        """Sums over the rows of both."""
        return WeightedSums(
            rows=self.rows + other.rows,
            weight=self.weight + other.weight,
            weight2=self.weight2 + other.weight2,
            gain=self.gain + other.gain,
            weight_gain=self.weight_gain + other.weight_gain,
            gain2=self.gain2 + other.gain2,
            largest=np.maximum(self.largest, other.largest),
            reward_low=np.minimum(self.reward_low, other.reward_low),
            reward_high=np.maximum(self.reward_high, other.reward_high),
            positives=self.positives + other.positives,
        )

    @property
    def value(self) -> FloatArray:
        """The inverse propensity score, `sum w r / n`; NaN without rows."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(self.gain / self.rows)

    @property
    def effective(self) -> FloatArray:
        """Effective sample size, `(sum w)^2 / sum w^2` (Kong 1992), 0 if all weights are."""
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            size = self.weight * self.weight / self.weight2
        return np.where(self.weight2 > 0, np.minimum(size, self.rows), 0.0)

    def check(self, rewards: RewardRange, largest: float) -> None:
        """Refuse sums of what cannot be: no rows, rewards out of range, weights above the largest.

        Raises:
            ContextError: with the value and the rule.
        """
        if not (self.rows >= 1).all():
            raise ContextError("an interval needs at least one row, got none")
        rewards.check_holds(
            _finite_or_nan(self.reward_low.min()), _finite_or_nan(self.reward_high.max())
        )
        seen = float(self.largest.max())
        if seen > largest * (1 + 1e-9):
            raise ContextError(
                f"the largest weight is known to be {largest:g}, got one of {seen:g}"
            )


def page_rows(weights: AnyArray, rewards: AnyArray) -> tuple[FloatArray, FloatArray]:
    """Weight and reward of each page as of one row, see `WeightedSums.of_pages`; `[..., n]`."""
    w, r = _checked(weights, rewards)
    if not w.ndim or not w.shape[-1]:
        raise ContextError(f"pages need at least one slot, got shape {list(w.shape)}")
    page = w.mean(axis=-1)
    gain = (w * r).sum(axis=-1)
    return page, np.divide(gain, page, out=np.zeros_like(gain), where=page > 0)


def _checked(weights: AnyArray, rewards: AnyArray) -> tuple[FloatArray, FloatArray]:
    w, r = (np.asarray(some, dtype=np.float64) for some in (weights, rewards))
    if w.shape != r.shape:
        raise ContextError(f"weights and rewards need one shape, got {w.shape} and {r.shape}")
    for name, values in (("weights", w), ("rewards", r)):
        if not np.isfinite(values).all():
            raise ContextError(f"{name} must be finite, got {values[~np.isfinite(values)][0]}")
    if (w < 0).any():
        raise ContextError(f"weights must be >= 0, got {w.min():g}")
    return w, r


def _finite_or_nan(value: float) -> float:
    return float(value) if np.isfinite(value) else float("nan")
