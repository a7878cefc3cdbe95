"""The common part of policies that value candidates and leave the slate to a rule."""

import abc
from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from matinee_policies.arrays import BoolArray, FloatArray, IndexArray, UInt64Array
from matinee_policies.config import Config
from matinee_policies.diversity import Caps, Diversity
from matinee_policies.errors import ConfigError, SnapshotError
from matinee_policies.records import ContextBatch, OutcomeBatch, SlateBatch
from matinee_policies.rules import GREEDY, Rule
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
_A = TypeVar("_A", IndexArray, UInt64Array)
_R = TypeVar("_R")
SNAPSHOT_VERSION = 1

MEMBER_BYTES = 2**25
"""Values of members that are held at a time, 32 MiB, but at least those of one decision."""


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

    @property
    def reads_features(self) -> bool:
        """Whether anything here reads `ContextBatch.features`.

        The platform leaves the features out (`d = 0`) for policies that say False. A class of ours
        speaks for itself alone, since a class derived from it may read what it does not.
        """
        return True

    def members(self, contexts: ContextBatch) -> FloatArray | None:
        """Value of each candidate to each member of an ensemble, `float64 [B, M, K]`, if any."""
        return None

    def widths(self, contexts: ContextBatch) -> FloatArray | None:
        """Width of the interval around each candidate's prediction, `float64 [B, K]`, if any."""
        return None

    @property
    def ensemble_size(self) -> int:
        """Members that `members` has values of; if any, decisions are taken in blocks."""
        return 0

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

        def decided(some: ContextBatch, keys: UInt64Array) -> SlateBatch:
            return sample_slates(self.slate_problem(some, slots=slots), slots=slots, keys=keys)

        parts = self._in_blocks(contexts, keys, decided)
        if len(parts) == 1:
            return parts[0]
        return SlateBatch(
            *(
                np.concatenate([getattr(part, name) for part in parts])
                for name in ("positions", "items", "propensities")
            )
        )

    def propensities(self, contexts: ContextBatch, slates: IndexArray) -> FloatArray:
        """See `Policy.propensities`."""
        slots = slate_length(slates)

        def scored(some: ContextBatch, slates: IndexArray) -> FloatArray:
            return score_slates(self.slate_problem(some, slots=slots), slates)

        return np.concatenate(self._in_blocks(contexts, slates, scored))

    def next_law(self, contexts: ContextBatch, prefix: IndexArray, *, slots: int) -> FloatArray:
        """Law of the slot that follows a prefix, `float64 [B, K]`; see `slate.next_law`."""

        def law(some: ContextBatch, prefix: IndexArray) -> FloatArray:
            return next_law(self.slate_problem(some, slots=slots), prefix, slots=slots)

        return np.concatenate(self._in_blocks(contexts, prefix, law))

    def exploration_cost(self, contexts: ContextBatch, slates: IndexArray) -> FloatArray:
        """Expected utility that exploration gives up along each slate, `float64 [B]`, at least 0.

        Summed over slots, the largest utility minus the mean utility under the slot's law, given
        the items before it in the slate. In value units; 0 for a law without exploration.

        Args:
            contexts: `B` decisions with `K` candidates each.
            slates: any slates, as `Policy.propensities` takes them, `int32 [B, L]`.
        """
        slots = slate_length(slates)
        if self._rule.code == GREEDY and self._rule.exploring_weight(slots) == 0.0:
            return np.zeros(len(slates))

        def cost(some: ContextBatch, slates: IndexArray) -> FloatArray:
            return exploration_cost(self.slate_problem(some, slots=slots), slates)

        return np.concatenate(self._in_blocks(contexts, slates, cost))

    def slate_problem(self, contexts: ContextBatch, *, slots: int) -> SlateProblem:
        """What fixes the law of slates of so many slots; `slate.py` draws and scores from it.

        Raises:
            ContextError: if arrays do not fit together or hold values that are not finite.
        """
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

    def _in_blocks(
        self, contexts: ContextBatch, rows: _A, work: Callable[[ContextBatch, _A], _R]
    ) -> list[_R]:
        """Work on so many decisions at a time that the values of members stay small.

        Decisions do not depend on each other, so blocks leave no trace.

        Args:
            contexts: `B` decisions.
            rows: what goes with each, `[B, ...]`.
            work: takes some decisions and their rows.
        """
        per_decision = 8 * self.ensemble_size * max(contexts.candidates.shape[1], 1)
        size = max(MEMBER_BYTES // per_decision, 1) if per_decision else len(contexts)
        # Rows that do not fit are for the sampler to refuse.
        if len(contexts) <= size or len(rows) != len(contexts):
            return [work(contexts, rows)]
        blocks = [np.arange(n, min(n + size, len(rows))) for n in range(0, len(rows), size)]
        return [work(contexts.rows(block), rows[block]) for block in blocks]


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
