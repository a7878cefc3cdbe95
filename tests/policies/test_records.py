from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import numpy as np
import pytest

from matinee_policies.errors import ContextError
from matinee_policies.records import SHARDS, ContextBatch, ItemTraits, SlateBatch
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


def full_contexts(seed: int, *, decisions: int) -> ContextBatch:
    """Decisions with every optional field, over one catalogue whatever the seed."""
    plain = example_contexts(seed, decisions=decisions, candidates=3, dimension=4)
    return replace(
        plain,
        embeddings=np.eye(40, 6, dtype=np.float32),
        traits=ItemTraits(np.full((40, 2), 0.5, np.float32), np.arange(40, dtype=np.int32)),
        interests=np.full((decisions, 2), 0.5, np.float32),
        eligible=np.ones((decisions, 3), np.bool_),
        pinned=np.zeros((decisions, 1), np.int32),
    )


def test_batches_are_concatenated_as_they_were_taken_apart() -> None:
    whole = full_contexts(1, decisions=7)
    parts = [whole.rows(np.arange(a, b)) for a, b in ((0, 2), (2, 2), (2, 7))]
    again = ContextBatch.concatenate(parts)
    for field in fields(ContextBatch):
        if field.name not in ("traits", "embeddings"):
            np.testing.assert_array_equal(getattr(again, field.name), getattr(whole, field.name))
    assert again.traits is whole.traits
    assert again.embeddings is whole.embeddings
    bare = example_contexts(1, decisions=2, candidates=3, dimension=4)
    assert ContextBatch.concatenate((bare,)).pinned is None
    # Equal tables are one catalogue too.
    assert len(ContextBatch.concatenate([whole, full_contexts(2, decisions=3)])) == 10


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"embeddings": np.zeros((40, 6), np.float32)}, "one catalogue, got another in part 1"),
        ({"traits": None, "interests": None}, "one catalogue, got another in part 1"),
        ({"interests": None}, r"interests .* got \(2,\) and, in part 1, None"),
        ({"pinned": np.full((2, 2), -1, np.int32)}, r"pinned .* got \(1,\) and, in part 1, \(2,\)"),
        ({"features": np.zeros((2, 3, 5), np.float32)}, r"features .* \(3, 4\) .* \(3, 5\)"),
    ],
)
def test_batches_that_do_not_fit_together_are_refused(
    changes: dict[str, Any], message: str
) -> None:
    whole = full_contexts(1, decisions=2)
    with pytest.raises(ContextError, match=message):
        ContextBatch.concatenate([whole, replace(whole, **changes)])
    with pytest.raises(ContextError, match="at least one batch, got none"):
        ContextBatch.concatenate([])


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
