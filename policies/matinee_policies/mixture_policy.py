"""A mixture of policies: champion and challengers in one arm, with the exact law of what is shown.

One base is drawn per slate, with its weight, and draws the whole slate. What is logged is the
probability of the mixture (`mixture.py`), so the log serves to judge each base, any other weights
or any other policy. The base that was drawn is logged too; statistics of a base on its own slates
alone would have a fraction of the data and need its own propensities.

The bases share the arm and its log: every base learns from every outcome, whoever drew the slate.
What they are handed as propensities are those of the mixture, which is what importance weights
(Vowpal Wabbit's, say) have to divide by.

Bases must have the same caps. Pins and eligibility are of the decision, so they are the same for
all. A base that chooses among fewer candidates than the others (the `top` of a softmax) may run
out of them under caps and leave a slot empty that others fill; the propensity of that empty slot is
then below 1.
"""

import abc
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np

from matinee_policies.arrays import AnyArray, FloatArray, IndexArray, UInt64Array
from matinee_policies.base_policies import (
    BasesConfig,
    WeightedBase,
    bases_of,
    build_bases,
    check_named,
    learn_all,
    nested_snapshots,
    restore_bases,
)
from matinee_policies.config import check_whole
from matinee_policies.errors import ConfigError, ContextError
from matinee_policies.linear_policy import counter_of
from matinee_policies.mixture import draw_bases, mixture_propensities
from matinee_policies.policy import Policy, reads_features
from matinee_policies.records import PAD, ContextBatch, OutcomeBatch, SlateBatch
from matinee_policies.slate import check_slots, slate_length
from matinee_policies.snapshot import Snapshot
from matinee_policies.value_policy import SNAPSHOT_VERSION, config_of

_SUM_TOLERANCE = 1e-9


C = TypeVar("C", bound=BasesConfig)


class PolicyOfBases(abc.ABC, Generic[C]):
    """A policy that lets one of its bases draw each slate.

    Args:
        config: parameters, of the policy's own type.
        dimension: of the features, at least 1.

    Attributes:
        name: the kind of policy.
        learns: whether `learn` changes the state.
        config: parameters.
        dimension: of the features.
        weights: probability of each base at the next decisions, `float64 [M]`.
    """

    name: ClassVar[str]
    learns: bool

    def __init__(self, config: C, *, dimension: int) -> None:
        check_whole("dimension", dimension, low=1)
        self.config: C = config
        self.dimension = dimension
        self._bases = build_bases(config.bases, dimension=dimension)
        self.learns = any(base.learns for base in self._bases)

    @property
    @abc.abstractmethod
    def weights(self) -> FloatArray:
        """Probability of each base at the next decisions, a copy, `float64 [M]`."""

    @property
    def bases(self) -> tuple[Policy, ...]:
        """The policies in the order of their numbers; they are part of the state."""
        return tuple(self._bases)

    @property
    def reads_features(self) -> bool:
        """Whether a base reads features; see `ValuePolicy.reads_features`."""
        return any(reads_features(base) for base in self._bases)

    def get_params(self, *, deep: bool = True) -> dict[str, Any]:
        """The parameters by name, after scikit-learn's convention; see `Config.get_params`."""
        return self.config.get_params(deep=deep)

    def decide(self, contexts: ContextBatch, *, slots: int, keys: UInt64Array) -> SlateBatch:
        """See `Policy.decide`; `base` and `base_propensity` say which base drew each slate.

        Bases are handed the decision's own key: their slots draw other numbers of it than the base
        does (`mixture.draw_bases`).
        """
        check_slots(slots)
        _check_keys(keys, len(contexts))
        weights = self.weights
        drawn = draw_bases(weights, keys)
        positions = np.full((len(contexts), slots), PAD, dtype=np.int32)
        items = np.full_like(positions, PAD)
        laws = np.ones((len(weights), *positions.shape))
        for number, base in enumerate(self._bases):
            own = np.flatnonzero(drawn == number)
            if own.size:
                part = _some(contexts, own)
                slates = base.decide(part, slots=slots, keys=keys[own])
                positions[own], items[own] = slates.positions, slates.items
                # Scoring a drawn slate gives the drawn propensities to the last bit.
                laws[number, own] = slates.propensities
        for number, base in enumerate(self._bases):
            others = np.flatnonzero(drawn != number)
            if others.size:
                part = _some(contexts, others)
                laws[number, others] = base.propensities(part, positions[others])
        return SlateBatch(
            positions=positions,
            items=items,
            propensities=mixture_propensities(laws, weights, positions),
            base=drawn,
            base_propensity=weights[drawn],
        )

    def propensities(self, contexts: ContextBatch, slates: IndexArray) -> FloatArray:
        """See `Policy.propensities`; those of the mixture, whichever base drew the slates."""
        slate_length(slates)
        laws = np.stack([base.propensities(contexts, slates) for base in self._bases])
        return mixture_propensities(laws, self.weights, slates)

    def learn(self, outcomes: OutcomeBatch) -> None:
        """See `Policy.learn`; every base learns from every outcome, or none does."""
        learn_all(self.config.bases, self._bases, outcomes)

    def snapshot(self) -> Snapshot:
        """See `Policy.snapshot`; the states of the bases are inside."""
        arrays, documents = nested_snapshots(self.config.bases, self._bases)
        return Snapshot(
            kind=self.name,
            version=SNAPSHOT_VERSION,
            arrays=arrays,
            manifest={
                "config": self.config.to_json(),
                "dimension": self.dimension,
                "bases": documents,
            },
        )

    @classmethod
    def _restored(cls, snapshot: Snapshot, config_type: type[C], *, kinds: Sequence[str]) -> Self:
        """The policy of a snapshot; see `Mixture.from_snapshot`."""
        config = config_of(snapshot, config_type, kind=cls.name)
        check_named(config.bases, kinds)
        policy = cls(config, dimension=counter_of(snapshot, "dimension", low=1))
        policy._bases = restore_bases(snapshot, config.bases)
        return policy


@dataclass(frozen=True, slots=True, kw_only=True)
class MixtureConfig(BasesConfig):
    """Parameters of `Mixture`."""

    bases: tuple[WeightedBase, ...] = (
        WeightedBase(kind="epsilon_greedy", weight=0.9),
        WeightedBase(kind="lin_ucb", weight=0.1),
    )
    """2 to 16 policies, each a mapping with `kind`, `weight` and the settings `policy`; weights
    are above 0 and sum to 1."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "bases", bases_of(self.bases, WeightedBase))
        total = math.fsum(base.weight for base in self.bases)
        if abs(total - 1.0) > _SUM_TOLERANCE:
            raise ConfigError(f"weights of bases must sum to 1, got {total!r}")


class Mixture(PolicyOfBases[MixtureConfig]):
    """Champion and challengers with fixed weights.

    Args:
        config: parameters; defaults if `None`.
        dimension: of the features, at least 1.

    Example:
        >>> bases = [
        ...     {"kind": "lin_ucb", "weight": 0.9, "policy": {"alpha": 0.3}},
        ...     {"kind": "uniform", "weight": 0.1},
        ... ]
        >>> Mixture(MixtureConfig.from_json({"bases": bases}), dimension=4).weights.tolist()
        [0.9, 0.1]
    """

    name = "mixture"

    def __init__(self, config: MixtureConfig | None = None, *, dimension: int) -> None:
        super().__init__(config or MixtureConfig(), dimension=dimension)

    @classmethod
    def from_snapshot(cls, snapshot: Snapshot, *, kinds: Sequence[str] = ()) -> Self:
        """See `Policy.from_snapshot`.

        Args:
            snapshot: of a mixture.
            kinds: kinds of bases in the user's own config; needed if one is `module:Class`, since
                no class is imported because a snapshot says so.

        Raises:
            SnapshotError: also if it has a class that `kinds` lacks.
        """
        return cls._restored(snapshot, MixtureConfig, kinds=kinds)

    @property
    def weights(self) -> FloatArray:
        """Weight of each base, `float64 [M]`."""
        return np.array([base.weight for base in self.config.bases])


def _some(contexts: ContextBatch, index: AnyArray) -> ContextBatch:
    """The decisions of an ascending index; no copy if it has them all."""
    return contexts if index.size == len(contexts) else contexts.rows(index)


def _check_keys(keys: UInt64Array, decisions: int) -> None:
    if not isinstance(keys, np.ndarray) or keys.dtype != np.uint64 or keys.shape != (decisions,):
        got = f"{keys.dtype} {keys.shape}" if isinstance(keys, np.ndarray) else repr(keys)
        raise ContextError(f"keys must be uint64 of shape {(decisions,)}, got {got}")
