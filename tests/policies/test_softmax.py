import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest

from matinee_policies import (
    PAD,
    ConfigError,
    ContextBatch,
    ContextError,
    Policy,
    ScoreOrder,
    Softmax,
    SoftmaxConfig,
)
from matinee_policies.testing import PolicyContract
from matinee_policies.testing_data import example_contexts, example_keys
from matinee_policies.testing_laws import plain_softmax_law, plain_utilities


class TestSoftmax(PolicyContract):
    def make_policy(self) -> Policy:
        return Softmax(SoftmaxConfig(temperature=0.5, floor=0.1, diversity=0.4))

    def brute_force_law(
        self, policy: Policy, contexts: ContextBatch, prefix: Sequence[int]
    ) -> list[float]:
        utilities = plain_utilities(
            contexts.scores[0].tolist(),
            contexts.embeddings[contexts.candidates[0]].tolist(),
            prefix,
            diversity=0.4,
        )
        return plain_softmax_law(utilities, 5, temperature=0.5, weight=0.1)


class TestSoftmaxOverTheTop(PolicyContract):
    """A slate of the contract has up to 6 slots."""

    def make_policy(self) -> Policy:
        return Softmax(SoftmaxConfig(temperature=0.3, top=6))


def test_without_diversity_it_is_plackett_luce() -> None:
    contexts = example_contexts(3, decisions=1, candidates=5, dimension=1)
    policy = Softmax(SoftmaxConfig(temperature=0.2))
    worth = [math.exp(float(score) / 0.2) for score in contexts.scores[0]]
    for slate in itertools.permutations(range(5), 3):
        got = policy.propensities(contexts, np.array([slate], dtype=np.int32)).prod()
        left, expected = sum(worth), 1.0
        for position in slate:
            expected *= worth[position] / left
            left -= worth[position]
        assert got == pytest.approx(expected, rel=1e-12)


def test_only_the_top_is_shown_and_the_rest_has_propensity_zero() -> None:
    contexts = example_contexts(3, decisions=200, candidates=12, dimension=1, padded=True)
    policy = Softmax(SoftmaxConfig(temperature=5.0, top=3, floor=0.5))
    slates = policy.decide(contexts, slots=3, keys=example_keys(200))
    best = ScoreOrder().decide(contexts, slots=3, keys=example_keys(200))
    np.testing.assert_array_equal(
        np.sort(slates.positions, axis=1), np.sort(best.positions, axis=1)
    )
    assert len(np.unique(slates.positions, axis=0)) > len(slates) / 4
    full = example_contexts(3, decisions=1, candidates=4, dimension=1)
    worst = int(full.scores[0].argmin())
    others = [position for position in range(4) if position != worst]
    slate = np.array([[others[0], worst, others[1], others[2]]], dtype=np.int32)
    four = Softmax(SoftmaxConfig(temperature=5.0, top=3)).propensities(full, slate[:, :3])
    assert four[0, 1] == 0.0
    assert (four[0, [0, 2]] > 0.0).all()


def test_equal_scores_at_the_edge_of_the_top_favour_the_first() -> None:
    contexts = example_contexts(3, decisions=1, candidates=40, dimension=1)
    contexts.scores[:] = 0.5
    contexts.scores[0, [3, 30]] = [0.4, 0.6]
    slates = Softmax(SoftmaxConfig(top=20)).decide(contexts, slots=20, keys=example_keys(1))
    assert sorted(slates.positions[0].tolist()) == [0, 1, 2, *range(4, 20), 30]


def test_more_slots_than_the_top_are_refused() -> None:
    contexts = example_contexts(3, decisions=1, candidates=5, dimension=1)
    with pytest.raises(ContextError, match="slots must be <= top = 2 of softmax, got 3"):
        Softmax(SoftmaxConfig(top=2)).decide(contexts, slots=3, keys=example_keys(1))


def test_a_score_that_is_not_finite_is_refused_whether_or_not_the_top_would_hide_it() -> None:
    for score in (np.nan, -np.inf):
        contexts = example_contexts(3, decisions=2, candidates=5, dimension=1)
        contexts.scores[1, 2] = score
        for top in (None, 2):
            with pytest.raises(ContextError, match=f"candidate 2 of decision 1 .* got {score}"):
                Softmax(SoftmaxConfig(top=top)).decide(contexts, slots=2, keys=example_keys(2))
        contexts.candidates[1, 2:] = PAD
        Softmax(SoftmaxConfig(top=2)).decide(contexts, slots=2, keys=example_keys(2))


def test_a_tiny_temperature_is_the_score_order() -> None:
    contexts = example_contexts(3, decisions=50, candidates=9, dimension=1)
    policy = Softmax(SoftmaxConfig(temperature=1e-300))
    slates = policy.decide(contexts, slots=4, keys=example_keys(50))
    order = ScoreOrder().decide(contexts, slots=4, keys=example_keys(50))
    np.testing.assert_array_equal(slates.positions, order.positions)
    np.testing.assert_array_equal(slates.propensities, 1.0)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"temperature": 0.0}, "temperature must be > 0, got 0.0"),
        ({"top": 0}, "top must be >= 1, got 0"),
        ({"top": 2.5}, "top must be a whole number, got 2.5"),
        ({"floor": -0.1}, "floor must be >= 0, got -0.1"),
    ],
)
def test_bad_settings_are_refused(setting: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SoftmaxConfig.from_json(setting)
