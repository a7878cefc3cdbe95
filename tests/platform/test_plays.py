import numpy as np
import pytest

from matinee_platform.plays import PlayScale


def test_scale_is_that_of_the_sample() -> None:
    scale = PlayScale.of(np.array([1.0, 3.0, 5.0], dtype=np.float32))
    assert (scale.mean, scale.low, scale.high) == (3.0, 1.0, 5.0)
    assert scale.sd == pytest.approx(np.sqrt(8 / 3))


def test_stars_rise_with_the_watched_fraction_within_the_scale() -> None:
    scale = PlayScale(3.5, 1.0, 0.5, 5.0)
    stars = scale.stars(np.linspace(0, 1, 101, dtype=np.float32))
    assert (np.diff(stars) >= 0).all()
    assert stars[50] == 3.5
    assert stars.min() >= 0.5
    assert stars.max() <= 5.0
