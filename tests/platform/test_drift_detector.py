import numpy as np
import pytest
from river.drift import PageHinkley

from matinee_platform.drift_detector import DriftConfig, DriftTests, page_hinkley_reference
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


def days_of(departures: np.ndarray, **settings: float) -> np.ndarray:
    config = DriftConfig.from_json(settings)
    tests = DriftTests([config.threshold], config=config)
    return np.flatnonzero([tests.take(np.array([x]))[0] for x in departures])


def test_a_change_of_level_is_found_whatever_its_sign() -> None:
    noise = np.random.default_rng(1).normal(size=60)
    for change in (-4.0, 4.0):
        days = days_of(noise + change * (np.arange(60) >= 30))
        assert days.size >= 1
        assert 30 <= days[0] <= 33


def test_days_without_users_are_passed_over() -> None:
    departures = np.repeat([0.0, 5.0], 20)
    gaps = departures.copy()
    gaps[[3, 10, 19]] = np.nan
    assert days_of(departures).tolist() == days_of(gaps).tolist() == [21]


def test_figures_do_not_meet_and_start_anew_after_an_alarm() -> None:
    config = DriftConfig()
    tests = DriftTests([8.0, 1e6], config=config)
    days = np.tile(np.repeat([0.0, 6.0], 10), 2)
    found = np.array([tests.take(np.array([x, x])) for x in days])
    fresh = DriftTests([8.0], config=config)
    first = int(np.flatnonzero(found[:, 0])[0])
    after = np.array([fresh.take(np.array([x]))[0] for x in days[first + 1 :]])
    assert found[first + 1 :, 0].tolist() == after.tolist()
    assert after.any()
    assert not found[:, 1].any()


def test_false_alarms_are_as_rare_as_stated_where_days_are_independent() -> None:
    """.4 % of runs of 60 days at the default threshold; at most 4 sigma of 1,000 runs above it."""
    rng = np.random.default_rng(5)
    runs = sum(days_of(rng.normal(size=60)).size > 0 for _ in range(1_000))
    assert runs / 1_000 <= 0.004 + 4.0 * np.sqrt(0.004 * 0.996 / 1_000)


@pytest.mark.parametrize(
    "settings",
    [{"settle_days": -1}, {"allowance": -0.1}, {"threshold": 0.0}, {"least_days": 0}],
)
def test_bad_parameters_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        DriftConfig.from_json(settings)
