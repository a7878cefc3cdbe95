"""Studies: their differences by hand, and that they run; their figures are in the documents."""

import numpy as np
import pytest
from scipy.stats import binomtest, norm, ttest_1samp, ttest_rel
from typer.testing import CliRunner

from matinee_platform.analysis.drift import ALL_ITEMS, Alarm, Drift
from matinee_platform.cli import app
from matinee_platform.offline.shock_calendar import GenreShock
from matinee_platform.studies.drift import Share, noticed
from matinee_platform.studies.paired import difference, ratio_difference
from matinee_platform.studies.runs import aligned, on_same_units
from matinee_platform.studies.warm_start import _share
from matinee_policies.errors import ConfigError


def made_up(seed: int, *, users: int = 400) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    first = rng.poisson(3.0, size=users).astype(float)
    return first, first + rng.normal(0.2, 1.0, size=users)


def test_one_seed_is_a_paired_test() -> None:
    first, second = made_up(1)
    found = difference("clicks", [first], [second])
    test = ttest_rel(second, first)
    assert found.difference == pytest.approx((second - first).mean())
    assert found.difference / found.user_error == pytest.approx(test.statistic)
    assert found.p_users == pytest.approx(2.0 * norm.sf(test.statistic))
    assert np.isnan(found.p_seeds)


def test_seeds_are_a_test_of_their_means() -> None:
    pairs = [made_up(seed, users=50 + seed) for seed in range(6)]
    found = difference("clicks", [one for one, _ in pairs], [other for _, other in pairs])
    means = np.array([(other - one).mean() for one, other in pairs])
    assert found.by_seed == pytest.approx(means.tolist())
    assert found.p_seeds == pytest.approx(ttest_1samp(means, 0.0).pvalue)
    assert found.seed_error == pytest.approx(means.std(ddof=1) / np.sqrt(6))


def test_ratios_differ_by_the_delta_method() -> None:
    """Against the spread over resampled users."""
    rng = np.random.default_rng(3)
    pages = rng.integers(1, 9, size=300).astype(float)
    cold, warm = rng.poisson(0.8 * pages).astype(float), rng.poisson(0.5 * pages).astype(float)
    found = ratio_difference("regret", [(cold, pages)], [(warm, pages)])
    assert found.first == pytest.approx(cold.sum() / pages.sum())
    assert found.second == pytest.approx(warm.sum() / pages.sum())
    gaps, shares = [], []
    units = np.arange(300, dtype=np.uint64)
    for _ in range(400):
        some = rng.integers(0, 300, size=300)
        means = [values[some].sum() / pages[some].sum() for values in (cold, warm)]
        gaps.append(means[1] - means[0])
        shares.append(1.0 - means[1] / means[0])
    # The spread of 400 draws has an error of 4 %; four of them.
    assert found.user_error == pytest.approx(np.std(gaps), rel=0.15)
    share, error = _share([(units, cold, pages)], [(units, warm, pages)])
    assert share == pytest.approx(1.0 - warm.sum() / cold.sum())
    assert error == pytest.approx(np.std(shares), rel=0.15)


def test_users_whom_one_arm_lost_count_as_well() -> None:
    first, second = aligned({3: 1.0, 5: 2.0}, {5: 4.0, 9: 6.0})
    assert first.tolist() == [1.0, 2.0, 0.0]
    assert second.tolist() == [0.0, 4.0, 6.0]
    one = (np.array([3, 5], dtype=np.uint64), np.array([1.0, 2.0]), np.array([1.0, 1.0]))
    other = (np.array([5, 9], dtype=np.uint64), np.array([4.0, 6.0]), np.array([2.0, 3.0]))
    (sums, pages), (sums_too, pages_too) = on_same_units(one, other)
    assert sums.tolist() == [1.0, 2.0, 0.0]
    assert pages_too.tolist() == [0.0, 2.0, 3.0]
    assert (pages + sums_too).tolist() == [1.0, 5.0, 6.0]


def test_a_comparison_of_nobody_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one seed and two users"):
        difference("clicks", [], [])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["forgetting", "--world", "calm"], "--world must be one of"),
        (["forgetting", "--seeds", "1,x"], "--seeds takes whole numbers"),
        (["drift", "--world", "calm"], "--world must be one of demo, movielens, stress"),
    ],
)
def test_bad_options_are_refused(arguments: list[str], message: str) -> None:
    done = CliRunner().invoke(app, ["study", *arguments])
    assert done.exit_code == 1
    assert message in str(done.exception)


@pytest.mark.parametrize(("hits", "cases"), [(0, 7), (3, 60), (7, 7)])
def test_a_share_has_the_bounds_of_clopper_and_pearson(hits: int, cases: int) -> None:
    found = Share.of(hits, cases)
    bounds = binomtest(hits, cases).proportion_ci(0.95, method="exact")
    assert (found.low, found.high) == pytest.approx((bounds.low, bounds.high))
    assert found.error == pytest.approx(np.sqrt(hits / cases * (1 - hits / cases) / cases))


def test_a_shock_is_noticed_by_an_alarm_of_its_genre_while_it_lasts() -> None:
    nothing = np.full(60, np.nan)
    alarms = [(12, "War"), (14, "War"), (30, "Crime"), (31, ALL_ITEMS), (57, "War")]
    drift = Drift(nothing, nothing, nothing, tuple(Alarm(*alarm, 3.0) for alarm in alarms))
    shocks = [
        GenreShock(genre, day, day + 6)
        for genre, day in [("War", 7), ("War", 10), ("Crime", 24), ("Crime", 31), ("War", 53)]
    ]
    found = noticed(shocks, drift, first=8, last=58)
    assert [(one.genre, one.first, delay) for one, delay in found] == [
        ("War", 10, 2),
        ("Crime", 24, 6),
        ("Crime", 31, None),
    ]
