"""Boltzmann exploration over the reward that a ridge regression predicts.

    p_i proportional to exp((mean(x_i) + alpha width(x_i)) / temperature)

Source: Sutton 1990, "Integrated architectures for learning, planning, and reacting based on
approximating dynamic programming"; Cesa-Bianchi et al. 2017, "Boltzmann exploration done right",
on why a width belongs to it: without one, candidates that were seldom shown are not told apart
from those known to be poor.
"""

from dataclasses import dataclass
from typing import ClassVar

from matinee_policies.config import check_range
from matinee_policies.linear_policy import LinearConfig, LinearPolicy
from matinee_policies.rules import softmax_rule


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearSoftmaxConfig(LinearConfig):
    """Parameters of `LinearSoftmax`."""

    temperature: float = 0.1
    """Difference in value that makes an item e times as likely, above 0."""

    alpha: float = 0.0
    """Widths to add to the prediction, at least 0."""

    floor: float = 0.0
    """Least weight of the uniform law at each of `L` slots, in [0, 1 - (1 - budget)^(1/L)]."""

    budget: float = 1.0
    """Largest probability that a full slate holds any draw but the greedy pick's, in [0, 1]."""

    def __post_init__(self) -> None:
        LinearConfig.__post_init__(self)
        check_range("temperature", self.temperature, low=0, low_open=True)
        check_range("alpha", self.alpha, low=0)
        check_range("floor", self.floor, low=0, high=1)
        check_range("budget", self.budget, low=0, high=1)


class LinearSoftmax(LinearPolicy[LinearSoftmaxConfig]):
    """Draws in proportion to the exponential of the value.

    Args:
        config: parameters; defaults if `None`.
        dimension: of the features, at least 1.
    """

    name: ClassVar[str] = "linear_softmax"
    config_type = LinearSoftmaxConfig

    def __init__(self, config: LinearSoftmaxConfig | None = None, *, dimension: int) -> None:
        config = config or LinearSoftmaxConfig()
        super().__init__(
            config,
            dimension=dimension,
            rule=softmax_rule(config.temperature, floor=config.floor, budget=config.budget),
            diversity=config.diversity,
            alpha=config.alpha,
            l2=config.l2,
            caps=config.caps,
            form=config.form,
            item_features=config.item_features,
        )
