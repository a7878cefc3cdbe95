"""The common part of policies that value candidates and leave the slate to a rule."""

import abc
from typing import Any, ClassVar, Generic, TypeVar

from matinee_policies.arrays import BoolArray, FloatArray, IndexArray, UInt64Array
from matinee_policies.config import Config
from matinee_policies.diversity import Caps, Diversity
from matinee_policies.errors import ConfigError, SnapshotError
from matinee_policies.records import ContextBatch, OutcomeBatch, SlateBatch
from matinee_policies.rules import Rule
from matinee_policies.slate import (
    NO_CAPS,
    SlateProblem,
    check_slots,
    exploration_cost,
    next_law,
    sample_slates,
    score_slates,
    slate_length,
)
from matinee_policies.snapshot import Snapshot, expect_snapshot

C = TypeVar("C", bound=Config)
SNAPSHOT_VERSION = 1


class ValuePolicy(abc.ABC, Generic[C]):
    """A policy made of values, a rule and a price of redundancy.

    Args:
        config: parameters, of the policy's own type.
        rule: turns utilities into probabilities.
        diversity: kind and price of redundancy; a number is the price of `MMR` in value units.
        caps: most items of one aspect or creator on a slate.

    Attributes:
        name: the kind of policy.
        learns: whether `learn` changes the state.
        config: parameters.
    """

    name: ClassVar[str]
    learns: ClassVar[bool] = False

    def __init__(
        self,
        config: C,
        *,
        rule: Rule,
        diversity: float | Diversity = 0.0,
        caps: Caps = NO_CAPS,
    ) -> None:
        self.config: C = config
        self._rule = rule
        self._diversity = diversity
        self._caps = caps

    def get_params(self, *, deep: bool = True) -> dict[str, Any]:
        """The parameters by name, after scikit-learn's convention; see `Config.get_params`."""
        return self.config.get_params(deep=deep)

    @abc.abstractmethod
    def values(self, contexts: ContextBatch) -> FloatArray:
        """Value of each candidate, `float64 [B, K]`; those of padding mean nothing."""

    def eligible(self, contexts: ContextBatch, *, slots: int) -> BoolArray | None:
        """Candidates that may be shown, `bool [B, K]`; `None` means all."""
        return None

    @property
    def leaves_gaps(self) -> bool:
        """Whether slots may stay empty while candidates are left: by caps, or by `eligible`."""
        return self._caps != NO_CAPS or type(self).eligible is not ValuePolicy.eligible

    @property
    def values_are_bounds(self) -> bool:
        """Whether `values` are upper bounds, which hold exploration in themselves.

        What such a policy gives up for optimism is no draw of its law, so `exploration_cost` misses
        it, and the platform reports none. False here; override it with such values.
        """
        return False

    def members(self, contexts: ContextBatch) -> FloatArray | None:
        """Value of each candidate to each member of an ensemble, `float64 [B, M, K]`, if any."""
        return None

    def check_length(self, slots: int) -> None:
        """Refuse a length of slates that the settings cannot serve, before there are any.

        Raises:
            ConfigError: if the floor at so many slots breaks the budget of a slate.
            ContextError: if no slate has such a length.
        """
        check_slots(slots)
        self._rule.uniform_weight(slots)

    def decide(self, contexts: ContextBatch, *, slots: int, keys: UInt64Array) -> SlateBatch:
        """See `Policy.decide`."""
        return sample_slates(self._problem(contexts, slots=slots), slots=slots, keys=keys)

    def propensities(self, contexts: ContextBatch, slates: IndexArray) -> FloatArray:
        """See `Policy.propensities`."""
        return score_slates(self._problem(contexts, slots=slate_length(slates)), slates)

    def next_law(self, contexts: ContextBatch, prefix: IndexArray, *, slots: int) -> FloatArray:
        """Law of the slot that follows a prefix, `float64 [B, K]`; see `slate.next_law`."""
        return next_law(self._problem(contexts, slots=slots), prefix, slots=slots)

    def exploration_cost(self, contexts: ContextBatch, slates: IndexArray) -> FloatArray:
        """Expected utility that exploration gives up along each slate, `float64 [B]`, at least 0.

        Summed over slots, the largest utility minus the mean utility under the slot's law, given
        the items before it in the slate. In value units; 0 for a law without exploration.

        Args:
            contexts: `B` decisions with `K` candidates each.
            slates: any slates, as `Policy.propensities` takes them, `int32 [B, L]`.
        """
        problem = self._problem(contexts, slots=slate_length(slates))
        return exploration_cost(problem, slates)

    def learn(self, outcomes: OutcomeBatch) -> None:
        """Do nothing: this policy does not learn."""

    def snapshot(self) -> Snapshot:
        """See `Policy.snapshot`."""
        return Snapshot(
            kind=self.name,
            version=SNAPSHOT_VERSION,
            arrays={},
            manifest={"config": self.config.to_json()},
        )

    def _problem(self, contexts: ContextBatch, *, slots: int) -> SlateProblem:
        check_slots(slots)
        return SlateProblem(
            contexts=contexts,
            values=self.values(contexts),
            rule=self._rule,
            diversity=self._diversity,
            eligible=self.eligible(contexts, slots=slots),
            caps=self._caps,
            members=self.members(contexts),
        )


def config_of(snapshot: Snapshot, config_type: type[C], *, kind: str) -> C:
    """The config that a snapshot of this kind carries.

    Args:
        snapshot: of a value policy.
        config_type: type of its config.
        kind: name of the policy that asks.

    Raises:
        SnapshotError: if the snapshot is of another kind or version, or its config is invalid.
    """
    expect_snapshot(snapshot, kind=kind, version=SNAPSHOT_VERSION)
    config = snapshot.manifest.get("config")
    if not isinstance(config, dict):
        raise SnapshotError(f"snapshot of {kind!r} must hold a config, got {config!r}")
    try:
        return config_type.from_json(config)
    except ConfigError as error:
        raise SnapshotError(f"snapshot of {kind!r}: {error}") from None
