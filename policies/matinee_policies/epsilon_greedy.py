"""Epsilon-greedy over the reward that a ridge regression predicts.

After n impressions the budget of exploration is

    epsilon_n = max(least_epsilon, epsilon / (1 + n / decay_rows))

a hyperbolic decay after Auer, Cesa-Bianchi and Fischer 2002, "Finite-time analysis of the
multiarmed bandit problem", figure 3. It counts what was learned, never a clock, so a snapshot
fixes it.
"""

from dataclasses import dataclass
from typing import ClassVar

from matinee_policies.config import check_range
from matinee_policies.errors import ConfigError
from matinee_policies.linear_policy import LinearConfig, LinearPolicy
from matinee_policies.rules import Rule, epsilon_rule


@dataclass(frozen=True, slots=True, kw_only=True)
class EpsilonGreedyConfig(LinearConfig):
    """Parameters of `EpsilonGreedy`."""

    epsilon: float = 0.1
    """Probability that a full slate holds at least one uniform draw, in [0, 1]."""

    decay_rows: float = 0.0
    """Impressions after which epsilon has halved, at least 0; 0 means that it never falls."""

    least_epsilon: float = 0.0
    """What epsilon does not fall below, in [0, `epsilon`]."""

    floor: float = 0.0
    """Least weight of the uniform law at each of `L` slots, in [0, 1 - (1 - epsilon)^(1/L)]; it
    does not fall with epsilon."""

    def __post_init__(self) -> None:
        LinearConfig.__post_init__(self)
        check_range("epsilon", self.epsilon, low=0, high=1)
        check_range("decay_rows", self.decay_rows, low=0)
        check_range("least_epsilon", self.least_epsilon, low=0)
        if self.least_epsilon > self.epsilon:
            raise ConfigError(
                f"least_epsilon must be <= epsilon = {self.epsilon:g}, got {self.least_epsilon!r}"
            )
        check_range("floor", self.floor, low=0, high=1)

    def epsilon_at(self, rows: int) -> float:
        """Epsilon after so many impressions.

        Example:
            >>> EpsilonGreedyConfig(epsilon=0.2, decay_rows=1000).epsilon_at(3000)
            0.05
        """
        if self.decay_rows == 0.0:
            return self.epsilon
        return max(self.least_epsilon, self.epsilon / (1.0 + rows / self.decay_rows))


class EpsilonGreedy(LinearPolicy[EpsilonGreedyConfig]):
    """Best predicted reward first, with a budget of uniform draws per slate.

    Args:
        config: parameters; defaults if `None`.
        dimension: of the features, at least 1.
    """

    name: ClassVar[str] = "epsilon_greedy"
    config_type = EpsilonGreedyConfig

    def __init__(self, config: EpsilonGreedyConfig | None = None, *, dimension: int) -> None:
        config = config or EpsilonGreedyConfig()
        super().__init__(
            config,
            dimension=dimension,
            rule=epsilon_rule(config.epsilon, floor=config.floor),
            diversity=config.diversity,
            alpha=0.0,
            l2=config.l2,
            caps=config.caps,
            form=config.form,
            item_features=config.item_features,
        )

    def _rule_at(self, rows: int) -> Rule:
        config = self.config
        return epsilon_rule(config.epsilon_at(rows), floor=config.floor, most=config.epsilon)
