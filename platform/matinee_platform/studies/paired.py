"""Differences between two arms on the same users, over several seeds, with their errors."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy.stats import norm
from scipy.stats import t as student

from matinee_platform.analysis.compare import linearised
from matinee_policies.arrays import FloatArray
from matinee_policies.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Difference:
    """What the second arm has more than the first: means over seeds.

    Attributes:
        name: of the comparison.
        first: mean of the first.
        second: mean of the second.
        difference: second minus first.
        user_error: standard error over users, paired.
        seed_error: the same from the spread of the seeds, NaN for one seed.
        p_users: two-sided, by the normal law over users.
        p_seeds: two-sided, by Student's law over seeds, NaN for one seed.
        by_seed: the difference of each seed.
    """

    name: str
    first: float
    second: float
    difference: float
    user_error: float
    seed_error: float
    p_users: float
    p_seeds: float
    by_seed: tuple[float, ...]

    def text(self, *, digits: int = 4) -> str:
        """One line for people."""
        seeds = " ".join(f"{value:+.{digits}f}" for value in self.by_seed)
        return (
            f"{self.name}: {self.first:.{digits}f} -> {self.second:.{digits}f}, "
            f"{self.difference:+.{digits}f} +- {self.user_error:.{digits}f} over users "
            f"(p {self.p_users:.2g}), +- {self.seed_error:.{digits}f} over seeds "
            f"(p {self.p_seeds:.2g}); by seed {seeds}"
        )


def difference(name: str, first: Sequence[FloatArray], second: Sequence[FloatArray]) -> Difference:
    """Compare one number per user, of the same users in the same order.

    Args:
        name: of the comparison.
        first: one array `float64 [n]` per seed.
        second: likewise.

    Raises:
        ConfigError: if there are no seeds, or a seed has fewer than two users.

    Example:
        >>> import numpy as np
        >>> found = difference("clicks", [np.array([1.0, 2.0])], [np.array([2.0, 5.0])])
        >>> found.difference, found.user_error
        (2.0, 1.0)
    """
    pairs = [(one, other) for one, other in zip(first, second, strict=True)]
    if not pairs or any(one.size < 2 for one, _ in pairs):
        raise ConfigError("a comparison needs at least one seed and two users")
    gaps = [other - one for one, other in pairs]
    by_seed = [float(gap.mean()) for gap in gaps]
    user_error = math.sqrt(math.fsum(float(g.var(ddof=1)) / g.size for g in gaps)) / len(gaps)
    mean = fmean(by_seed)
    seed_error, p_seeds = math.nan, math.nan
    if len(by_seed) > 1:
        seed_error = stdev(by_seed) / math.sqrt(len(by_seed))
        if seed_error > 0.0:
            p_seeds = 2.0 * float(student.sf(abs(mean) / seed_error, len(by_seed) - 1))
    return Difference(
        name=name,
        first=fmean(float(one.mean()) for one, _ in pairs),
        second=fmean(float(other.mean()) for _, other in pairs),
        difference=mean,
        user_error=user_error,
        seed_error=seed_error,
        p_users=2.0 * float(norm.sf(abs(mean) / user_error)) if user_error > 0.0 else math.nan,
        p_seeds=p_seeds,
        by_seed=tuple(by_seed),
    )


def ratio_difference(
    name: str,
    first: Sequence[tuple[FloatArray, FloatArray]],
    second: Sequence[tuple[FloatArray, FloatArray]],
) -> Difference:
    """Compare a ratio of sums over users by the delta method.

    Args:
        name: of the comparison.
        first: numerators and denominators of each user, a pair per seed.
        second: of the same users in the same order.
    """
    return difference(
        name,
        [linearised(*pair) for pair in first],
        [linearised(*pair) for pair in second],
    )
