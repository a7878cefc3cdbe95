import numpy as np

from matinee_policies.records import PAD
from matinee_policies.similarity import gather_vectors, raise_redundancy, redundancy_reference


def compiled_redundancy(
    candidates: np.ndarray, embeddings: np.ndarray, chosen: list[int]
) -> np.ndarray:
    block = np.full((embeddings.shape[1], len(candidates)), np.nan, dtype=np.float32)
    gather_vectors(candidates, embeddings, block)
    redundancy, scratch = np.zeros(len(candidates)), np.empty(len(candidates))
    for last in chosen:
        raise_redundancy(block, last, scratch, redundancy)
    return redundancy


def test_redundancy_by_hand() -> None:
    embeddings = np.array([[1, 0], [0, 1], [-1, 0], [0.6, 0.8], [0, 0]], dtype=np.float32)
    candidates = np.array([4, 3, 2, 1, 0, PAD], dtype=np.int32)
    after_first = compiled_redundancy(candidates, embeddings, [4])
    # Opposite and unknown items are not redundant at all.
    np.testing.assert_allclose(after_first, [0, 0.6, 0, 0, 1, 0], atol=1e-7)
    after_second = compiled_redundancy(candidates, embeddings, [4, 3])
    np.testing.assert_allclose(after_second, [0, 0.8, 0, 1, 1, 0], atol=1e-7)


def test_kernels_equal_the_definition() -> None:
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(60, 35))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    embeddings[3] = 0.0
    table = embeddings.astype(np.float32)
    for size in (1, 2, 17, 60):
        candidates = rng.permutation(60)[:size].astype(np.int32)
        candidates[size - size // 3 :] = PAD
        chosen = rng.permutation(max(size // 2, 1))[:5].tolist()
        got = compiled_redundancy(candidates, table, chosen)
        expected = redundancy_reference(candidates, table, np.array(chosen, dtype=np.int32))
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-14)
        assert ((got >= 0) & (got <= 1 + 1e-6)).all()


def test_more_items_never_lower_redundancy() -> None:
    rng = np.random.default_rng(1)
    table = rng.normal(size=(30, 8))
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    candidates = np.arange(30, dtype=np.int32)
    previous = np.zeros(30)
    for count in range(1, 10):
        got = compiled_redundancy(candidates, table.astype(np.float32), list(range(count)))
        assert (got >= previous).all()
        previous = got
