"""The common part of policies that value candidates and leave the slate to a rule."""

import abc
from typing import ClassVar, Generic, TypeVar

from matinee_policies.arrays import BoolArray, FloatArray, IndexArray, UInt64Array
from matinee_policies.config import Config
from matinee_policies.errors import ConfigError, SnapshotError
from matinee_policies.records import ContextBatch, OutcomeBatch, SlateBatch
from matinee_policies.rules import Rule
from matinee_policies.slate import (
    SlateProblem,
    check_slots,
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
        diversity: price of redundancy in value units, at least 0.

    Attributes:
        name: the kind of policy.
        learns: whether `learn` changes the state.
        config: parameters.
    """

    name: ClassVar[str]
    learns: ClassVar[bool] = False

    def __init__(self, config: C, *, rule: Rule, diversity: float = 0.0) -> None:
        self.config: C = config
        self._rule = rule
        self._diversity = diversity

    @abc.abstractmethod
    def values(self, contexts: ContextBatch) -> FloatArray:
        """Value of each candidate, `float64 [B, K]`; those of padding mean nothing."""

    def eligible(self, contexts: ContextBatch, *, slots: int) -> BoolArray | None:
        """Candidates that may be shown, `bool [B, K]`; `None` means all."""
        return None

    def decide(self, contexts: ContextBatch, *, slots: int, keys: UInt64Array) -> SlateBatch:
        """See `Policy.decide`."""
        return sample_slates(self._problem(contexts, slots=slots), slots=slots, keys=keys)

    def propensities(self, contexts: ContextBatch, slates: IndexArray) -> FloatArray:
        """See `Policy.propensities`."""
        return score_slates(self._problem(contexts, slots=slate_length(slates)), slates)

    def next_law(self, contexts: ContextBatch, prefix: IndexArray, *, slots: int) -> FloatArray:
        """Law of the slot that follows a prefix, `float64 [B, K]`; see `slate.next_law`."""
        return next_law(self._problem(contexts, slots=slots), prefix, slots=slots)

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
