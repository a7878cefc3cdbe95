"""How an arm is chosen from predicted rewards and their variances, round by round."""

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from matinee_policies.arrays import FloatArray
from matinee_policies.compiled import kernel
from matinee_policies.config import check_range
from matinee_policies.philox import random_bits

_SHIFT11 = np.uint64(11)
_TO_UNIT = 2.0**-53
_HALF_STEP = 2.0**-54


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimism:
    """The largest upper bound: value + alpha width (Li et al. 2010, eqs. 4-5)."""

    alpha: float = 1.0
    """Widths to add to the predicted reward, at least 0."""

    def __post_init__(self) -> None:
        check_range("alpha", self.alpha, low=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class EpsilonDraws:
    """The largest value, or with probability epsilon_n in round n = 0, 1, ... any arm.

    epsilon_n = max(least, epsilon / (1 + n / decay_rounds)), after Auer et al. 2002, "Finite-time
    analysis of the multiarmed bandit problem", section 2.
    """

    epsilon: float = 0.1
    """Probability of a uniform draw in round 0, in [0, 1]."""

    decay_rounds: float = math.inf
    """Rounds after which epsilon has halved, above 0; it stays as it is if infinite."""

    least: float = 0.0
    """What epsilon never falls below, in [0, epsilon]."""

    def __post_init__(self) -> None:
        check_range("epsilon", self.epsilon, low=0, high=1)
        if self.decay_rounds != math.inf:
            check_range("decay_rounds", self.decay_rounds, low=0, low_open=True)
        check_range("least", self.least, low=0, high=self.epsilon)


@dataclass(frozen=True, slots=True, kw_only=True)
class PosteriorDraws:
    """The largest of independent draws from N(value, scale^2 width^2), one for each arm.

    With one theta for each arm this is Thompson sampling exactly (Agrawal and Goyal 2013, "Thompson
    sampling for contextual bandits with linear payoffs", algorithm 1). Where arms share theta, the
    draw of each score has the same law as in the paper, but scores are independent of each other.

    The probability that an arm has the largest draw has no closed form: propensities are NaN.
    """

    scale: float = 1.0
    """Standard deviation of the noise of rewards, v in the paper, at least 0."""

    def __post_init__(self) -> None:
        check_range("scale", self.scale, low=0)


Exploration: TypeAlias = Optimism | EpsilonDraws | PosteriorDraws


@dataclass(frozen=True, slots=True)
class ExplorationNumbers:
    """Any exploration as the numbers that the kernels take."""

    alpha: float = 0.0
    epsilon: float = 0.0
    decay_rounds: float = math.inf
    least: float = 0.0
    scale: float = -1.0

    @classmethod
    def of(cls, explore: Exploration) -> "ExplorationNumbers":
        """The numbers of one kind, those of the others without effect."""
        if isinstance(explore, Optimism):
            return cls(alpha=explore.alpha)
        if isinstance(explore, EpsilonDraws):
            return cls(
                epsilon=explore.epsilon, decay_rounds=explore.decay_rounds, least=explore.least
            )
        return cls(scale=explore.scale)

    @property
    def array(self) -> FloatArray:
        """`float64 [5]`, in the order of the fields."""
        return np.array([self.alpha, self.epsilon, self.decay_rounds, self.least, self.scale])


@kernel
def needs_widths(numbers: FloatArray) -> bool:
    """Whether scores depend on the widths."""
    return bool(numbers[0] > 0.0 or numbers[4] > 0.0)


@kernel
def add_exploration(
    values: FloatArray,
    forms: FloatArray,
    arms: int,
    numbers: FloatArray,
    key: np.uint64,
    played: int,
) -> None:
    """Turn values into scores: add widths, or normal draws as wide as they.

    Args:
        values: of each arm, `float64 [>= arms]`; replaced by scores.
        forms: x' A^-1 x of each arm, `float64 [>= arms]`.
        arms: how many there are.
        numbers: by `ExplorationNumbers`.
        key: of the random numbers.
        played: rounds before this one.
    """
    if numbers[4] <= 0.0:
        for k in range(arms):
            values[k] += numbers[0] * math.sqrt(max(forms[k], 0.0))
        return
    for pair in range(0, arms, 2):
        # One call gives the two independent normal numbers of Box and Muller (1958).
        first, second = random_bits(key, np.uint64(played), np.uint64(1 + pair))
        radius = math.sqrt(-2.0 * math.log(float(first >> _SHIFT11) * _TO_UNIT + _HALF_STEP))
        angle = 2.0 * math.pi * float(second >> _SHIFT11) * _TO_UNIT
        width = numbers[4] * math.sqrt(max(forms[pair], 0.0))
        values[pair] += width * radius * math.cos(angle)
        if pair + 1 < arms:
            width = numbers[4] * math.sqrt(max(forms[pair + 1], 0.0))
            values[pair + 1] += width * radius * math.sin(angle)


@kernel
def choose_arm(
    scores: FloatArray, arms: int, numbers: FloatArray, key: np.uint64, played: int
) -> tuple[int, float]:
    """The arm of the largest score, the first if several share it, or a uniform draw.

    Args:
        scores: `float64 [>= arms]`.
        arms: how many there are.
        numbers: by `ExplorationNumbers`.
        key: of the random numbers.
        played: rounds before this one.

    Returns:
        The arm, and the probability of choosing it; NaN if it has no closed form.
    """
    best = 0
    top = scores[0]
    for k in range(1, arms):
        if scores[k] > top:
            top = scores[k]
            best = k
    if numbers[4] >= 0.0:
        return best, math.nan if arms > 1 else 1.0
    epsilon = max(numbers[3], numbers[1] / (1.0 + played / numbers[2]))
    if epsilon == 0.0:
        return best, 1.0
    first, second = random_bits(key, np.uint64(played), np.uint64(0))
    arm = best
    if float(first >> _SHIFT11) * _TO_UNIT < epsilon:
        arm = int(float(second >> _SHIFT11) * _TO_UNIT * arms)
    uniform = epsilon / arms
    return arm, uniform + (1.0 - epsilon) if arm == best else uniform
