"""The contract suite catches the faults it is there for."""

import subprocess
import sys
from pathlib import Path
from typing import Self, cast

import numpy as np
import pytest

from matinee_policies import (
    ContextBatch,
    EpsilonGreedy,
    EpsilonGreedyConfig,
    OutcomeBatch,
    Policy,
    SlateBatch,
    Snapshot,
)
from matinee_policies.arrays import FloatArray, IndexArray, UInt64Array
from matinee_policies.rules import epsilon_rule
from matinee_policies.shared_ridge import SharedRidge
from matinee_policies.testing import PolicyContract

CONFIG = EpsilonGreedyConfig(epsilon=0.3, diversity=0.2)


class ExploresMore(EpsilonGreedy):
    """Draws from another law than it logs."""

    def decide(self, contexts: ContextBatch, *, slots: int, keys: UInt64Array) -> SlateBatch:
        self._rule = epsilon_rule(0.35)
        drawn = super().decide(contexts, slots=slots, keys=keys)
        self._rule = epsilon_rule(0.3)
        law = self.propensities(contexts, drawn.positions)
        return SlateBatch(drawn.positions, drawn.items, law)


class LogsAnotherNumber(EpsilonGreedy):
    def decide(self, contexts: ContextBatch, *, slots: int, keys: UInt64Array) -> SlateBatch:
        drawn = super().decide(contexts, slots=slots, keys=keys)
        return SlateBatch(drawn.positions, drawn.items, np.nextafter(drawn.propensities, 0.0))


class RepeatsItems(EpsilonGreedy):
    def decide(self, contexts: ContextBatch, *, slots: int, keys: UInt64Array) -> SlateBatch:
        drawn = super().decide(contexts, slots=slots, keys=keys)
        drawn.positions[:, 1] = drawn.positions[:, 0]
        drawn.items[:, 1] = drawn.items[:, 0]
        return drawn


class DrawsByRow(EpsilonGreedy):
    def decide(self, contexts: ContextBatch, *, slots: int, keys: UInt64Array) -> SlateBatch:
        shifted = np.bitwise_xor(keys, np.arange(len(keys), dtype=np.uint64))
        return super().decide(contexts, slots=slots, keys=shifted)


class CountsDecisions(EpsilonGreedy):
    def decide(self, contexts: ContextBatch, *, slots: int, keys: UInt64Array) -> SlateBatch:
        cast("SharedRidge", self._model).state.theta[0] += 1e-9
        return super().decide(contexts, slots=slots, keys=keys)


class ForgetsWhatItLearned(EpsilonGreedy):
    @classmethod
    def from_snapshot(cls, snapshot: Snapshot) -> Self:
        return cls(CONFIG, dimension=4)


class LearnsBatchMeans(EpsilonGreedy):
    def learn(self, outcomes: OutcomeBatch) -> None:
        if len(outcomes) and outcomes.shown.any():
            outcomes.rewards[:] -= outcomes.rewards[outcomes.shown].mean()
        super().learn(outcomes)


class SharesItsSnapshot(EpsilonGreedy):
    def learn(self, outcomes: OutcomeBatch) -> None:
        super().learn(outcomes)
        self._kept = getattr(self, "_kept", None) or super().snapshot()
        theta = self._kept.arrays["theta"]
        theta.flags.writeable = True
        theta[:] = self.theta

    def snapshot(self) -> Snapshot:
        return self._kept if hasattr(self, "_kept") else super().snapshot()


class OverlooksWhatIsNotFinite(EpsilonGreedy):
    def values(self, contexts: ContextBatch) -> FloatArray:
        return np.nan_to_num(super().values(contexts), posinf=0.0, neginf=0.0)


class SumsToLess(EpsilonGreedy):
    def propensities(self, contexts: ContextBatch, slates: IndexArray) -> FloatArray:
        return super().propensities(contexts, slates) * (1.0 - 1e-11)


@pytest.mark.parametrize(
    ("faulty", "test"),
    [
        (ExploresMore, "test_draws_follow_the_law"),
        (LogsAnotherNumber, "test_drawn_propensities_are_those_of_any_slate"),
        (RepeatsItems, "test_slates_hold_distinct_candidates"),
        (DrawsByRow, "test_bits_do_not_depend_on_the_batch"),
        (CountsDecisions, "test_deciding_leaves_the_state_alone"),
        (ForgetsWhatItLearned, "test_state_survives_save_and_load"),
        (LearnsBatchMeans, "test_learning_does_not_depend_on_batching"),
        (SharesItsSnapshot, "test_snapshot_is_immutable"),
        (OverlooksWhatIsNotFinite, "test_features_that_are_not_finite_are_refused"),
        (SumsToLess, "test_probabilities_of_all_slates_sum_to_one"),
    ],
)
def test_faults_are_caught(faulty: type[EpsilonGreedy], test: str, tmp_path: Path) -> None:
    class Contract(PolicyContract):
        def make_policy(self) -> Policy:
            return self.policy_type(CONFIG, dimension=self.dimension)

        policy_type: type[EpsilonGreedy] = EpsilonGreedy

    arguments = (tmp_path,) if test == "test_state_survives_save_and_load" else ()
    contract = Contract()
    getattr(contract, test)(*arguments)
    contract.policy_type = faulty
    with pytest.raises(AssertionError):
        getattr(contract, test)(*arguments)


CONTRACT_WITHOUT_AN_ORACLE = """
from matinee_policies import ScoreOrder, ScoreOrderConfig
from matinee_policies.testing import PolicyContract


class TestOwn(PolicyContract):
    def make_policy(self):
        return ScoreOrder(ScoreOrderConfig(epsilon=0.3))
"""


def test_a_comparison_that_was_not_made_shows_as_skipped(tmp_path: Path) -> None:
    (tmp_path / "test_own.py").write_text(CONTRACT_WITHOUT_AN_ORACLE, encoding="utf-8")
    words = ["-q", "-rs", "-p", "no:cacheprovider", "-k", "brute_force", "test_own.py"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 skipped" in done.stdout, done.stdout + done.stderr
    assert "brute_force_law gives nothing to compare with" in done.stdout
