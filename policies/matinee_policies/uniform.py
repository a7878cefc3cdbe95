"""The uniform policy: every remaining candidate is equally likely at every slot."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from matinee_policies.arrays import FloatArray
from matinee_policies.config import Config
from matinee_policies.records import ContextBatch
from matinee_policies.rules import epsilon_rule
from matinee_policies.snapshot import Snapshot
from matinee_policies.value_policy import ValuePolicy, config_of


@dataclass(frozen=True, slots=True, kw_only=True)
class UniformConfig(Config):
    """A uniform law has no parameters; a price of redundancy would change nothing."""


class Uniform(ValuePolicy[UniformConfig]):
    """Slates drawn uniformly without replacement."""

    name = "uniform"

    def __init__(self, config: UniformConfig | None = None) -> None:
        super().__init__(config or UniformConfig(), rule=epsilon_rule(1.0))

    @classmethod
    def from_snapshot(cls, snapshot: Snapshot) -> Self:
        """See `Policy.from_snapshot`."""
        return cls(config_of(snapshot, UniformConfig, kind=cls.name))

    def values(self, contexts: ContextBatch) -> FloatArray:
        """The same value for all."""
        return np.zeros(contexts.candidates.shape)
