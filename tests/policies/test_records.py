from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import pytest

from matinee_policies.errors import ContextError
from matinee_policies.records import SHARDS, SlateBatch
from matinee_policies.testing_data import example_contexts, example_outcomes


@pytest.mark.parametrize(
    ("field", "array", "message"),
    [
        ("candidates", np.zeros((2, 3), np.int64), "candidates must be a int32 array with 2"),
        ("candidates", [[1, 2, 3]], "candidates must be a int32 array .* got list"),
        ("features", np.zeros((2, 3), np.float32), "features must be .* with 3 dimensions"),
        ("features", np.zeros((2, 3, 4)), "features must be a float32 array .* got float64"),
        ("features", np.zeros((2, 4, 4), np.float32), r"\[B, K\] = \(2, 3\), got \(2, 4, 4\)"),
        ("scores", np.zeros((3, 2), np.float32), r"scores must have the shape .* got \(3, 2\)"),
        ("embeddings", np.zeros(3, np.float32), "embeddings must be .* got float32 with 1"),
    ],
)
def test_contexts_that_do_not_fit_are_refused(field: str, array: Any, message: str) -> None:
    contexts = example_contexts(0, decisions=2, candidates=3, dimension=4)
    with pytest.raises(ContextError, match=message):
        replace(contexts, **{field: array})


@pytest.mark.parametrize(
    ("field", "array", "message"),
    [
        ("features", np.zeros((5, 2, 4), np.float32), r"rewards must have shape \(5, 2\)"),
        ("rewards", np.zeros((5, 3), np.float32), "rewards must be a float64 array"),
        ("rewards", np.full((5, 3), np.nan), "rewards of shown slots must be finite"),
        ("shown", np.ones((4, 3), np.bool_), r"shown must have shape \(5, 3\)"),
        ("propensities", np.ones((5, 1)), r"propensities must have shape \(5, 3\)"),
        ("shards", np.zeros(4, np.uint8), r"shards must have shape \(5,\), got \(4,\)"),
        ("shards", np.full(5, SHARDS, np.uint8), "shards must be below 64, got 64"),
        ("shards", np.zeros(5, np.int64), "shards must be a uint8 array"),
    ],
)
def test_outcomes_that_do_not_fit_are_refused(field: str, array: Any, message: str) -> None:
    outcomes = example_outcomes(0, slates=5, dimension=4)
    with pytest.raises(ContextError, match=message):
        replace(outcomes, **{field: array})


def test_rewards_of_empty_slots_may_be_anything() -> None:
    outcomes = example_outcomes(0, slates=5, dimension=4)
    rewards = np.where(outcomes.shown, outcomes.rewards, np.nan)
    assert len(replace(outcomes, rewards=rewards)) == 5


def test_records_are_frozen_and_know_their_length() -> None:
    contexts = example_contexts(0, decisions=2, candidates=3, dimension=4)
    assert len(contexts) == 2
    with pytest.raises(FrozenInstanceError):
        contexts.scores = contexts.scores  # type: ignore[misc]
    positions = np.zeros((7, 2), dtype=np.int32)
    assert len(SlateBatch(positions, positions, np.ones((7, 2)))) == 7
