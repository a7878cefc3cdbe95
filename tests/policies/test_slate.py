import numpy as np
import pytest

from matinee_policies import slate_walk
from matinee_policies.errors import ConfigError, ContextError
from matinee_policies.philox import uniform
from matinee_policies.records import PAD, ContextBatch
from matinee_policies.rules import (
    Rule,
    epsilon_rule,
    inverse_gap_rule,
    softmax_rule,
    upper_bound_rule,
)
from matinee_policies.slate import (
    SlateProblem,
    next_law,
    sample_slates,
    score_slates,
)
from matinee_policies.slate_reference import sample_slate_reference
from matinee_policies.slate_walk import draw_position
from matinee_policies.testing import all_slates, assert_slates
from matinee_policies.testing_data import example_contexts, example_keys, rows_of

RULES = [
    epsilon_rule(0.3),
    epsilon_rule(1.0),
    softmax_rule(0.2, floor=0.05),
    inverse_gap_rule(20.0, floor=0.01),
    upper_bound_rule(floor=0.1),
]


def example_problem(
    rule: Rule, *, diversity: float = 0.4, decisions: int = 40, candidates: int = 9
) -> SlateProblem:
    contexts = example_contexts(
        9, decisions=decisions, candidates=candidates, dimension=1, padded=True
    )
    return SlateProblem(contexts, contexts.scores.astype(np.float64), rule, diversity)


@pytest.mark.parametrize("diversity", [0.0, 0.4])
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_the_walk_equals_its_readable_twin(rule: Rule, diversity: float) -> None:
    problem = example_problem(rule, diversity=diversity)
    keys = example_keys(40)
    slates = sample_slates(problem, slots=6, keys=keys)
    for row in range(40):
        positions, law = sample_slate_reference(problem, row, slots=6, key=int(keys[row]))
        assert slates.positions[row].tolist() == positions
        np.testing.assert_allclose(slates.propensities[row], law, rtol=1e-12)


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_scoring_a_drawn_slate_gives_a_ratio_of_exactly_one(rule: Rule) -> None:
    problem = example_problem(rule, decisions=500, candidates=30)
    slates = sample_slates(problem, slots=10, keys=example_keys(500))
    assert_slates(slates, problem.contexts, slots=10)
    np.testing.assert_array_equal(score_slates(problem, slates.positions), slates.propensities)


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_next_law_is_the_law_of_the_sampler(rule: Rule) -> None:
    contexts = example_contexts(9, decisions=1, candidates=5, dimension=1)
    problem = SlateProblem(contexts, contexts.scores.astype(np.float64), rule, 0.4)
    slates = all_slates(5, 3)
    many = SlateProblem(
        rows_of(contexts, np.zeros(60, dtype=np.int64)), problem.values.repeat(60, 0), rule, 0.4
    )
    scored = score_slates(many, slates)
    for slot in range(3):
        for row, expected in zip(slates, scored, strict=True):
            law = next_law(problem, row[None, :slot].copy(), slots=3)[0]
            assert law[row[slot]] == expected[slot]
            assert abs(law.sum() - 1.0) <= 1e-12
            assert (law[row[:slot]] == 0.0).all()


def test_next_law_is_zero_where_nothing_remains() -> None:
    problem = example_problem(epsilon_rule(0.1))
    laws = next_law(problem, np.zeros((40, 0), dtype=np.int32), slots=3)
    empty = (problem.contexts.candidates == PAD).all(axis=1)
    assert empty.any()
    np.testing.assert_allclose(laws.sum(axis=1), np.where(empty, 0.0, 1.0), atol=1e-12)


def test_items_are_drawn_by_inversion_in_the_order_of_the_candidates() -> None:
    contexts = example_contexts(9, decisions=300, candidates=5, dimension=1)
    problem = SlateProblem(contexts, np.zeros((300, 5)), epsilon_rule(1.0))
    keys = example_keys(300)
    slates = sample_slates(problem, slots=1, keys=keys)
    draws = [uniform(key, np.uint64(0), np.uint64(0)) for key in keys]
    assert slates.positions[:, 0].tolist() == [int(draw * 5) for draw in draws]


def test_rounding_at_the_edges_never_draws_what_is_impossible() -> None:
    nearly_one = 1.0 - 2.0**-53
    for law, draw, expected in (
        ([0.0, 0.4, 0.6], 0.0, 1),
        ([0.0, 0.4, 0.6], 0.4, 2),
        ([0.4, 0.0, 0.6], 0.4, 2),
        ([0.3, 0.7 - 1e-13, 0.0], nearly_one, 1),
        ([1.0, 0.0], nearly_one, 0),
        ([0.0, 0.0], 0.5, PAD),
        ([], 0.5, PAD),
    ):
        assert draw_position(np.array(law), draw) == expected


def test_certain_laws_never_draw_another_candidate() -> None:
    """Probability 0 stays impossible at every edge of the running sum."""
    contexts = example_contexts(9, decisions=2000, candidates=9, dimension=1)
    problem = SlateProblem(contexts, contexts.scores.astype(np.float64), softmax_rule(1e-4))
    slates = sample_slates(problem, slots=9, keys=example_keys(2000))
    assert (slates.propensities > 0.0).all()
    assert (np.diff(np.take_along_axis(contexts.scores, slates.positions, axis=1)) <= 1e-3).all()


def test_diversity_separates_twins() -> None:
    """Two copies of one vector: the second is worth its value minus the whole price."""
    embeddings = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)
    contexts = ContextBatch(
        candidates=np.array([[0, 1, 2]], dtype=np.int32),
        features=np.zeros((1, 3, 1), dtype=np.float32),
        scores=np.zeros((1, 3), dtype=np.float32),
        embeddings=embeddings,
    )
    values = np.array([[0.9, 0.8, 0.5]])
    for price, expected in ((0.0, [0, 1, 2]), (0.29, [0, 1, 2]), (0.31, [0, 2, 1])):
        problem = SlateProblem(contexts, values, epsilon_rule(0.0), price)
        slates = sample_slates(problem, slots=3, keys=example_keys(1))
        assert slates.positions[0].tolist() == expected


def test_more_diversity_means_less_similarity() -> None:
    contexts = example_contexts(9, decisions=200, candidates=30, dimension=1)

    def similarity(price: float) -> float:
        values = contexts.scores.astype(np.float64)
        problem = SlateProblem(contexts, values, epsilon_rule(0.0), price)
        items = sample_slates(problem, slots=5, keys=example_keys(200)).items
        vectors = contexts.embeddings[items]
        return float(np.einsum("blm,bkm->", vectors, vectors))

    assert similarity(0.0) > similarity(0.3) > similarity(3.0)


def test_only_eligible_candidates_are_drawn_and_the_others_score_zero() -> None:
    contexts = example_contexts(9, decisions=100, candidates=6, dimension=1)
    eligible = np.zeros((100, 6), dtype=np.bool_)
    eligible[:, [1, 4]] = True
    values = np.where(eligible, 0.5, np.nan)
    problem = SlateProblem(contexts, values, epsilon_rule(1.0), 0.3, eligible)
    slates = sample_slates(problem, slots=3, keys=example_keys(100))
    assert set(slates.positions[:, :2].ravel().tolist()) == {1, 4}
    assert (slates.positions[:, 2] == PAD).all()
    barred = np.tile(np.array([[1, 0, 4]], dtype=np.int32), (100, 1))
    np.testing.assert_array_equal(
        score_slates(problem, barred), np.tile([[0.5, 0.0, 1.0]], (100, 1))
    )


def test_empty_batches_and_rows_are_no_exception() -> None:
    for decisions, candidates in ((0, 5), (3, 0)):
        contexts = ContextBatch(
            candidates=np.zeros((decisions, candidates), dtype=np.int32),
            features=np.zeros((decisions, candidates, 1), dtype=np.float32),
            scores=np.zeros((decisions, candidates), dtype=np.float32),
            embeddings=np.zeros((4, 2), dtype=np.float32),
        )
        problem = SlateProblem(contexts, np.zeros((decisions, candidates)), epsilon_rule(0.1))
        slates = sample_slates(problem, slots=2, keys=example_keys(decisions))
        assert (slates.positions == PAD).all()
        assert (slates.items == PAD).all()
        assert (slates.propensities == 1.0).all()
        np.testing.assert_array_equal(score_slates(problem, slates.positions), slates.propensities)


def test_read_only_and_strided_arrays_are_welcome() -> None:
    problem = example_problem(softmax_rule(0.3))
    keys = example_keys(80)[::2]
    expected = sample_slates(problem, slots=4, keys=keys.copy())
    compiled = len(vars(slate_walk)["walk"].signatures)
    contexts = ContextBatch(
        np.asfortranarray(problem.contexts.candidates),
        problem.contexts.features,
        problem.contexts.scores,
        problem.contexts.embeddings.repeat(2, axis=1)[:, ::2],
    )
    for array in (contexts.candidates, keys):
        array.flags.writeable = False
    again = SlateProblem(contexts, np.asfortranarray(problem.values), problem.rule, 0.4)
    got = sample_slates(again, slots=4, keys=keys)
    np.testing.assert_array_equal(got.positions, expected.positions)
    np.testing.assert_array_equal(
        score_slates(again, np.asfortranarray(got.positions)), expected.propensities
    )
    # They are brought to one layout, so that the walk is compiled once.
    assert len(vars(slate_walk)["walk"].signatures) == compiled


def test_scoring_leaves_the_slates_alone() -> None:
    problem = example_problem(softmax_rule(0.3))
    slates = sample_slates(problem, slots=4, keys=example_keys(40)).positions
    before = slates.copy()
    score_slates(problem, slates)
    np.testing.assert_array_equal(slates, before)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_must_be_finite(bad: float) -> None:
    contexts = example_contexts(9, decisions=3, candidates=4, dimension=1)
    values = np.zeros((3, 4))
    values[1, 2] = bad
    with pytest.raises(ContextError, match="value of candidate 2 of decision 1 must be finite"):
        SlateProblem(contexts, values, epsilon_rule(0.1))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([1, 2, 1, PAD], "candidates of decision 1 must be distinct, got item 1 twice"),
        ([1, 2, 40, PAD], "candidates must be -1 or rows of a catalogue of 40 items, got 40"),
        ([1, 2, -2, PAD], "candidates must be -1 or rows of a catalogue of 40 items, got -2"),
    ],
)
def test_bad_candidates_are_refused(row: list[int], message: str) -> None:
    contexts = example_contexts(9, decisions=3, candidates=4, dimension=1)
    contexts.candidates[1] = row
    with pytest.raises(ContextError, match=message):
        SlateProblem(contexts, np.zeros((3, 4)), epsilon_rule(0.1))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([0, 0, 1], "must not repeat a position, got 0 twice"),
        ([0, 5, 1], "must hold positions below 5 or -1, got 5"),
        ([0, -3, 1], "must hold positions below 5 or -1, got -3"),
        ([0, 4, 1], "must hold positions of candidates, got a position of padding"),
        ([PAD, 0, 1], "must fill the first 3 slots of decision 1 .* got -1 at slot 0"),
        ([0, 1, PAD], "must fill the first 3 slots of decision 1 .* got -1 at slot 2"),
    ],
)
def test_bad_slates_are_refused(row: list[int], message: str) -> None:
    contexts = example_contexts(9, decisions=2, candidates=5, dimension=1)
    contexts.candidates[1, 4] = PAD
    problem = SlateProblem(contexts, np.zeros((2, 5)), epsilon_rule(0.1))
    slates = np.array([[0, 1, 2], row], dtype=np.int32)
    with pytest.raises(ContextError, match=message):
        score_slates(problem, slates)


def test_bad_shapes_and_types_are_refused() -> None:
    problem = example_problem(epsilon_rule(0.1))
    contexts = problem.contexts
    keys = example_keys(40)
    with pytest.raises(ContextError, match=r"values must be float64 of shape \(40, 9\)"):
        SlateProblem(contexts, contexts.scores, problem.rule)  # type: ignore[arg-type]
    with pytest.raises(ContextError, match="eligible must be bool"):
        SlateProblem(contexts, problem.values, problem.rule, 0.0, np.ones((40, 8), dtype=np.bool_))
    with pytest.raises(ConfigError, match=r"diversity must be >= 0, got -0\.5"):
        SlateProblem(contexts, problem.values, problem.rule, -0.5)
    with pytest.raises(ContextError, match="slots must be a whole number >= 1, got 0"):
        sample_slates(problem, slots=0, keys=keys)
    with pytest.raises(ContextError, match="keys must be uint64 of shape"):
        sample_slates(problem, slots=2, keys=keys[:39])
    with pytest.raises(ContextError, match="slates must be an int32 array with 2 dimensions"):
        score_slates(problem, [[0, 1]])  # type: ignore[arg-type]
    with pytest.raises(ContextError, match="slates must be int32 of shape"):
        score_slates(problem, np.zeros((2, 3), dtype=np.int32))


def test_bad_prefixes_are_refused() -> None:
    contexts = example_contexts(9, decisions=1, candidates=4, dimension=1)
    problem = SlateProblem(contexts, np.zeros((1, 4)), epsilon_rule(0.1))
    for row, message in (
        ([0, 1], "prefix must be shorter than slots 2, got 2"),
        ([PAD], "prefix must hold no padding, got -1"),
        ([4], "slates must hold positions below 4 or -1, got 4"),
    ):
        with pytest.raises(ContextError, match=message):
            next_law(problem, np.array([row], dtype=np.int32), slots=2)
