"""Exposure over the catalogue against closed forms."""

import numpy as np
import pytest

from matinee_platform.analysis.exposure import lorenz_curve, most_shown, top_share
from matinee_platform.analysis.slate_metrics import gini
from matinee_policies.errors import ConfigError


def test_an_even_spread_is_the_diagonal_and_one_item_is_the_corner() -> None:
    even = lorenz_curve(np.full(1_000, 7, dtype=np.int64))
    np.testing.assert_allclose(even.items, even.impressions, atol=1e-12)
    alone = np.zeros(1_000, dtype=np.int64)
    alone[3] = 9
    corner = lorenz_curve(alone)
    assert corner.impressions[:-1].max() == 0.0
    assert corner.impressions[-1] == 1.0


def test_the_area_under_the_curve_gives_the_gini_index() -> None:
    counts = np.random.default_rng(0).geometric(0.02, 200).astype(np.int64)
    curve = lorenz_curve(counts, points=201)
    area = np.trapezoid(curve.impressions, curve.items)
    assert 1 - 2 * area == pytest.approx(gini(counts), abs=1e-12)


def test_top_share_of_a_linear_spread() -> None:
    counts = np.arange(1, 101, dtype=np.int64)
    assert top_share(counts, 0.1) == pytest.approx(sum(range(91, 101)) / 5_050)
    assert top_share(counts, 1.0) == 1.0
    assert top_share(counts, 0.001) == pytest.approx(100 / 5_050)
    assert top_share(np.arange(1, 71, dtype=np.int64), 0.1) == pytest.approx(
        sum(range(64, 71)) / 2_485
    )


def test_nothing_shown_has_no_shares() -> None:
    nothing = np.zeros(10, dtype=np.int64)
    assert np.isnan(top_share(nothing, 0.5))
    assert np.isnan(lorenz_curve(nothing).impressions).all()
    assert most_shown(nothing, 3).size == 0


def test_most_shown_come_first_and_ties_go_to_the_lower_row() -> None:
    assert most_shown(np.array([2, 5, 0, 5, 1]), 10).tolist() == [1, 3, 0, 4]


def test_a_share_outside_its_range_is_refused() -> None:
    with pytest.raises(ConfigError, match="share of the catalogue"):
        top_share(np.array([1]), 0.0)
