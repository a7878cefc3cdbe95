"""What all intervals refuse, empirical Bernstein as its theorem, and percentiles of draws."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from matinee_platform.ope.bootstrap_interval import bootstrap_interval
from matinee_platform.ope.cressie_read import cressie_read
from matinee_platform.ope.empirical_bernstein import empirical_bernstein
from matinee_platform.ope.interval import Interval, RewardRange
from matinee_platform.ope.weighted_sums import WeightedSums
from matinee_policies.errors import ConfigError, ContextError


@pytest.mark.parametrize("method", [cressie_read, empirical_bernstein])
def test_what_cannot_be_is_refused(method: Callable[..., Interval]) -> None:
    sums = WeightedSums.of(np.array([0.0, 3.0]), np.array([0.0, 1.0]))
    with pytest.raises(ContextError, match=r"known to be 2, got one of 3"):
        method(sums, largest=2.0)
    with pytest.raises(ContextError, match=r"within 0 and 0\.5, got 1"):
        method(sums, largest=4.0, rewards=RewardRange(0, 0.5))
    with pytest.raises(ConfigError, match=r"largest weight must be >= 1, got 0\.5"):
        method(sums, largest=0.5)
    with pytest.raises(ConfigError, match="confidence"):
        method(sums, largest=4.0, confidence=1.0)
    with pytest.raises(ContextError, match="at least one row"):
        method(WeightedSums.of(np.zeros(0), np.zeros(0)), largest=4.0)
    with pytest.raises(ContextError, match="weights must be >= 0, got -1"):
        WeightedSums.of(np.array([-1.0]), np.array([1.0]))
    with pytest.raises(ContextError, match="rewards must be finite, got nan"):
        WeightedSums.of(np.array([1.0]), np.array([np.nan]))
    with pytest.raises(ContextError, match="one shape"):
        WeightedSums.of(np.ones(2), np.ones(3))


def test_empirical_bernstein_is_the_theorem() -> None:
    rng = np.random.default_rng(7)
    weights, rewards = rng.choice([0.0, 4.0], p=[0.75, 0.25], size=4_000), rng.uniform(-1, 1, 4_000)
    gains = weights * rewards
    log = math.log(2 / 0.05)
    half = math.sqrt(2 * gains.var(ddof=1) * log / 4_000) + 7 * 8 * log / (3 * 3_999)
    found = empirical_bernstein(
        WeightedSums.of(weights, rewards), largest=4, rewards=RewardRange(-1, 1), confidence=0.9
    )
    assert found.low == pytest.approx(gains.mean() - half)
    assert found.high == pytest.approx(gains.mean() + half)
    with pytest.raises(ConfigError, match="finite"):
        empirical_bernstein(WeightedSums.of(weights, rewards), largest=math.inf)
    with pytest.raises(ContextError, match="two rows"):
        empirical_bernstein(WeightedSums.of(weights[:1], np.zeros(1)), largest=4)


def test_the_bootstrap_takes_percentiles_of_enough_draws() -> None:
    draws = np.random.default_rng(8).permutation(10_001) / 10_000
    found = bootstrap_interval(draws)
    assert found.low == pytest.approx(0.025)
    assert found.high == pytest.approx(0.975)
    with pytest.raises(ContextError, match="needs 100 draws"):
        bootstrap_interval(draws[:99])
    with pytest.raises(ContextError, match="finite, got nan"):
        bootstrap_interval(np.append(draws, np.nan))


def test_an_interval_moves_holds_and_refuses() -> None:
    moved = Interval(0.1, 0.3, 0.95, "x").moved(1.0)
    assert (1.2 in moved, 0.2 in moved) == (True, False)
    with pytest.raises(ContextError, match="low <= high"):
        Interval(0.3, 0.1, 0.95, "x")
    with pytest.raises(ContextError, match="low <= high"):
        Interval(math.nan, 0.1, 0.95, "x")
    with pytest.raises(ConfigError, match="largest reward"):
        RewardRange(1, 1)
