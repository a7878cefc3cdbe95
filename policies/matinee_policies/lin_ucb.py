"""LinUCB: the upper confidence bound of the reward that a ridge regression predicts.

    u(x) = mean(x) + alpha width(x)

    shared     one theta for all candidates     x' theta            `linear.py`
    disjoint   one theta per item               x' theta_a          `item_ridge.py`
    hybrid     both                             z' beta + x' theta_a `hybrid_ridge.py`

Sources: Li et al. 2010, "A contextual-bandit approach to personalized news article
recommendation", algorithms 1 and 2; Chu et al. 2011, "Contextual bandits with linear
payoff functions", algorithm 1, where all candidates share theta.
"""

from dataclasses import dataclass
from typing import ClassVar

from matinee_policies.config import check_range
from matinee_policies.linear_policy import LinearConfig, LinearPolicy
from matinee_policies.rules import upper_bound_rule


@dataclass(frozen=True, slots=True, kw_only=True)
class LinUCBConfig(LinearConfig):
    """Parameters of `LinUCB`."""

    alpha: float = 0.5
    """Widths to add to the prediction, at least 0."""

    floor: float = 0.03
    """Weight of the uniform law at every slot, in [0, 1]; at 0 the slate is fixed by the state."""

    def __post_init__(self) -> None:
        LinearConfig.__post_init__(self)
        check_range("alpha", self.alpha, low=0)
        check_range("floor", self.floor, low=0, high=1)


class LinUCB(LinearPolicy[LinUCBConfig]):
    """Best upper bound first, under a floor.

    Args:
        config: parameters; defaults if `None`.
        dimension: of the features, at least 1.
    """

    name: ClassVar[str] = "lin_ucb"
    config_type = LinUCBConfig

    def __init__(self, config: LinUCBConfig | None = None, *, dimension: int) -> None:
        config = config or LinUCBConfig()
        super().__init__(
            config,
            dimension=dimension,
            rule=upper_bound_rule(floor=config.floor),
            diversity=config.diversity,
            alpha=config.alpha,
            l2=config.l2,
            caps=config.caps,
            form=config.form,
            item_features=config.item_features,
        )
