"""The default interval: vw-estimators, a general solver and simulations as oracles."""

import math
from typing import Any

import numpy as np
import pytest
from estimators.bandits import cressieread
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special

from matinee_platform.ope.cressie_read import cressie_read, cressie_read_bounds
from matinee_platform.ope.interval import Interval, RewardRange
from matinee_platform.ope.weighted_sums import WeightedSums
from matinee_policies.errors import ConfigError

LARGEST = (math.inf, 5.0, 40.0, 1_000.0)


@pytest.mark.parametrize("some", range(10))
def test_cressie_read_equals_vw_estimators(some: int) -> None:
    for seed in range(100 * some, 100 * some + 100):
        rng = np.random.default_rng(seed)
        n, largest, confidence = (
            int(rng.integers(5, 120)),
            LARGEST[seed % 4],
            rng.uniform(0.5, 0.99),
        )
        low, high = np.sort(rng.normal(size=2)).tolist()
        weights = rng.choice([0.0, 0.5, 1.0, 3.0, 4.9], size=n)
        rewards = rng.uniform(low, high, size=n)
        if seed % 3 == 0:
            low, high = 0.0, 1.0
            rewards = (rng.random(n) < 0.1).astype(np.float64)
        theirs = cressieread.Interval(0, largest, low, high)
        for weight, reward in zip(weights.tolist(), rewards.tolist(), strict=True):
            theirs.add_example(1, reward, weight)
        ours = cressie_read(
            WeightedSums.of(weights, rewards),
            largest=largest,
            rewards=RewardRange(low, high),
            confidence=confidence,
        )
        # Theirs shifts an end by sqrt(2) 1e-9 where nothing varies.
        np.testing.assert_allclose(
            [ours.low, ours.high], theirs.get(alpha=1 - confidence), rtol=0, atol=1.5e-9
        )


def test_cressie_read_is_the_program_that_it_says_it_solves() -> None:
    """Smallest value of a law of mean weight 1 within the divergence, by a general solver."""
    weights, rewards = np.array([0.0, 0.5, 1.5, 3.0, 0.0, 1.0]), np.array([1.0, 0, 1, 0, 0, 1])
    n, largest = weights.size, 6.0
    found = cressie_read(WeightedSums.of(weights, rewards), largest=largest, confidence=0.9)

    def solve(missed: float, reward: float, sign: float) -> float:
        w, r = np.append(weights, missed), np.append(rewards, reward)

        def divergence(p: np.ndarray) -> float:
            return float((((n + 1) * p - 1) ** 2).sum())

        start = np.full(n + 1, 1 / (n + 1))

        def laws(*mean: float) -> list[Any]:
            """Laws: shares that sum to 1, with mean weight 1 when the missed one has this."""
            rules = [np.ones(n + 1), *(np.append(weights, some) for some in mean)]
            return [{"type": "eq", "fun": lambda p, by=by: p @ by - 1} for by in rules]

        nearest = min(
            optimize.minimize(divergence, start, constraints=laws(some)).fun
            for some in (0.0, largest)
        )
        room = nearest + special.fdtri(1, n, 0.9)

        def value(p: np.ndarray) -> float:
            return sign * float(p @ (w * r))

        near: Any = {"type": "ineq", "fun": lambda p: room - divergence(p)}
        answer = optimize.minimize(value, start, constraints=[*laws(missed), near])
        return float(sign * answer.fun)

    low = min(solve(missed, 0.0, 1.0) for missed in (0.0, largest))
    high = max(solve(missed, 1.0, -1.0) for missed in (0.0, largest))
    assert found.low == pytest.approx(max(low, 0.0), abs=1e-5)
    assert found.high == pytest.approx(min(high, 1.0), abs=1e-5)


def test_a_doubly_robust_interval_is_that_of_the_correction_moved() -> None:
    """300 logs under a model that is wrong by a quarter: coverage within 4 sigma of 95 %."""
    rng = np.random.default_rng(16)
    action = rng.integers(4, size=(300, 4_000))
    rates = np.array([0.1, 0.2, 0.4, 0.6])
    clicks = (rng.random(action.shape) < rates[action]).astype(np.float64)
    law, model = np.array([0.1, 0.1, 0.2, 0.6]), rates * 0.75
    sums = WeightedSums.of(4 * law[action], clicks - model[action])
    low, high = cressie_read_bounds(
        sums, largest=2.4, rewards=RewardRange(-0.45, 1.0), confidence=0.95
    )
    direct = float(law @ model)
    moved = [Interval(*ends, 0.95, "x").moved(direct) for ends in zip(low, high, strict=True)]
    covered = sum(float(law @ rates) in one for one in moved) / 300
    assert covered >= 0.95 - 4 * math.sqrt(0.95 * 0.05 / 300)


@given(
    n=st.integers(1, 60),
    largest=st.one_of(st.just(math.inf), st.floats(1, 1e6)),
    kinds=st.integers(0, 2**32),
    confidence=st.floats(0.01, 0.999),
)
@settings(max_examples=150, deadline=None)
def test_ends_are_in_order_within_the_range_and_wider_with_confidence(
    n: int, largest: float, kinds: int, confidence: float
) -> None:
    rng = np.random.default_rng(kinds)
    top = min(largest, 50.0)
    weights = rng.choice([0.0, 1.0, top, top * rng.random()], size=n)
    rewards = rng.choice([-1.0, 0.0, 2.0], size=n)
    sums, bounds = WeightedSums.of(weights, rewards), RewardRange(-1, 2)
    found = cressie_read(sums, largest=largest, rewards=bounds, confidence=confidence)
    wider = cressie_read(sums, largest=largest, rewards=bounds, confidence=(1 + confidence) / 2)
    assert -1 <= wider.low <= found.low + 1e-9
    assert found.high - 1e-9 <= wider.high <= 2
    spread = cressie_read(
        sums, largest=largest, rewards=bounds, confidence=confidence, design_effect=4.0
    )
    assert spread.low <= found.low + 1e-9
    assert found.high <= spread.high + 1e-9


def test_weights_of_one_give_the_mean_of_bounded_rewards() -> None:
    clicks = np.random.default_rng(6).random(100_000) < 0.2
    found = cressie_read(WeightedSums.of(np.ones(clicks.size), clicks), largest=1.0)
    half = 1.96 * clicks.std() / math.sqrt(clicks.size)
    assert found.low == pytest.approx(clicks.mean() - half, abs=half * 0.01)
    assert found.high == pytest.approx(clicks.mean() + half, abs=half * 0.01)


def test_axes_are_independent() -> None:
    rng = np.random.default_rng(12)
    weights, rewards = rng.choice([0.0, 2.0], size=(4, 300)), rng.random((4, 300))
    together = cressie_read_bounds(
        WeightedSums.of(weights, rewards), largest=9.0, rewards=RewardRange(), confidence=0.9
    )
    for row in range(4):
        one = cressie_read(WeightedSums.of(weights[row], rewards[row]), largest=9, confidence=0.9)
        assert (one.low, one.high) == (together[0][row], together[1][row])


def test_intervals_of_pages_hold_the_sum_over_dependent_slots() -> None:
    """400 logs of 2,000 pages of 3 slots: coverage within 4 sigma of at least 95 %."""
    rng = np.random.default_rng(13)
    logs, pages, slots = 400, 2_000, 3
    liked = rng.random((logs, pages, slots)) < 0.2
    weights = np.where(liked, 4.0, 0.25)
    # Pages differ in how much is clicked on them, and a click above makes one below less likely.
    mood = rng.uniform(0.2, 0.6, size=(logs, pages))
    clicks = np.zeros((logs, pages, slots))
    for slot in range(slots):
        seen = clicks[..., :slot].sum(axis=-1)
        rate = mood * np.where(liked[..., slot], 0.5, 0.25) * 0.5**seen
        clicks[..., slot] = rng.random((logs, pages)) < rate
    # The value of a slot under the target there, given the items above: 0.8 liked, 0.2 not.
    sums = WeightedSums.of_pages(weights, clicks)
    truth = 0.0
    # By the law of the log above each slot, which is what weights of single slots keep.
    for slot in range(slots):
        above = 0.5 ** clicks[..., :slot].sum(axis=-1)
        truth += float((mood * above * (0.8 * 0.5 + 0.2 * 0.25)).mean())
    low, high = cressie_read_bounds(
        sums, largest=4.0, rewards=RewardRange().times(slots), confidence=0.95
    )
    covered = float(((low <= truth) & (truth <= high)).mean())
    assert covered >= 0.95 - 4 * math.sqrt(0.95 * 0.05 / logs)
    gains = (weights * clicks).sum(axis=-1)
    gaussian = 2 * 1.96 * gains.std(axis=-1) / math.sqrt(pages)
    assert float(np.median((high - low) / gaussian)) < 1.2


def test_a_design_effect_makes_repeated_rows_count_once() -> None:
    rng = np.random.default_rng(14)
    weights, clicks = rng.choice([0.0, 2.0], size=20_000), rng.random(20_000) < 0.1
    once = cressie_read(WeightedSums.of(weights, clicks), largest=2.0)
    repeated = WeightedSums.of(np.repeat(weights, 9), np.repeat(clicks, 9))
    known = cressie_read(repeated, largest=2.0, design_effect=9.0)
    blind = cressie_read(repeated, largest=2.0)
    assert known.high - known.low == pytest.approx(once.high - once.low, rel=0.01)
    assert blind.high - blind.low == pytest.approx((once.high - once.low) / 3, rel=0.01)
    with pytest.raises(ConfigError, match=r"design effect must be >= 1, got 0\.5"):
        cressie_read(repeated, largest=2.0, design_effect=0.5)
