import numpy as np
import pytest
from river.drift import PageHinkley

from matinee_platform.drift_detector import DriftConfig, detect, page_hinkley_reference
from matinee_policies.errors import ConfigError


@pytest.mark.parametrize("seed", range(20))
def test_the_library_computes_the_test_of_page_and_hinkley(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=80) + np.where(np.arange(80) >= 40, rng.normal(scale=2.0), 0.0)
    test = PageHinkley(min_instances=4, delta=0.5, threshold=5.0, alpha=1.0, mode="both")
    found = -1
    for place, value in enumerate(values.tolist()):
        test.update(value)  # type: ignore[no-untyped-call]
        if test.drift_detected and found < 0:
            found = place
    assert found == page_hinkley_reference(values, allowance=0.5, threshold=5.0, least=4)


def found_in(mean: np.ndarray, **settings: float) -> np.ndarray:
    config = DriftConfig.from_json({"settle_days": 7, **settings})
    ones = np.ones(mean.size)
    found = detect(mean, 0.1 * ones, 50 * ones, config=config, threshold=config.threshold)
    return np.flatnonzero(found.alarm)


def test_a_change_of_level_is_found_whatever_the_level_and_its_sign() -> None:
    noise = 0.1 * np.random.default_rng(1).normal(size=60)
    for level in (-3.0, 0.0, 40.0):
        for change in (-0.4, 0.4):
            days = found_in(noise + level + change * (np.arange(60) >= 30))
            assert days.size == 1
            assert 30 <= days[0] <= 36


def test_days_of_settling_are_not_looked_at() -> None:
    mean = np.where(np.arange(40) < 7, 5.0, 0.0)
    assert not found_in(mean).size
    assert found_in(mean, settle_days=0).size == 1


def test_days_without_users_are_passed_over() -> None:
    mean = np.repeat([0.0, 1.0], 20)
    gaps = mean.copy()
    gaps[[3, 10, 19]] = np.nan
    assert np.array_equal(found_in(mean), found_in(gaps))


def test_false_alarms_are_as_rare_as_stated_where_days_are_independent() -> None:
    """2 % of runs of 60 days at the default threshold; at most 4 sigma of 300 runs above it."""
    rng = np.random.default_rng(5)
    runs = sum(found_in(0.1 * rng.normal(size=60)).size > 0 for _ in range(300))
    assert runs / 300 <= 0.02 + 4.0 * np.sqrt(0.02 * 0.98 / 300)


@pytest.mark.parametrize(
    "settings",
    [{"settle_days": -1}, {"allowance": -0.1}, {"threshold": 0.0}, {"least_days": 0}],
)
def test_bad_parameters_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        DriftConfig.from_json(settings)
