"""Intervals that hold at every look at once, also on logs whose policy learned as it went.

The ends are empirical Bernstein confidence sequences under the gamma-exponential mixture (Howard,
Ramdas, McAuliffe and Sekhon 2021, proposition 9), for the importance weighted rewards of
Waudby-Smith, Wu, Ramdas, Karampatziakis and Mineiro 2022 ("Anytime-valid off-policy inference for
contextual bandits").

They assume that each logged propensity is exact given all that came before, that the target's law
and the range of rewards do not depend on what is to come, and nothing about how contexts arrive:
rows may depend on each other in any way that the past explains. What they hold is the mean over
the rows so far of each row's expected reward under the target, given its past. Rows come in the
order of time, and their reward must not tell of a later choice.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from matinee_platform.analysis.inference.effect import check_confidence
from matinee_platform.ope.interval import Interval, RewardRange
from matinee_policies.arrays import AnyArray, FloatArray, Int64Array
from matinee_policies.config import check_range
from matinee_policies.errors import ContextError

RHO = 1.0
"""Tuning of the mixture: the intrinsic time, in squared rewards, at which it is tightest."""

_HALVINGS = 80


@dataclass(frozen=True, slots=True, eq=False)
class AnytimeSums:
    """What a confidence sequence keeps of the rows so far, elementwise over leading axes.

    Rewards are scaled to [0, 1] by their range. The lower end sums `x = w r`, with the running
    mean, at most 1, as its prediction `p`. The upper end does the same with `w (1 - r)`, unless a
    largest weight `M` is known: then it sums `y = k + w (r - k)` with `k` the running
    self-normalised value, which leaves the weights' own noise out; so the end at 0.3 % of clicks
    is many times nearer.

    Attributes:
        rewards: range that is possible.
        largest: weight that is possible; infinity if unknown.
        rows: so far, `float64 [...]`.
        weight: sum of `w`, `float64 [...]`.
        gain: sum of `w r`, `float64 [...]`.
        low_time: sum of `(x - p)^2`, `float64 [...]`.
        centre: sum of `y`, or of `1 - w (1 - r)` without a largest weight, `float64 [...]`.
        high_time: sum of the squares of `w (r - k) / M`, or as `low_time`, `float64 [...]`.
    """

    rewards: RewardRange
    largest: float
    rows: FloatArray
    weight: FloatArray
    gain: FloatArray
    low_time: FloatArray
    centre: FloatArray
    high_time: FloatArray

    @classmethod
    def none(
        cls,
        *,
        largest: float = math.inf,
        rewards: RewardRange | None = None,
        shape: tuple[int, ...] = (),
    ) -> "AnytimeSums":
        """Sums of no rows.

        Args:
            largest: weight that is possible, >= 1; infinity if unknown.
            rewards: range that is possible, 0 to 1 by default.
            shape: of the leading axes.

        Raises:
            ConfigError: on a largest weight below 1.
        """
        if not math.isinf(largest):
            check_range("largest weight", largest, low=1)
        sums = (np.zeros(shape) for _ in range(6))
        return cls(rewards or RewardRange(), largest, *sums)

    def then(self, weights: AnyArray, rewards: AnyArray) -> "AnytimeSums":
        """Sums with some more rows, in the order of time.

        Args:
            weights: finite, >= 0, at most the largest, `float64 [..., n]`.
            rewards: within their range, `float64 [..., n]`.

        Raises:
            ContextError: on what is not.
        """
        w, r = self._scaled(weights, rewards)
        if not w.shape[-1]:
            return self
        before = self.rows[..., None] + np.arange(w.shape[-1])
        weight, gain = _running(self.weight, w), _running(self.gain, w * r)
        x = w * r
        low = x - np.minimum((gain + 0.5) / (before + 1), 1.0)
        if math.isinf(self.largest):
            z = w * (1 - r)
            high = z - np.minimum((weight - gain + 0.5) / (before + 1), 1.0)
            centre = 1 - z
        else:
            # A weight of 1 and half a reward go before the first row.
            k = (gain + 0.5) / (weight + 1)
            moved = w * (r - k)
            high, centre = moved / self.largest, k + moved
        return replace(
            self,
            rows=self.rows + w.shape[-1],
            weight=self.weight + w.sum(axis=-1),
            gain=self.gain + x.sum(axis=-1),
            low_time=self.low_time + (low * low).sum(axis=-1),
            centre=self.centre + centre.sum(axis=-1),
            high_time=self.high_time + (high * high).sum(axis=-1),
        )

    def bounds(self, *, confidence: float = 0.95) -> tuple[FloatArray, FloatArray]:
        """Both ends at this look, elementwise, in the rewards' own unit.

        All looks together are held with this confidence. Before the first row it is their range.
        """
        check_confidence(confidence)
        level = (1 - confidence) / 2
        n = np.maximum(self.rows, 1.0)
        scale = 1.0 if math.isinf(self.largest) else self.largest
        low = (self.gain - boundary(self.low_time, level=level)) / n
        high = (self.centre + scale * boundary(self.high_time, level=level)) / n
        none = self.rows == 0
        low, high = np.where(none, 0.0, low), np.where(none, 1.0, high)
        low, high = np.clip(low, 0.0, 1.0), np.clip(high, 0.0, 1.0)
        # Each end misses at most half the time that is allowed; where they cross, one did.
        high = np.maximum(low, high)
        start, width = self.rewards.low, self.rewards.width
        return start + low * width, start + high * width

    def interval(self, *, confidence: float = 0.95) -> Interval:
        """The interval at this look, of sums without further axes; see `bounds`."""
        low, high = self.bounds(confidence=confidence)
        return Interval(float(low), float(high), confidence, "anytime")

    def _scaled(self, weights: AnyArray, rewards: AnyArray) -> tuple[FloatArray, FloatArray]:
        w, r = (np.asarray(some, dtype=np.float64) for some in (weights, rewards))
        if w.shape != r.shape or w.shape[:-1] != self.rows.shape or w.ndim != self.rows.ndim + 1:
            raise ContextError(
                f"rows must be {[*self.rows.shape, 'n']}, got {w.shape} and {r.shape}"
            )
        for name, values in (("weights", w), ("rewards", r)):
            if not np.isfinite(values).all():
                raise ContextError(f"{name} must be finite, got {values[~np.isfinite(values)][0]}")
        if w.size and not (w.min() >= 0 and w.max() <= self.largest * (1 + 1e-9)):
            raise ContextError(
                f"weights must be within 0 and {self.largest:g}, got {w.min():g} to {w.max():g}"
            )
        if w.size:
            # A weight of 0 hides its reward.
            seen = r[w > 0] if (w > 0).any() else r[:0]
            if seen.size:
                self.rewards.check_holds(float(seen.min()), float(seen.max()))
        scaled = (r - self.rewards.low) / self.rewards.width
        return w, np.where(w > 0, scaled, 0.0)


def anytime_sequence(
    weights: AnyArray,
    rewards: AnyArray,
    *,
    looks: Int64Array,
    largest: float = math.inf,
    reward_range: RewardRange | None = None,
    confidence: float = 0.95,
) -> tuple[FloatArray, FloatArray]:
    """Ends of the interval after each number of rows in `looks`, `float64 [..., looks]` each.

    Args:
        weights: in the order of time, `float64 [..., n]`.
        rewards: likewise, `float64 [..., n]`.
        looks: numbers of rows, rising, within 1 and `n`, `int64 [looks]`.
        largest: weight that is possible; infinity if unknown.
        reward_range: range that is possible, 0 to 1 by default.
        confidence: that no look ever misses.

    Raises:
        ContextError: on looks out of their range or order, and as `AnytimeSums.then`.

    Example:
        >>> rng = np.random.default_rng(1)
        >>> weights, clicks = rng.choice([0.0, 2.0], size=10_000), rng.random(10_000) < 0.3
        >>> looks = np.array([1_000, 10_000])
        >>> low, high = anytime_sequence(weights, clicks, looks=looks, largest=2)
        >>> bool((low < 0.3).all() and (high > 0.3).all()), (high - low).round(2).tolist()
        (True, [0.16, 0.05])
    """
    steps = np.diff(looks, prepend=0)
    if steps.size == 0 or steps.min() < 1 or looks[-1] > np.shape(weights)[-1]:
        raise ContextError(f"looks must rise from 1 to {np.shape(weights)[-1]}, got {looks}")
    sums = AnytimeSums.none(
        largest=largest, rewards=reward_range, shape=tuple(np.shape(weights)[:-1])
    )
    ends = []
    start = 0
    for stop in looks.tolist():
        sums = sums.then(weights[..., start:stop], rewards[..., start:stop])
        ends.append(sums.bounds(confidence=confidence))
        start = stop
    return (
        np.stack([low for low, _ in ends], axis=-1),
        np.stack([high for _, high in ends], axis=-1),
    )


def log_wealth(s: AnyArray | float, v: AnyArray | float, *, rho: float = RHO) -> FloatArray:
    """Logarithm of the gamma-exponential mixture at sum `s` >= 0 and intrinsic time `v` >= 0.

    One over the chance, at most, that a sum with this intrinsic time ever gets so far:
    `rho^rho / (Gamma(rho) P(rho, rho)) Gamma(v + rho) P(v + rho, s + v + rho)
    exp(s + v) / (s + v + rho)^(v + rho)`, `P` the regularised lower incomplete gamma function.
    """
    a = np.asarray(v, dtype=np.float64) + rho
    x = np.asarray(s, dtype=np.float64) + a
    found: FloatArray = (
        (x - rho)
        + rho * math.log(rho)
        - a * np.log(x)
        + special.gammaln(a)
        + np.log(special.gammainc(a, x))
        - special.gammaln(rho)
        - math.log(special.gammainc(rho, rho))
    )
    return found


def boundary(v: AnyArray | float, *, level: float, rho: float = RHO) -> FloatArray:
    """The sum that is passed at any time with chance `level` at most, by intrinsic time.

    Args:
        v: intrinsic time, >= 0, elementwise.
        level: within (0, 1).
        rho: tuning of the mixture, > 0.
    """
    time = np.asarray(v, dtype=np.float64)
    wanted = -math.log(level)
    low = np.zeros_like(time)
    high = np.full_like(time, 1.0)
    # The wealth grows with the sum beyond all bounds.
    while (short := log_wealth(high, time, rho=rho) < wanted).any():
        high = np.where(short, 2 * high, high)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        short = log_wealth(middle, time, rho=rho) < wanted
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    # The upper end, so that rounding errs on the safe side.
    return high


def _running(start: FloatArray, steps: FloatArray) -> FloatArray:
    """Sums before each step."""
    return start[..., None] + np.cumsum(steps, axis=-1) - steps
