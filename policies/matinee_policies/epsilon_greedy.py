"""Epsilon-greedy over the reward that a ridge regression predicts."""

from dataclasses import dataclass
from typing import Self

from matinee_policies.config import Config, check_range
from matinee_policies.linear_policy import LinearPolicy, counter_of
from matinee_policies.rules import epsilon_rule
from matinee_policies.snapshot import Snapshot
from matinee_policies.value_policy import config_of


@dataclass(frozen=True, slots=True, kw_only=True)
class EpsilonGreedyConfig(Config):
    """Parameters of `EpsilonGreedy`."""

    epsilon: float = 0.1
    """Probability that a full slate holds at least one uniform draw, in [0, 1]."""

    floor: float = 0.0
    """Least weight of the uniform law at every slot, within that budget, in [0, 1]."""

    l2: float = 1.0
    """Weight of the prior that all coefficients are 0, in observations, above 0."""

    diversity: float = 0.0
    """Price of redundancy in units of the reward, at least 0."""

    def __post_init__(self) -> None:
        check_range("epsilon", self.epsilon, low=0, high=1)
        check_range("floor", self.floor, low=0, high=1)
        check_range("l2", self.l2, low=0, low_open=True)
        check_range("diversity", self.diversity, low=0)


class EpsilonGreedy(LinearPolicy[EpsilonGreedyConfig]):
    """Best predicted reward first, with a budget of uniform draws per slate.

    Args:
        config: parameters; defaults if `None`.
        dimension: of the features, at least 1.
    """

    name = "epsilon_greedy"

    def __init__(self, config: EpsilonGreedyConfig | None = None, *, dimension: int) -> None:
        config = config or EpsilonGreedyConfig()
        super().__init__(
            config,
            dimension=dimension,
            rule=epsilon_rule(config.epsilon, floor=config.floor),
            diversity=config.diversity,
            alpha=0.0,
            l2=config.l2,
        )

    @classmethod
    def from_snapshot(cls, snapshot: Snapshot) -> Self:
        """See `Policy.from_snapshot`."""
        config = config_of(snapshot, EpsilonGreedyConfig, kind=cls.name)
        policy = cls(config, dimension=counter_of(snapshot, "dimension", low=1))
        policy._restore(snapshot)
        return policy
