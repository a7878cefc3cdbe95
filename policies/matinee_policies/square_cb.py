"""SquareCB: draws in inverse proportion to the gap to the best predicted reward.

    p_i = 1 / (n + gamma (u* - u_i)) for all but the best, which takes the rest

with gamma = gamma_scale * rows^gamma_exponent, where rows counts the impressions learned from: the
law is uniform at first and turns greedy as the regression learns. Uniform draws are inside it, so
the floor may stay 0.

Source: Foster and Rakhlin 2020, "Beyond UCB: optimal and efficient contextual bandits with
regression oracles", algorithm 1 and theorem 1 (gamma grows with the square root of the rounds).
"""

from dataclasses import dataclass
from typing import ClassVar

from matinee_policies.config import check_range
from matinee_policies.linear_policy import LinearConfig, LinearPolicy
from matinee_policies.rules import Rule, inverse_gap_rule

MOST_GAMMA_SCALE = 1e12
"""Largest scale of gamma: beyond it the law is greedy for any gap that a reward can have."""


def gamma_at(rows: int, *, scale: float, exponent: float) -> float:
    """Gamma after so many impressions: scale rows^exponent, and 0 before any.

    Example:
        >>> gamma_at(100, scale=2.0, exponent=0.5), gamma_at(0, scale=2.0, exponent=0.0)
        (20.0, 0.0)
    """
    return scale * float(rows) ** exponent if rows else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SquareCBConfig(LinearConfig):
    """Parameters of `SquareCB`."""

    gamma_scale: float = 10.0
    """gamma = gamma_scale * rows learned ^ gamma_exponent, per unit of reward, in [0, 1e12]."""

    gamma_exponent: float = 0.5
    """In [0, 1]."""

    floor: float = 0.0
    """Least weight of the uniform law at each of `L` slots, in [0, 1 - (1 - budget)^(1/L)]."""

    budget: float = 1.0
    """Largest probability that a full slate holds any draw but the greedy pick's, in [0, 1]."""

    def __post_init__(self) -> None:
        LinearConfig.__post_init__(self)
        check_range("gamma_scale", self.gamma_scale, low=0, high=MOST_GAMMA_SCALE)
        check_range("gamma_exponent", self.gamma_exponent, low=0, high=1)
        check_range("floor", self.floor, low=0, high=1)
        check_range("budget", self.budget, low=0, high=1)

    def gamma_at(self, rows: int) -> float:
        """Gamma after so many impressions, 0 before any.

        Example:
            >>> SquareCBConfig(gamma_scale=10, gamma_exponent=0.5).gamma_at(400)
            200.0
        """
        return gamma_at(rows, scale=self.gamma_scale, exponent=self.gamma_exponent)


class SquareCB(LinearPolicy[SquareCBConfig]):
    """Inverse gap weighting over the reward that a ridge regression predicts.

    Args:
        config: parameters; defaults if `None`.
        dimension: of the features, at least 1.
    """

    name: ClassVar[str] = "square_cb"
    config_type = SquareCBConfig

    def __init__(self, config: SquareCBConfig | None = None, *, dimension: int) -> None:
        config = config or SquareCBConfig()
        super().__init__(
            config,
            dimension=dimension,
            rule=_rule(config, rows=0),
            diversity=config.diversity,
            alpha=0.0,
            l2=config.l2,
            caps=config.caps,
            form=config.form,
            item_features=config.item_features,
        )

    def _rule_at(self, rows: int) -> Rule:
        return _rule(self.config, rows=rows)


def _rule(config: SquareCBConfig, *, rows: int) -> Rule:
    return inverse_gap_rule(config.gamma_at(rows), floor=config.floor, budget=config.budget)
