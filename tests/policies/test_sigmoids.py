"""The logistic function side by side equals the library's to the last bit of float32."""

import numpy as np
import pytest

from matinee_policies.sigmoids import FARTHEST, fill_sigmoids, sigmoids_reference


def filled(raws: np.ndarray, *, mean: float, scale: float) -> np.ndarray:
    scores = raws.copy()
    room = np.empty(raws.size, dtype=np.int64), np.empty(raws.size)
    fill_sigmoids(scores, raws.size, mean, scale, *room)
    return scores


@pytest.mark.parametrize(("mean", "scale"), [(0.0, 1.0), (3.5, 0.7), (-1e3, 250.0)])
def test_scores_equal_the_library(mean: float, scale: float) -> None:
    z = np.linspace(-1.1 * FARTHEST, 1.1 * FARTHEST, 200_001)
    raws = (mean + scale * z).astype(np.float32)
    found = filled(raws, mean=mean, scale=scale)
    expected = sigmoids_reference(raws, mean=mean, scale=scale)
    np.testing.assert_array_equal(found, expected.astype(np.float32))
    assert (np.diff(found) >= 0).all()
    assert 0.0 < found[0] < found[-1] <= 1.0


def test_a_number_alone_is_as_among_others() -> None:
    raws = np.random.default_rng(3).normal(0.0, 4.0, 37).astype(np.float32)
    together = filled(raws, mean=0.2, scale=1.3)
    alone = [filled(raws[t : t + 1], mean=0.2, scale=1.3)[0] for t in range(raws.size)]
    np.testing.assert_array_equal(together, alone)


def test_what_lies_behind_the_numbers_stays() -> None:
    raws = np.zeros(5, dtype=np.float32)
    raws[3:] = 9.0
    fill_sigmoids(raws, 3, 0.0, 1.0, np.empty(3, dtype=np.int64), np.empty(3))
    np.testing.assert_array_equal(raws, np.array([0.5, 0.5, 0.5, 9.0, 9.0], dtype=np.float32))
