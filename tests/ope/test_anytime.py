"""Confidence sequences: vw-estimators and their definition, row by row, as oracles."""

import math

import numpy as np
import pytest
from estimators.bandits import cs

from matinee_platform.ope.anytime import AnytimeSums, anytime_sequence, boundary, log_wealth
from matinee_platform.ope.interval import RewardRange
from matinee_policies.errors import ContextError


@pytest.mark.parametrize("seed", range(25))
def test_the_anytime_interval_equals_vw_estimators_where_predictions_are_not_capped(
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 400))
    weights, rewards = rng.choice([0.0, 0.5, 1.0, 1.5, 2.0], size=n), 0.3 * rng.random(n)
    for turned in (False, True):
        seen = 1 - rewards if turned else rewards
        theirs = cs.Interval(0, 1)
        for weight, reward in zip(weights.tolist(), seen.tolist(), strict=True):
            theirs.add_example(1, reward, weight)
        low, high = theirs.get(0.05)
        ours = AnytimeSums.none().then(weights, seen).interval()
        end = (ours.high, high) if turned else (ours.low, low)
        assert end[0] == pytest.approx(end[1], abs=1e-9)


def test_anytime_sums_do_not_depend_on_how_rows_come() -> None:
    rng = np.random.default_rng(9)
    weights, rewards = rng.choice([0.0, 4.0], size=(3, 900)), rng.uniform(2, 3, size=(3, 900))
    for largest in (4.0, math.inf):
        none = AnytimeSums.none(largest=largest, rewards=RewardRange(2, 3), shape=(3,))
        whole = none.then(weights, rewards)
        parts = none
        for part in np.split(np.arange(900), [0, 1, 77, 500]):
            parts = parts.then(weights[:, part], rewards[:, part])
        np.testing.assert_allclose(parts.bounds(), whole.bounds(), rtol=1e-12)
        one = AnytimeSums.none(largest=largest, rewards=RewardRange(2, 3)).then(
            weights[1], rewards[1]
        )
        np.testing.assert_allclose(one.bounds(), [end[1] for end in whole.bounds()], rtol=1e-12)
        low, high = anytime_sequence(
            weights,
            rewards,
            looks=np.array([5, 900]),
            largest=largest,
            reward_range=RewardRange(2, 3),
        )
        np.testing.assert_allclose([low[:, 1], high[:, 1]], whole.bounds(), rtol=1e-12)
        assert (np.asarray(none.bounds()) == [[2] * 3, [3] * 3]).all()


def test_anytime_sums_follow_their_definition() -> None:
    """Row by row, in plain Python."""
    rng = np.random.default_rng(10)
    weights, rewards = rng.choice([0.0, 3.0], size=50), rng.random(50)
    weights[:4], rewards[:4] = 3.0, 0.9
    gain = weight = low_time = high_time = centre = 0.0
    for t, (w, r) in enumerate(zip(weights.tolist(), rewards.tolist(), strict=True)):
        low_time += (w * r - min(1.0, (gain + 0.5) / (t + 1))) ** 2
        k = (gain + 0.5) / (weight + 1)
        high_time += (w * (r - k) / 3) ** 2
        centre += k + w * (r - k)
        gain, weight = gain + w * r, weight + w
    found = AnytimeSums.none(largest=3.0).then(weights, rewards)
    assert float(found.low_time) == pytest.approx(low_time)
    assert float(found.high_time) == pytest.approx(high_time)
    low, high = found.bounds(confidence=0.9)
    assert float(low) == pytest.approx((gain - float(boundary(low_time, level=0.05))) / 50)
    assert float(high) == pytest.approx((centre + 3 * float(boundary(high_time, level=0.05))) / 50)


def test_the_boundary_is_where_wealth_is_one_over_the_level() -> None:
    times = np.array([0.0, 0.3, 7.0, 4e4, 3e8])
    for level in (0.5, 0.025, 1e-6):
        at = boundary(times, level=level)
        np.testing.assert_allclose(log_wealth(at, times), -math.log(level), rtol=1e-6)
        assert (np.diff(at) > 0).all()


def test_anytime_rows_out_of_their_range_are_refused() -> None:
    none = AnytimeSums.none(largest=2.0)
    for weights, rewards, words in (
        ([3.0], [0.5], "within 0 and 2, got 3 to 3"),
        ([-1.0], [0.5], "within 0 and 2, got -1"),
        ([1.0], [1.5], r"rewards must be within 0 and 1, got 1\.5"),
        ([1.0], [np.nan], "finite, got nan"),
        ([1.0, 1.0], [0.5], "rows must be"),
    ):
        with pytest.raises(ContextError, match=words):
            none.then(np.array(weights), np.array(rewards))
    for looks in ([], [0], [2, 2], [4]):
        with pytest.raises(ContextError, match="looks must rise from 1 to 3"):
            anytime_sequence(np.ones(3), np.ones(3), looks=np.array(looks, dtype=np.int64))
