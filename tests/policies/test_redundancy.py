import numpy as np
import pytest
from scipy.stats import entropy

from matinee_policies.arrays import AnyArray, FloatArray
from matinee_policies.diversity import DPP, MMR, Calibrated, Diversity, XQuAD
from matinee_policies.errors import ContextError
from matinee_policies.records import ContextBatch, ItemTraits
from matinee_policies.redundancy import (
    calibrated_reference,
    dpp_reference,
    mmr_reference,
    xquad_reference,
)
from matinee_policies.rules import upper_bound_rule
from matinee_policies.slate import SlateProblem, next_law, sample_slates, score_slates
from matinee_policies.slate_reference import sample_slate_reference
from matinee_policies.testing_data import example_keys

RNG = np.random.default_rng(5)
KINDS = [MMR(price=0.4), DPP(price=0.1), Calibrated(price=0.2), XQuAD(price=0.5)]


def unit_vectors(rows: int, features: int) -> AnyArray:
    vectors = np.random.default_rng(rows).normal(size=(rows, features))
    unit: AnyArray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def shares(rows: int, aspects: int, *, seed: int) -> AnyArray:
    rng = np.random.default_rng(seed)
    table = rng.random((rows, aspects)) * (rng.random((rows, aspects)) < 0.5)
    table = table / np.maximum(table.sum(axis=1, keepdims=True), 1e-9)
    return np.asarray(table.astype(np.float32))


def some_contexts(decisions: int, *, candidates: int = 70) -> ContextBatch:
    """Decisions over 120 items, among them twins, an unknown one, and units of whom none knows."""
    rng = np.random.default_rng(6)
    vectors = unit_vectors(120, 10)
    vectors[60:90] = vectors[:30]
    vectors[7] = 0.0
    rows = rng.permuted(np.tile(np.arange(120), (decisions, 1)), axis=1)[:, :candidates]
    interests = shares(decisions, 6, seed=7)
    interests[0] = 0.0
    return ContextBatch(
        candidates=np.ascontiguousarray(rows, dtype=np.int32),
        features=np.zeros((decisions, candidates, 1), dtype=np.float32),
        scores=np.zeros((decisions, candidates), dtype=np.float32),
        embeddings=vectors.astype(np.float32),
        traits=ItemTraits(shares(120, 6, seed=8), np.full(120, -1, dtype=np.int32)),
        interests=interests,
    )


def test_mmr_by_hand() -> None:
    """Opposite and unknown items are not redundant at all."""
    vectors = np.array([[1, 0], [0, 1], [-1, 0], [0.6, 0.8], [0, 0]], dtype=np.float32)
    found = mmr_reference(vectors, np.array([0], dtype=np.int32))
    np.testing.assert_allclose(found, [1, 0, 0, 0.6, 0], atol=1e-7)
    found = mmr_reference(vectors, np.array([0, 1], dtype=np.int32))
    np.testing.assert_allclose(found, [1, 1, 0, 0.8, 0], atol=1e-7)


def test_dpp_is_a_difference_of_log_determinants() -> None:
    vectors = unit_vectors(9, 12)
    cosines = vectors @ vectors.T
    chosen = [4, 1, 7, 2]
    for count in range(5):
        found = dpp_reference(vectors, np.array(chosen[:count], dtype=np.int32))
        for i in set(range(9)) - set(chosen[:count]):
            rows = np.array([*chosen[:count], i])
            with_it = np.linalg.slogdet(cosines[np.ix_(rows, rows)])[1]
            without = np.linalg.slogdet(cosines[np.ix_(rows[:-1], rows[:-1])])[1] if count else 0.0
            assert found[i] == pytest.approx(without - with_it, abs=1e-10)


def test_dpp_leaves_out_what_is_explained_already() -> None:
    """A twin of an item shown has the largest redundancy, and showing it changes nothing."""
    vectors = unit_vectors(6, 8)
    vectors[3] = vectors[1]
    vectors[5] = 0.0
    once = dpp_reference(vectors, np.array([1, 0], dtype=np.int32))
    twice = dpp_reference(vectors, np.array([1, 0, 3], dtype=np.int32))
    assert once[3] == pytest.approx(-np.log(1e-6))
    assert once[5] == 0.0
    np.testing.assert_array_equal(once, twice)


def test_calibration_is_the_divergence_of_scipy() -> None:
    aspects, interests = shares(8, 5, seed=1), shares(1, 5, seed=2)[0]
    aspects[3] = 0.0
    chosen = np.array([2, 3], dtype=np.int32)
    found = calibrated_reference(aspects, interests, chosen, smoothing=0.05)
    mix = interests.astype(np.float64)
    for i in range(8):
        slate = aspects[[2, 3, i]].astype(np.float64).mean(axis=0)
        smoothed = 0.95 * slate + 0.05 * mix
        # scipy scales both to 1 each; a slate with an item of no aspect sums to less.
        expected = entropy(mix, smoothed) + np.log(mix.sum() / smoothed.sum()) * mix.sum()
        assert found[i] == pytest.approx(expected, abs=1e-6)
    nothing = calibrated_reference(aspects, np.zeros(5, dtype=np.float32), chosen, smoothing=0.05)
    assert (nothing == 0.0).all()


def test_xquad_by_hand() -> None:
    aspects = np.array([[1, 0], [0.5, 0.5], [0, 1]], dtype=np.float32)
    interests = np.array([0.75, 0.25], dtype=np.float32)
    first = xquad_reference(aspects, interests, np.array([], dtype=np.int32))
    np.testing.assert_allclose(first, [0.25, 0.5, 0.75])
    second = xquad_reference(aspects, interests, np.array([1], dtype=np.int32))
    np.testing.assert_allclose(second, [1 - 0.375, 1 - 0.1875 - 0.0625, 1 - 0.125])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
@pytest.mark.parametrize("spread", [1.0, 1e-3])
def test_greedy_slates_of_many_candidates_equal_their_twin(kind: Diversity, spread: float) -> None:
    """Many candidates, twins among them: what lazy evaluation skips changes nothing."""
    contexts = some_contexts(25)
    values: FloatArray = RNG.random((25, 70)) * spread
    problem = SlateProblem(contexts, values, upper_bound_rule(), kind)
    keys = example_keys(25)
    slates = sample_slates(problem, slots=12, keys=keys)
    for b in range(25):
        expected, _ = sample_slate_reference(problem, b, slots=12, key=int(keys[b]))
        assert slates.positions[b].tolist() == expected
        alone = SlateProblem(contexts.rows(np.array([b])), values[b : b + 1], problem.rule, kind)
        one = sample_slates(alone, slots=12, keys=keys[b : b + 1])
        np.testing.assert_array_equal(one.positions[0], slates.positions[b])
    np.testing.assert_array_equal(score_slates(problem, slates.positions), slates.propensities)


@pytest.mark.parametrize("kind", KINDS[2:], ids=lambda kind: kind.kind)
@pytest.mark.parametrize("name", ["traits", "interests"])
def test_aspects_must_be_known_where_they_are_read(kind: Diversity, name: str) -> None:
    contexts = some_contexts(2)
    parts = {part: getattr(contexts, part) for part in ("candidates", "features", "scores")}
    if name == "interests":
        parts["traits"] = contexts.traits
    bare = ContextBatch(**parts, embeddings=contexts.embeddings)
    message = f"contexts must hold {name} for diversity of kind {kind.kind}, got None"
    with pytest.raises(ContextError, match=message):
        SlateProblem(bare, np.zeros((2, 70)), upper_bound_rule(), kind)
    # At no price nothing is read.
    SlateProblem(bare, np.zeros((2, 70)), upper_bound_rule(), type(kind)(price=0))


@pytest.mark.parametrize("kind", KINDS[:2], ids=lambda kind: kind.kind)
@pytest.mark.parametrize("steps", [2.0, 20.0, 1e9])
def test_lazy_slates_take_the_best_of_the_full_evaluation(kind: Diversity, steps: float) -> None:
    """Drawn greedily, few candidates are brought up to date; for `next_law`, all are.

    Values come in few steps, so that many candidates are equally good.
    """
    contexts = some_contexts(60)
    values: FloatArray = np.round(np.random.default_rng(9).random((60, 70)) * steps) / steps
    problem = SlateProblem(contexts, values, upper_bound_rule(floor=0.3), kind)
    slates = sample_slates(problem, slots=8, keys=example_keys(60)).positions
    greedy = SlateProblem(contexts, values, upper_bound_rule(), kind)
    for slot in range(8):
        # After what exploration has shown, and after the best ones.
        law = next_law(problem, np.ascontiguousarray(slates[:, :slot]), slots=8)
        scored = score_slates(problem, slates)[:, slot]
        np.testing.assert_array_equal(law[np.arange(60), slates[:, slot]], scored)
    best = sample_slates(greedy, slots=8, keys=example_keys(60)).positions
    for slot in range(8):
        law = next_law(greedy, np.ascontiguousarray(best[:, :slot]), slots=8)
        np.testing.assert_array_equal(law.argmax(axis=1), best[:, slot])
