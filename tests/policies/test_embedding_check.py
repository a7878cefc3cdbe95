import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from matinee_policies import embedding_check
from matinee_policies.arrays import AnyArray
from matinee_policies.diversity import DPP, MMR, Calibrated, Diversity
from matinee_policies.embedding_check import check_table, check_vectors
from matinee_policies.errors import ContextError
from matinee_policies.greedy_slates import greedy_dpp, greedy_mmr
from matinee_policies.records import ContextBatch, ItemTraits
from matinee_policies.softmax import Softmax, SoftmaxConfig
from matinee_policies.testing_data import example_contexts, example_keys


def unit_vectors(dtype: type = np.float32) -> AnyArray:
    vectors = np.random.default_rng(2).normal(size=(40, 6))
    unit: AnyArray = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(dtype)
    unit[7] = 0.0
    return unit


def contexts_with(embeddings: AnyArray) -> ContextBatch:
    plain = example_contexts(1, decisions=3, candidates=9, dimension=1)
    return ContextBatch(
        plain.candidates,
        plain.features,
        plain.scores,
        embeddings,
        traits=ItemTraits(np.ones((40, 1), np.float32), np.zeros(40, np.int32)),
        interests=np.ones((3, 1), np.float32),
    )


def decide(embeddings: AnyArray, diversity: Diversity) -> None:
    policy = Softmax(SoftmaxConfig(diversity=diversity))
    policy.decide(contexts_with(embeddings), slots=3, keys=example_keys(3))


READERS: dict[str, Callable[[AnyArray], Any]] = {
    "mmr": lambda vectors: decide(vectors, MMR(price=0.1)),
    "dpp": lambda vectors: decide(vectors, DPP(price=0.1)),
    "greedy mmr": lambda vectors: greedy_mmr(
        np.zeros((4, 10)), vectors.reshape(4, 10, 6), slots=2, price=0.1
    ),
    "greedy dpp": lambda vectors: greedy_dpp(
        np.zeros((1, 40)), (np.arange(40, dtype=np.int32)[None], vectors), slots=2, price=0.1
    ),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("scale", "message"),
    [
        (3.0, "must have length 1 or 0 .* got length 3 in row 5"),
        (1.0015, r"got length 1\.0015 in row 5"),
        (0.998, r"got length 0\.998 in row 5"),
        (1e-30, "got length 1e-30 in row 5"),
        (1e30, r"got length 1e\+30 in row 5"),
        (np.nan, "must be finite, got nan"),
        (np.inf, "must be finite, got -?inf"),
    ],
)
def test_vectors_that_make_no_cosines_are_refused(reader: str, scale: float, message: str) -> None:
    vectors = unit_vectors()
    vectors[5] *= np.float32(scale)
    with pytest.raises(ContextError, match=message):
        READERS[reader](vectors)


@pytest.mark.parametrize("reader", READERS)
def test_lengths_of_about_one_and_zero_pass(reader: str) -> None:
    vectors = unit_vectors()
    vectors[5] *= np.float32(1.0009)
    vectors[6] *= np.float32(0.9991)
    READERS[reader](vectors)


def test_vectors_that_nothing_reads_may_be_anything() -> None:
    raw = np.full((40, 6), 3.0, dtype=np.float32)
    for diversity in (MMR(price=0), DPP(price=0), Calibrated(price=0.1)):
        decide(raw, diversity)
    greedy_mmr(np.zeros((1, 40)), raw[None], slots=2, price=0.0)


def test_short_vectors_of_double_precision_are_not_taken_for_unknown() -> None:
    vectors = unit_vectors(np.float64)
    vectors[3] *= 1e-200
    with pytest.raises(ContextError, match=r"got length .* in row 3"):
        check_vectors(vectors, "vectors")


def test_a_table_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []

    def counting(vectors: AnyArray, name: str) -> None:
        looked.append(len(vectors))
        check_vectors(vectors, name)

    monkeypatch.setattr(embedding_check, "check_vectors", counting)
    table = unit_vectors()
    for _ in range(3):
        check_table(table, "embeddings")
    assert looked == [40]
    check_table(table.copy(), "embeddings")
    assert looked == [40, 40]


def test_a_table_that_is_gone_is_forgotten() -> None:
    gc.collect()
    before = len(embedding_check._checked)
    for _ in range(50):
        check_table(unit_vectors(), "embeddings")
    gc.collect()
    assert len(embedding_check._checked) == before
    raw = unit_vectors()
    raw[2] *= 2.0
    for _ in range(2):
        with pytest.raises(ContextError, match="row 2"):
            check_table(raw, "embeddings")
