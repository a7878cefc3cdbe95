"""A reranking policy of one's own: Boltzmann exploration on score plus a taste for the unknown.

matinee policy check examples.custom_policy:NoveltyBoltzmann --set novelty=0.2
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from matinee_policies import Config, ContextBatch, Snapshot
from matinee_policies.arrays import FloatArray
from matinee_policies.features import FEATURE_NAMES
from matinee_policies.rules import softmax_rule
from matinee_policies.value_policy import ValuePolicy, config_of

NOVELTY = FEATURE_NAMES.index("novelty")


@dataclass(frozen=True, slots=True, kw_only=True)
class NoveltyBoltzmannConfig(Config):
    """What the `policy:` of an arm may set."""

    novelty: float = 0.1  # value of an item nobody knows, in units of the score
    temperature: float = 0.05
    diversity: float = 0.0


class NoveltyBoltzmann(ValuePolicy[NoveltyBoltzmannConfig]):
    """P(item) grows with exp((score + novelty bonus) / temperature), slot by slot."""

    name = "novelty_boltzmann"
    config_type = NoveltyBoltzmannConfig

    def __init__(self, config: NoveltyBoltzmannConfig) -> None:
        super().__init__(config, rule=softmax_rule(config.temperature), diversity=config.diversity)

    def values(self, contexts: ContextBatch) -> FloatArray:
        """Value of each candidate, `float64 [B, K]`."""
        unknown = contexts.features[:, :, NOVELTY].astype(np.float64)
        return contexts.scores.astype(np.float64) + self.config.novelty * unknown

    @classmethod
    def from_snapshot(cls, snapshot: Snapshot) -> Self:
        """The policy that gave the snapshot."""
        return cls(config_of(snapshot, NoveltyBoltzmannConfig, kind=cls.name))
