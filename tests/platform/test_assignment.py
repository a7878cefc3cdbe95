"""Assignment: the published vectors, fair shares, independence of salts, nobody changes arm."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from matinee_platform.assignment import (
    BUCKETS,
    NO_ARM,
    UnitCodes,
    assign,
    bucket_ranges,
    buckets,
    buckets_reference,
    choose_arms,
)
from matinee_policies.errors import ConfigError, ContextError

# Facts of GrowthBook's public test cases (specification 0.5.4, MIT licence).
HASHES = [
    ("seed", "a", 0.0505),
    ("seed", "b", 0.2696),
    ("foo", "ab", 0.2575),
    ("foo", "def", 0.2019),
    ("89123klj", "8952klfjas09ujkasdf", 0.124),
    ("90850943850283058242805", "123", 0.7516),
    ("()**(%$##$%#$#", '___)((*":&', 0.0128),
    ("feature-exp", "d123", 0.6468),
    ("feature-exp", "i123", 0.9943),
]
RANGES = [
    ([0.5, 0.5], 1.0, [[0, 0.5], [0.5, 1]]),
    ([0.5, 0.5], 0.5, [[0, 0.25], [0.5, 0.75]]),
    ([0.5, 0.5], 0.0, [[0, 0], [0.5, 0.5]]),
    ([0.25] * 4, 1.0, [[0, 0.25], [0.25, 0.5], [0.5, 0.75], [0.75, 1]]),
    ([0.4, 0.6], 1.0, [[0, 0.4], [0.4, 1]]),
    ([0.2, 0.3, 0.5], 1.0, [[0, 0.2], [0.2, 0.5], [0.5, 1]]),
    ([0.2, 0.3, 0.5], 0.2, [[0, 0.04], [0.2, 0.26], [0.5, 0.6]]),
]
EVEN = [[0, 0.5], [0.5, 1]]
REDUCED = [[0, 0.25], [0.5, 0.75]]
CHOICES = [
    (0.2, EVEN, 0),
    (0.4, EVEN, 0),
    (0.6, EVEN, 1),
    (0.8, EVEN, 1),
    (0.0, EVEN, 0),
    (0.5, EVEN, 1),
    (0.2, REDUCED, 0),
    (0.4, REDUCED, NO_ARM),
    (0.6, REDUCED, 1),
    (0.8, REDUCED, NO_ARM),
    (0.25, REDUCED, NO_ARM),
    (0.5, REDUCED, 1),
    (0.5, [[0, 0.5], [0.5, 0.5], [0.5, 1]], 2),
]


def users(count: int) -> list[str]:
    return [f"user-{number}" for number in range(count)]


@pytest.mark.parametrize(("salt", "unit", "share"), HASHES)
def test_published_hash(salt: str, unit: str, share: float) -> None:
    assert buckets([unit], salt)[0] == round(share * BUCKETS)


@pytest.mark.parametrize(("weights", "coverage", "expected"), RANGES)
def test_published_ranges(
    weights: list[float], coverage: float, expected: list[list[float]]
) -> None:
    np.testing.assert_allclose(bucket_ranges(weights, coverage=coverage), expected, atol=1e-12)


@pytest.mark.parametrize(("share", "ranges", "expected"), CHOICES)
def test_published_choices(share: float, ranges: list[list[float]], expected: int) -> None:
    bucket = np.array([round(share * BUCKETS)], dtype=np.int16)
    assert choose_arms(bucket, np.array(ranges, dtype=np.float64)).tolist() == [expected]


@pytest.mark.parametrize(
    ("weights", "rule"),
    [
        ([0.4, 0.1], "must sum to 1, got 0.5"),
        ([0.7, 0.6], "must sum to 1, got 1.3"),
        ([0.4, 0.5999], "must sum to 1, got 0.9999"),
        ([1.5, -0.5], "must be <= 1, got 1.5"),
        ([-0.5, 1.5], "must be >= 0, got -0.5"),
        ([float("nan"), 1.0], "finite number, got nan"),
        ([], "at least one arm"),
    ],
)
def test_weights_are_refused_rather_than_repaired(weights: list[float], rule: str) -> None:
    with pytest.raises(ConfigError, match=rule):
        assign(["a"], salt="s", weights=weights)


@pytest.mark.parametrize("coverage", [-0.2, 1.5, float("nan")])
def test_coverage_outside_its_range_is_refused(coverage: float) -> None:
    with pytest.raises(ConfigError, match="coverage must be"):
        assign(["a"], salt="s", weights=[1.0], coverage=coverage)


@given(st.lists(st.text(max_size=12), max_size=8), st.text(max_size=6))
def test_kernel_equals_its_twin(units: list[str], salt: str) -> None:
    assert buckets(units, salt).tolist() == buckets_reference(units, salt).tolist()


def test_kernel_equals_its_twin_beyond_the_basic_plane() -> None:
    units = ["", "é", "\U0001f3ac", "\U0001f3acx", "x\U0001f3ac", "映画", "a" * 128]
    assert buckets(units, "\U0001f37f").tolist() == buckets_reference(units, "\U0001f37f").tolist()


def test_batches_do_not_matter() -> None:
    units = users(100)
    alone = [int(assign([unit], salt="s", weights=[0.3, 0.7])[0]) for unit in units]
    assert assign(units, salt="s", weights=[0.3, 0.7]).tolist() == alone


@pytest.mark.parametrize("wrong", ["\ud800", 7])
def test_an_id_that_is_no_text_is_refused_and_kept_out_of_the_message(wrong: object) -> None:
    units = ["secret-ada", wrong]
    with pytest.raises(ContextError, match="index 1") as error:
        buckets(units, "s")  # type: ignore[arg-type]
    assert "ada" not in str(error.value)


@pytest.mark.parametrize("salt", ["spring", "2026-11", ""])
def test_a_million_users_fall_into_arms_by_weight(salt: str) -> None:
    weights = [0.5, 0.2, 0.2, 0.05, 0.05]
    count = 1_000_000
    observed = np.bincount(assign(users(count), salt=salt, weights=weights), minlength=5)
    for arm, weight in enumerate(weights):
        error = 4 * np.sqrt(count * weight * (1 - weight))
        assert abs(observed[arm] - count * weight) < error


def test_all_buckets_are_used_evenly() -> None:
    counts = np.bincount(buckets(users(1_000_000), "even"), minlength=BUCKETS)
    assert counts.size == BUCKETS
    assert 1e-4 < stats.chisquare(counts).pvalue < 1 - 1e-4


@pytest.mark.parametrize("other", ["layer-2", "layer-1x", "xlayer-1"])
def test_two_salts_are_independent(other: str) -> None:
    units = users(200_000)
    first = assign(units, salt="layer-1", weights=[0.25] * 4).astype(np.int64)
    second = assign(units, salt=other, weights=[0.2] * 5)
    table = np.bincount(first * 5 + second, minlength=20).reshape(4, 5)
    assert stats.chi2_contingency(table).pvalue > 1e-4


def test_a_ramp_lets_units_in_and_moves_nobody() -> None:
    units = users(50_000)
    before = np.full(len(units), NO_ARM)
    for coverage in (0.0, 0.01, 0.1, 0.33, 0.5, 0.99, 1.0):
        now = assign(units, salt="ramp", weights=[0.3, 0.3, 0.4], coverage=coverage)
        inside = before != NO_ARM
        assert (now[inside] == before[inside]).all()
        share = (now != NO_ARM).mean()
        assert abs(share - coverage) <= 4 * np.sqrt(coverage * (1 - coverage) / len(units))
        before = now


def test_weights_that_do_not_add_up_exactly_leave_nobody_out() -> None:
    arms = assign(users(100_000), salt="tenths", weights=[0.1] * 10)
    assert set(arms.tolist()) == set(range(10))


def test_an_arm_of_weight_zero_gets_nobody() -> None:
    assert set(assign(users(1000), salt="s", weights=[0.5, 0.0, 0.5]).tolist()) == {0, 2}


def test_ids_made_ready_once_fall_into_the_same_buckets_under_any_salt() -> None:
    units = ["ada", "", "b\u00f6", "\U0001f37f popcorn", "x" * 128]
    codes = UnitCodes(units)
    assert len(codes) == len(units)
    for salt in ("", "spring", "\U0001f37f"):
        assert codes.buckets(salt).tolist() == buckets_reference(units, salt).tolist()
