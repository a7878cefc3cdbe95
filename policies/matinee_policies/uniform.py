"""The uniform policy: every remaining candidate is equally likely at every slot."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from matinee_policies.arrays import FloatArray
from matinee_policies.config import Config
from matinee_policies.diversity import Caps
from matinee_policies.errors import ConfigError
from matinee_policies.records import ContextBatch
from matinee_policies.rules import epsilon_rule
from matinee_policies.slate import NO_CAPS
from matinee_policies.snapshot import Snapshot
from matinee_policies.value_policy import ValuePolicy, config_of


@dataclass(frozen=True, slots=True, kw_only=True)
class UniformConfig(Config):
    """Parameters of `Uniform`; a price of redundancy would change nothing."""

    caps: Caps = NO_CAPS
    """Most items of one aspect or creator on a slate."""

    def __post_init__(self) -> None:
        if isinstance(self.caps, Mapping):
            object.__setattr__(self, "caps", Caps.from_json(self.caps))
        elif not isinstance(self.caps, Caps):
            raise ConfigError(f"caps must be a mapping, got {self.caps!r}")


class Uniform(ValuePolicy[UniformConfig]):
    """Slates drawn uniformly without replacement."""

    name = "uniform"

    def __init__(self, config: UniformConfig | None = None) -> None:
        config = config or UniformConfig()
        super().__init__(config, rule=epsilon_rule(1.0), caps=config.caps)

    @classmethod
    def from_snapshot(cls, snapshot: Snapshot) -> Self:
        """See `Policy.from_snapshot`."""
        return cls(config_of(snapshot, UniformConfig, kind=cls.name))

    @property
    def reads_features(self) -> bool:
        """See `ValuePolicy.reads_features`."""
        return type(self) is not Uniform

    def values(self, contexts: ContextBatch) -> FloatArray:
        """The same value for all."""
        return np.zeros(contexts.candidates.shape)
