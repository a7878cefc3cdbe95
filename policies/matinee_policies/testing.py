"""The tests that every policy passes: subclass `PolicyContract` and name the policy.

    class TestLinUCB(PolicyContract):
        def make_policy(self) -> Policy:
            return LinUCB(LinUCBConfig(diversity=0.3), dimension=self.dimension)

Needs scipy; pytest collects the subclass.
"""

# ruff: noqa: D102 -- the name of a test says what it promises

import itertools
import json
import unittest
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.stats import chi2

from matinee_policies.arrays import AnyArray, FloatArray, IndexArray
from matinee_policies.errors import ContextError, SnapshotError
from matinee_policies.policy import Policy, reads_features
from matinee_policies.records import PAD, ContextBatch, SlateBatch
from matinee_policies.snapshot import Snapshot
from matinee_policies.testing_data import (
    example_contexts,
    example_keys,
    example_outcomes,
    rows_of,
    rows_of_outcomes,
)


class PolicyContract:
    """What `Policy` promises.

    Attributes:
        dimension: of the features that the suite makes up.
        draws: slates drawn for the test of the sampling law.
        least_p_value: below it, that test fails; one slot of a correct policy does by that chance.
    """

    dimension = 4
    draws = 100_000
    least_p_value = 1e-4

    def make_policy(self) -> Policy:
        """A new policy, always the same."""
        raise NotImplementedError

    def brute_force_law(
        self, policy: Policy, contexts: ContextBatch, prefix: Sequence[int]
    ) -> list[float] | None:
        """Law of the slot after `prefix` for the only decision of `contexts`, for 3 slots.

        Override it with plain Python that shares nothing with the policy; with `None` the test
        that compares is skipped.
        """
        return None

    def trained_policy(self) -> Policy:
        """A policy that has learned, if it can."""
        policy = self.make_policy()
        policy.learn(example_outcomes(1, slates=150, dimension=self.dimension))
        policy.learn(example_outcomes(1, slates=150, dimension=self.dimension, first=False))
        return policy

    def test_slates_hold_distinct_candidates(self) -> None:
        contexts = self._contexts(decisions=50, candidates=9)
        slates = self.trained_policy().decide(contexts, slots=6, keys=example_keys(50))
        assert_slates(slates, contexts, slots=6)

    def test_short_rows_are_padded(self) -> None:
        contexts = self._contexts(decisions=50, candidates=7, padded=True)
        policy = self.trained_policy()
        slates = policy.decide(contexts, slots=5, keys=example_keys(50))
        assert_slates(slates, contexts, slots=5)
        again = policy.propensities(contexts, slates.positions)
        np.testing.assert_array_equal(again, slates.propensities)
        # What stands in the padding is nobody's business.
        padding = contexts.candidates == PAD
        contexts.features[padding] = np.nan
        contexts.scores[padding] = np.nan
        self._assert_same(policy.decide(contexts, slots=5, keys=example_keys(50)), slates)

    def test_all_candidates_can_be_shown(self) -> None:
        contexts = self._contexts(decisions=20, candidates=5)
        slates = self.trained_policy().decide(contexts, slots=5, keys=example_keys(20))
        assert_slates(slates, contexts, slots=5)
        # The last slot has no choice.
        np.testing.assert_array_equal(slates.propensities[:, -1], 1.0)

    def test_drawn_propensities_are_those_of_any_slate(self) -> None:
        contexts = self._contexts(decisions=64, candidates=11)
        policy = self.trained_policy()
        slates = policy.decide(contexts, slots=5, keys=example_keys(64))
        again = policy.propensities(contexts, slates.positions)
        np.testing.assert_array_equal(again, slates.propensities)

    def test_same_key_same_slate(self) -> None:
        contexts = self._contexts(decisions=40, candidates=9)
        keys = example_keys(40)
        first = self.trained_policy().decide(contexts, slots=4, keys=keys)
        self._assert_same(self.trained_policy().decide(contexts, slots=4, keys=keys), first)

    def test_bits_do_not_depend_on_the_batch(self) -> None:
        contexts = self._contexts(decisions=50, candidates=9, padded=True)
        keys = example_keys(50)
        policy = self.trained_policy()
        whole = policy.decide(contexts, slots=4, keys=keys)
        for size in (1, 7):
            for start in range(0, 50, size):
                rows = np.arange(start, min(start + size, 50))
                part = rows_of(contexts, rows)
                slates = policy.decide(part, slots=4, keys=keys[rows])
                np.testing.assert_array_equal(slates.positions, whole.positions[rows])
                np.testing.assert_array_equal(slates.propensities, whole.propensities[rows])
                np.testing.assert_array_equal(
                    policy.propensities(part, slates.positions), whole.propensities[rows]
                )

    def test_features_leave_no_trace_where_they_are_not_read(self) -> None:
        policy, contexts = self.trained_policy(), self._contexts(decisions=30, candidates=9)
        if reads_features(policy):
            return
        bare = replace(contexts, features=np.empty((30, 9, 0), dtype=np.float32))
        slates = policy.decide(contexts, slots=4, keys=example_keys(30))
        self._assert_same(policy.decide(bare, slots=4, keys=example_keys(30)), slates)
        np.testing.assert_array_equal(
            policy.propensities(bare, slates.positions), slates.propensities
        )

    def test_deciding_leaves_the_state_alone(self) -> None:
        contexts = self._contexts(decisions=10, candidates=9)
        policy = self.trained_policy()
        before = policy.snapshot().content_hash
        slates = policy.decide(contexts, slots=4, keys=example_keys(10))
        policy.propensities(contexts, slates.positions)
        _require(policy.snapshot().content_hash == before, "decide must not change the state")

    def test_learning_changes_the_state_of_learners_only(self) -> None:
        fresh, trained = self.make_policy().snapshot(), self.trained_policy().snapshot()
        changed = fresh.content_hash != trained.content_hash
        _require(changed == self.make_policy().learns, "learns must say whether learn does")

    def test_learning_does_not_depend_on_batching(self) -> None:
        parts = (
            example_outcomes(2, slates=60, dimension=self.dimension),
            example_outcomes(2, slates=60, dimension=self.dimension, first=False),
        )
        whole = self.make_policy()
        for part in parts:
            whole.learn(part)
        for size in (1, 7):
            pieces = self.make_policy()
            for start in range(0, 60, size):
                for part in parts:
                    pieces.learn(rows_of_outcomes(part, np.arange(start, min(start + size, 60))))
            _require(
                pieces.snapshot().content_hash == whole.snapshot().content_hash,
                f"learning in batches of {size} must give the same bits",
            )

    def test_state_survives_save_and_load(self, tmp_path: Path) -> None:
        contexts = self._contexts(decisions=40, candidates=9)
        keys = example_keys(40)
        policy = self.trained_policy()
        policy.snapshot().save(tmp_path / "state.npz")
        loaded = type(policy).from_snapshot(Snapshot.load(tmp_path / "state.npz"))
        _require(loaded.config == policy.config, "the config must survive")
        more = example_outcomes(3, slates=50, dimension=self.dimension)
        for _ in range(2):
            _require(
                loaded.snapshot().content_hash == policy.snapshot().content_hash,
                "a restored policy must have the same state, also after it has learned more",
            )
            self._assert_same(
                loaded.decide(contexts, slots=4, keys=keys),
                policy.decide(contexts, slots=4, keys=keys),
            )
            loaded.learn(more)
            policy.learn(more)

    def test_snapshot_is_immutable(self) -> None:
        policy = self.trained_policy()
        snapshot = policy.snapshot()
        before = snapshot.content_hash
        policy.learn(example_outcomes(4, slates=20, dimension=self.dimension))
        _require(snapshot.content_hash == before, "learning must not reach into a snapshot")
        policy = type(policy).from_snapshot(snapshot)
        policy.learn(example_outcomes(4, slates=20, dimension=self.dimension))
        _require(snapshot.content_hash == before, "a restored policy must copy its snapshot")

    def test_foreign_snapshots_are_refused(self) -> None:
        policy = self.make_policy()
        good = policy.snapshot()
        for kind, version in (("another", good.version), (good.kind, good.version + 1)):
            foreign = Snapshot(
                kind=kind, version=version, arrays=good.arrays, manifest=good.manifest
            )
            _refuses(SnapshotError, type(policy).from_snapshot, foreign)

    def test_config_survives_json(self) -> None:
        config = self.make_policy().config
        again = type(config).from_json(json.loads(json.dumps(config.to_json())))
        _require(again == config, "a config must survive a round trip through JSON")

    def test_bad_arguments_are_refused(self) -> None:
        contexts = self._contexts(decisions=2, candidates=4)
        policy = self.make_policy()
        for slots, keys in ((0, example_keys(2)), (2, example_keys(3))):
            _refuses(
                ContextError, lambda n, k: policy.decide(contexts, slots=n, keys=k), slots, keys
            )
        for row in ([0, 0], [0, 4], [0, -2], [PAD, 0], [0, PAD]):
            slates = np.array([row, [0, 1]], dtype=np.int32)
            _refuses(ContextError, policy.propensities, contexts, slates)

    def test_features_that_are_not_finite_are_refused(self) -> None:
        """By a policy that reads features: one whose slates are not the same whatever they are."""
        contexts = self._contexts(decisions=30, candidates=9)
        keys = example_keys(30)
        trained = self.trained_policy()
        slates = trained.decide(contexts, slots=4, keys=keys)
        other = example_contexts(11, decisions=30, candidates=9, dimension=self.dimension)
        contexts.features[:] = other.features
        again = trained.decide(contexts, slots=4, keys=keys)
        if (again.propensities == slates.propensities).all() and (
            again.positions == slates.positions
        ).all():
            return
        for policy in (trained, self.make_policy()):
            before = policy.snapshot().content_hash
            for bad in (np.nan, np.inf, -np.inf):
                contexts.features[:] = other.features
                contexts.features[17, 3] = bad
                _refuses(ContextError, lambda p: p.decide(contexts, slots=4, keys=keys), policy)
                _refuses(ContextError, policy.propensities, contexts, slates.positions)
            _require(policy.snapshot().content_hash == before, "refusing must leave the state")

    def test_probabilities_of_all_slates_sum_to_one(self) -> None:
        contexts = self._contexts(decisions=1, candidates=5)
        slates, laws = all_slates(5, 3), self._all_propensities(contexts)
        _require(len(slates) == 60, "5 candidates in 3 slots give 60 slates")
        total = laws.prod(axis=1).sum()
        np.testing.assert_allclose(total, 1.0, rtol=0, atol=1e-12)
        for slot in (1, 2):
            prefixes, first = np.unique(slates[:, :slot], axis=0, return_index=True)
            total = laws[first, :slot].prod(axis=1).sum()
            _require(len(prefixes) == (5, 20)[slot - 1], "every prefix is reached")
            np.testing.assert_allclose(total, 1.0, rtol=0, atol=1e-12)

    def test_propensities_equal_brute_force(self) -> None:
        contexts = self._contexts(decisions=1, candidates=5)
        policy = self.trained_policy()
        laws = self._all_propensities(contexts)
        for slate, law in zip(all_slates(5, 3).tolist(), laws, strict=True):
            for slot in range(3):
                expected = self.brute_force_law(policy, contexts, slate[:slot])
                if expected is None:
                    # pytest shows it as skipped, and need not be there.
                    raise unittest.SkipTest("brute_force_law gives nothing to compare with")
                np.testing.assert_allclose(law[slot], expected[slate[slot]], rtol=0, atol=1e-12)

    def test_draws_follow_the_law(self) -> None:
        contexts = self._contexts(decisions=1, candidates=5)
        many = rows_of(contexts, np.zeros(self.draws, dtype=np.int64))
        slates = self.trained_policy().decide(many, slots=3, keys=example_keys(self.draws))
        laws = self._all_propensities(contexts)
        for slot in range(3):
            p_value = conditional_p_value(slates.positions, all_slates(5, 3), laws, slot=slot)
            _require(
                p_value > self.least_p_value,
                f"draws at slot {slot} must follow the law, got p = {p_value:.2g}",
            )

    def _contexts(self, *, decisions: int, candidates: int, padded: bool = False) -> ContextBatch:
        return example_contexts(
            5,
            decisions=decisions,
            candidates=candidates,
            dimension=self.dimension,
            padded=padded,
        )

    def _all_propensities(self, contexts: ContextBatch) -> FloatArray:
        """Propensities of all 60 slates of the only decision of `contexts`, `[60, 3]`."""
        slates = all_slates(5, 3)
        many = rows_of(contexts, np.zeros(len(slates), dtype=np.int64))
        return self.trained_policy().propensities(many, slates)

    @staticmethod
    def _assert_same(got: SlateBatch, expected: SlateBatch) -> None:
        np.testing.assert_array_equal(got.positions, expected.positions)
        np.testing.assert_array_equal(got.items, expected.items)
        np.testing.assert_array_equal(got.propensities, expected.propensities)


def all_slates(candidates: int, slots: int) -> IndexArray:
    """Every slate of `slots` of `candidates` positions, `int32 [n, slots]`."""
    return np.array(list(itertools.permutations(range(candidates), slots)), dtype=np.int32)


def conditional_p_value(
    drawn: IndexArray, slates: IndexArray, laws: FloatArray, *, slot: int
) -> float:
    """Pearson's chi-square test of the draws of one slot, given the slots before it.

    Cells of fewer than 5 expected draws are pooled per prefix.

    Args:
        drawn: slates drawn, `int32 [n, L]`.
        slates: every possible slate, `int32 [S, L]`.
        laws: propensities of each slot of those, `float64 [S, L]`.
        slot: which slot to test.

    Returns:
        The p-value; 0 if something impossible was drawn.
    """
    statistic, freedom = 0.0, 0
    for prefix in np.unique(slates[:, :slot], axis=0):
        picks = drawn[(drawn[:, :slot] == prefix).all(axis=1), slot]
        follows = (slates[:, :slot] == prefix).all(axis=1)
        items, first = np.unique(slates[follows, slot], return_index=True)
        expected = laws[follows, slot][first] * len(picks)
        observed = (picks[:, None] == items).sum(axis=0)
        if (observed[expected == 0.0] > 0).any():
            return 0.0
        cells = _pooled(observed, expected)
        statistic += sum((seen - mean) ** 2 / mean for seen, mean in cells)
        freedom += max(len(cells) - 1, 0)
    return float(chi2.sf(statistic, freedom)) if freedom else 1.0


def assert_slates(slates: SlateBatch, contexts: ContextBatch, *, slots: int) -> None:
    """Fail unless slates hold distinct candidates, then padding, with propensities in (0, 1]."""
    for row in range(len(contexts)):
        present = int((contexts.candidates[row] != PAD).sum())
        shown = min(present, slots)
        positions = slates.positions[row].tolist()
        _require(len(set(positions[:shown])) == shown, f"items must be distinct, got {positions}")
        _require(all(0 <= place < present for place in positions[:shown]), f"got {positions}")
        _require(positions[shown:] == [PAD] * (slots - shown), f"got {positions}")
        items = [contexts.candidates[row, place] for place in positions[:shown]]
        _require(slates.items[row].tolist() == items + [PAD] * (slots - shown), "items must match")
        propensities = slates.propensities[row]
        _require(bool(((propensities > 0) & (propensities <= 1)).all()), f"got {propensities}")
        _require(bool((propensities[shown:] == 1).all()), "padding must have propensity 1")


def _pooled(observed: AnyArray, expected: FloatArray) -> list[tuple[float, float]]:
    large = expected >= 5.0
    cells = list(zip(observed[large].tolist(), expected[large].tolist(), strict=True))
    rest = float(expected[~large].sum())
    if rest >= 5.0:
        cells.append((float(observed[~large].sum()), rest))
    elif cells and rest > 0.0:
        # Too few to stand alone: they join the smallest cell.
        smallest = min(range(len(cells)), key=lambda index: cells[index][1])
        seen, mean = cells[smallest]
        cells[smallest] = (seen + float(observed[~large].sum()), mean + rest)
    return cells


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)


def _refuses(error: type[Exception], call: Callable[..., object], *arguments: object) -> None:
    try:
        call(*arguments)
    except error:
        return
    raise AssertionError(f"must raise {error.__name__} for {arguments}")
