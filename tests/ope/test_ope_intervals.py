"""Intervals: vw-estimators, closed forms and exhaustive search as oracles."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from estimators.bandits import cressieread, cs
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special

from matinee_platform.ope.anytime import AnytimeSums, anytime_sequence, boundary, log_wealth
from matinee_platform.ope.bootstrap_interval import bootstrap_interval
from matinee_platform.ope.cressie_read import cressie_read, cressie_read_bounds
from matinee_platform.ope.empirical_bernstein import empirical_bernstein
from matinee_platform.ope.interval import Interval, RewardRange
from matinee_platform.ope.weighted_sums import WeightedSums
from matinee_policies.errors import ConfigError, ContextError

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


def test_few_distinct_pairs_with_counts_are_their_rows() -> None:
    rng = np.random.default_rng(3)
    weights, rewards = rng.choice([0.0, 2.0, 7.0], size=(2, 3, 500)) / [[[1]], [[7]]]
    pairs, counts = np.unique(np.stack([weights[0], rewards[0]]), axis=1, return_counts=True)
    short, long = WeightedSums.of(*pairs, counts=counts), WeightedSums.of(weights[0], rewards[0])
    halves = [
        WeightedSums.of(weights[0, part], rewards[0, part]) for part in (slice(99), slice(99, None))
    ]
    merged = halves[0].merged(halves[1])
    whole = WeightedSums.of(weights, rewards)
    for name in WeightedSums.__slots__:
        expected = getattr(long, name)
        np.testing.assert_allclose(getattr(short, name), expected, rtol=1e-12)
        np.testing.assert_allclose(getattr(merged, name), expected, rtol=1e-12)
        np.testing.assert_allclose(getattr(whole, name)[0], expected, rtol=1e-12)


def test_a_page_is_a_row_whose_value_is_the_sum_over_its_slots() -> None:
    rng = np.random.default_rng(4)
    weights, rewards = rng.exponential(size=(200, 3)), rng.random((200, 3))
    weights[:5] = 0
    sums = WeightedSums.of_pages(weights, rewards)
    assert float(sums.value) == pytest.approx((weights * rewards).sum(axis=1).mean())
    assert float(sums.weight) == pytest.approx(weights.mean(axis=1).sum())
    assert float(sums.reward_high) <= 3
    held = cressie_read(sums, largest=20, rewards=RewardRange().times(3))
    assert held.low < float(sums.value) < held.high
    one = WeightedSums.of_pages(weights[:, :1], rewards[:, :1])
    single = WeightedSums.of(weights[:, 0], rewards[:, 0])
    assert float(one.weight_gain) == pytest.approx(float(single.weight_gain))


def test_totals_of_another_pass_give_the_same_intervals() -> None:
    rng = np.random.default_rng(15)
    weights, rewards = rng.exponential(size=(400, 3)), rng.random((400, 3))
    gains = weights * rewards
    slots = WeightedSums.from_totals(
        400,
        weight=weights.sum(axis=0),
        weight2=(weights**2).sum(axis=0),
        gain=gains.sum(axis=0),
        weight_gain=(weights * gains).sum(axis=0),
        gain2=(gains**2).sum(axis=0),
        largest=weights.max(axis=0),
        positives=np.full(3, 400),
    )
    pages = WeightedSums.pages_from_products(
        400,
        weight=weights.sum(axis=0),
        gain=gains.sum(axis=0),
        weight2=weights.T @ weights,
        weight_gain=weights.T @ gains,
        gain2=gains.T @ gains,
        largest=weights.max(axis=0),
        positives=400,
    )
    for found, expected in (
        (slots, WeightedSums.of(weights.T, rewards.T)),
        (pages, WeightedSums.of_pages(weights, rewards)),
    ):
        bounds, same = (
            cressie_read_bounds(sums, largest=20.0, rewards=RewardRange().times(3), confidence=0.95)
            for sums in (found, expected)
        )
        np.testing.assert_allclose(bounds, same, rtol=1e-9)
        np.testing.assert_allclose(found.effective, expected.effective, rtol=1e-9)
        assert (found.largest >= expected.largest).all()
        assert (found.positives == expected.positives).all()
    with pytest.raises(ContextError, match="totals need one shape"):
        WeightedSums.from_totals(
            400,
            weight=np.ones(3),
            weight2=np.ones(3),
            gain=np.ones(2),
            weight_gain=np.ones(3),
            gain2=np.ones(3),
            largest=np.ones(3),
            positives=np.ones(3),
        )
    with pytest.raises(ContextError, match=r"products need \[L\] and \[L, L\]"):
        WeightedSums.pages_from_products(
            400,
            weight=np.ones(3),
            gain=np.ones(3),
            weight2=np.ones(3),
            weight_gain=np.ones((3, 3)),
            gain2=np.ones((3, 3)),
            largest=np.ones(3),
            positives=1,
        )


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


def test_an_interval_moves_holds_and_refuses() -> None:
    moved = Interval(0.1, 0.3, 0.95, "x").moved(1.0)
    assert (1.2 in moved, 0.2 in moved) == (True, False)
    with pytest.raises(ContextError, match="low <= high"):
        Interval(0.3, 0.1, 0.95, "x")
    with pytest.raises(ContextError, match="low <= high"):
        Interval(math.nan, 0.1, 0.95, "x")
    with pytest.raises(ConfigError, match="largest reward"):
        RewardRange(1, 1)


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
