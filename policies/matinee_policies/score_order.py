"""The order of the candidate source's own scores, with optional exploration.

With matrix factorization as the source this is "MF order", with popularity "popularity order".
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from matinee_policies.arrays import FloatArray
from matinee_policies.config import check_range
from matinee_policies.diversity import SlateConfig
from matinee_policies.records import ContextBatch
from matinee_policies.rules import epsilon_rule
from matinee_policies.snapshot import Snapshot
from matinee_policies.value_policy import ValuePolicy, config_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreOrderConfig(SlateConfig):
    """Parameters of `ScoreOrder`; values are scores."""

    epsilon: float = 0.0
    """Probability that a full slate holds at least one uniform draw, in [0, 1]."""

    def __post_init__(self) -> None:
        SlateConfig.__post_init__(self)
        check_range("epsilon", self.epsilon, low=0, high=1)


class ScoreOrder(ValuePolicy[ScoreOrderConfig]):
    """Best score first; equal scores keep the order of the candidates."""

    name = "score_order"

    def __init__(self, config: ScoreOrderConfig | None = None) -> None:
        config = config or ScoreOrderConfig()
        super().__init__(
            config,
            rule=epsilon_rule(config.epsilon),
            diversity=config.diversity,
            caps=config.caps,
        )

    @classmethod
    def from_snapshot(cls, snapshot: Snapshot) -> Self:
        """See `Policy.from_snapshot`."""
        return cls(config_of(snapshot, ScoreOrderConfig, kind=cls.name))

    @property
    def reads_features(self) -> bool:
        """See `ValuePolicy.reads_features`."""
        return type(self) is not ScoreOrder

    def values(self, contexts: ContextBatch) -> FloatArray:
        """The scores of the candidate source."""
        return contexts.scores.astype(np.float64)
