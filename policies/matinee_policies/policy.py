"""The protocol that every policy follows.

Everything is batch-first: arrays have a leading dimension `B`; a live request is `B = 1`. What a
policy must keep besides its signatures is written as a suite of tests, `testing.PolicyContract`.
"""

from typing import Protocol, Self

from matinee_policies.arrays import FloatArray, IndexArray, UInt64Array
from matinee_policies.config import Config
from matinee_policies.records import ContextBatch, OutcomeBatch, SlateBatch
from matinee_policies.snapshot import Snapshot


class Policy(Protocol):
    """Decides slates and learns from outcomes.

    A decision is a pure function of (snapshot, context, decision key), to the last bit and
    whatever the batch; only `learn` changes the state.

    A policy may have an attribute `reads_features`: where it is False, decisions come without
    features (`reads_features` below).
    """

    @property
    def name(self) -> str:
        """The kind of policy, as `registry.build_policy` knows it."""

    @property
    def config(self) -> Config:
        """The parameters, fixed for life."""

    @property
    def learns(self) -> bool:
        """Whether `learn` changes the state."""

    def decide(self, contexts: ContextBatch, *, slots: int, keys: UInt64Array) -> SlateBatch:
        """Choose one slate per decision.

        Args:
            contexts: `B` decisions with `K` candidates each.
            slots: length `L` of every slate, at least 1.
            keys: decision keys, `uint64 [B]`.

        Raises:
            ContextError: if arrays do not fit together or hold values that are not finite.
        """

    def propensities(self, contexts: ContextBatch, slates: IndexArray) -> FloatArray:
        """Probability of each item of any slates, given the items before it in its slate.

        Args:
            contexts: `B` decisions with `K` candidates each.
            slates: positions among the candidates, distinct in a row, `int32 [B, L]`; `PAD` fills
                the slots after the last candidate.

        Returns:
            `float64 [B, L]` in [0, 1]: 1 at padding, above 0 for slates that `decide` can choose.

        Raises:
            ContextError: if arrays do not fit together or a row is no slate.
        """

    def learn(self, outcomes: OutcomeBatch) -> None:
        """Take in one matured reward component of many slates.

        Raises:
            ContextError: if `outcomes` break a rule; the state is then unchanged.
        """

    def snapshot(self) -> Snapshot:
        """The whole state, immutable."""

    @classmethod
    def from_snapshot(cls, snapshot: Snapshot) -> Self:
        """A policy that decides and learns on exactly as the one that gave `snapshot`.

        Raises:
            SnapshotError: if it is of another kind or version, or incomplete.
        """


def reads_features(policy: Policy) -> bool:
    """Whether decisions of a policy need `ContextBatch.features`; True unless it says otherwise.

    A policy that does not must decide and score the same whatever stands there, also for features
    of no column (`d = 0`), and must not learn.

    Example:
        >>> from matinee_policies import ScoreOrder
        >>> reads_features(ScoreOrder())
        False
    """
    return bool(getattr(policy, "reads_features", True)) or policy.learns
