"""Each term of each equation moves its probability the right way; kernels equal their twins."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matinee_simulator.click_models import examined_ranks, examined_ranks_reference
from matinee_simulator.logistic import logistic
from matinee_simulator.parameters import Parameters
from matinee_simulator.response import (
    click_probability,
    click_probability_reference,
    redundancy,
    redundancy_reference,
    response_weights,
)
from matinee_simulator.retention import (
    churn_probability,
    churn_probability_reference,
    next_goodwill,
    retention_weights,
    return_probability,
    return_probability_reference,
    session_utility,
    session_utility_reference,
)
from matinee_simulator.satisfaction import (
    cut_rating,
    cut_rating_reference,
    expected_satisfaction,
    exponential_delay,
    satisfaction_weights,
    watched_fraction,
    watched_fraction_reference,
)
from matinee_simulator.session_end import (
    leave_probability,
    leave_probability_reference,
    leave_weights,
)

RESPONSE = response_weights(Parameters(click_base=-3.6))
LIKING = satisfaction_weights(Parameters())
LEAVE = leave_weights(Parameters(leave_base=0.96, leave_no_click=0.25))
RETENTION = retention_weights(Parameters())

steady = settings(deadline=None, max_examples=60, derandomize=True)
z = st.floats(-4.0, 4.0)
positive = st.floats(0.0, 12.0)
step = st.floats(0.01, 3.0)


@steady
@given(x=z, c=z, h=positive, red=st.floats(0, 1), shown=st.integers(0, 4), more=step)
def test_each_term_of_attractiveness(
    x: float, c: float, h: float, red: float, shown: int, more: float
) -> None:
    def chance(*, dx: float = 0, dc: float = 0, dh: float = 0, dr: float = 0, ds: int = 0) -> float:
        return click_probability(RESPONSE, x + dx, c + dc, h + dh, red + dr, shown + ds)

    assert chance(dx=more) > chance()
    assert chance(dc=more) > chance()
    assert chance(dh=more) < chance()
    assert chance(dr=more) < chance()
    assert chance(ds=1) < chance()
    twin = click_probability_reference(RESPONSE, x, c, h, red, np.array(shown))
    assert chance() == pytest.approx(float(twin), rel=1e-12)


def test_attractiveness_in_closed_form() -> None:
    assert click_probability(RESPONSE, 0.0, 0.0, 0.0, 0.0, 0) == pytest.approx(
        1 / (1 + math.exp(3.6)), rel=1e-12
    )
    # An odds ratio of e^0.9 per sd of relevance.
    low, high = (click_probability(RESPONSE, x, 0.5, 1.0, 0.2, 1) for x in (0.0, 1.0))
    assert high / (1 - high) / (low / (1 - low)) == pytest.approx(math.exp(0.9), rel=1e-12)


def test_impressions_beyond_the_cap_do_not_count() -> None:
    chances = [click_probability(RESPONSE, 1.0, 0.0, 0.0, 0.0, n) for n in range(8)]
    assert np.all(np.diff(chances[:6]) < 0)
    assert chances[5] == chances[6] == chances[7]


@steady
@given(logit=st.floats(-1e300, 1e300))
def test_logistic_is_a_probability(logit: float) -> None:
    assert 0.0 <= logistic(logit) <= 1.0


@steady
@given(draw=st.floats(0.0, 1.0, exclude_max=True), slots=st.integers(1, 20))
def test_examined_ranks_invert_the_survival_function(draw: float, slots: int) -> None:
    depth = examined_ranks(draw, 0.85, slots)
    assert 1 <= depth <= slots
    assert draw < 0.85 ** (depth - 1) * (1 + 1e-12)
    if depth < slots:
        assert draw >= 0.85**depth * (1 - 1e-12)
    near_an_edge = min(abs(draw - 0.85**k) for k in range(slots + 1)) < 1e-9
    if not near_an_edge:
        assert depth == examined_ranks_reference(draw, 0.85, slots)


def test_everything_is_examined_at_persistence_one() -> None:
    assert examined_ranks(0.999, 1.0, 7) == examined_ranks_reference(0.999, 1.0, 7) == 7


def test_redundancy_equals_its_twin_and_skips_empty_slots() -> None:
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(40, 9))
    similarity = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    for _ in range(50):
        slate = rng.permutation(40)[:8].astype(np.int32)
        slate[rng.random(8) < 0.2] = -1
        for rank in np.flatnonzero(slate >= 0).tolist():
            value = redundancy(similarity, slate, rank)
            assert value == pytest.approx(redundancy_reference(similarity, slate, rank), abs=1e-6)
            assert 0.0 <= value <= 1.0 + 1e-6


def test_redundancy_rises_with_likeness() -> None:
    similarity = np.array([[1, 0], [0.8, 0.6], [0.6, 0.8], [-1, 0]], dtype=np.float32)
    values = [redundancy(similarity, np.array([0, i], np.int32), 1) for i in (1, 2, 3)]
    assert values == pytest.approx([0.8, 0.6, 0.0], abs=1e-6)
    assert redundancy(similarity, np.array([0, 1], np.int32), 0) == 0.0


@steady
@given(x=z, c=z, h=positive, more=step)
def test_each_term_of_satisfaction(x: float, c: float, h: float, more: float) -> None:
    value = expected_satisfaction(LIKING, x, c, h)
    assert expected_satisfaction(LIKING, x + more, c, h) > value
    assert expected_satisfaction(LIKING, x, c + more, h) < value
    assert expected_satisfaction(LIKING, x, c, h + more) < value
    assert value == pytest.approx(0.8 * x - 0.8 * c - 0.45 * h, abs=1e-12)


@steady
@given(y=z, bias=z, draw=z, more=step)
def test_watched_fraction(y: float, bias: float, draw: float, more: float) -> None:
    value = watched_fraction(LIKING, y, bias, draw)
    assert 0.0 < value < 1.0
    assert watched_fraction(LIKING, y + more, bias, draw) > value
    assert watched_fraction(LIKING, y, bias + more, draw) > value
    twin = watched_fraction_reference(LIKING, np.array([y]), bias, np.array([draw]))
    assert value == pytest.approx(twin[0], rel=1e-12)


@steady
@given(score=st.floats(-5.0, 5.0), more=step)
def test_rating_is_the_level_of_the_score(score: float, more: float) -> None:
    cuts, levels = np.array([-1.0, 0.0, 1.5]), np.array([1, 2, 3, 4], dtype=np.float32)
    rating = cut_rating(cuts, levels, score)
    assert rating == cut_rating_reference(cuts, levels, np.array([score]))[0]
    assert cut_rating(cuts, levels, score + more) >= rating
    assert cut_rating(cuts, levels, -9.0) == 1
    assert cut_rating(cuts, levels, 9.0) == 4


def test_delay_is_the_exponential_quantile() -> None:
    assert exponential_delay(2.0, 0.5) == pytest.approx(2.0 * math.log(2.0), rel=1e-12)
    assert exponential_delay(2.0, 0.0) == 0.0


@steady
@given(f=z, y=st.floats(-2.5, 5.0), clicks=st.integers(1, 9), page=st.integers(1, 9), more=step)
def test_each_term_of_leaving(f: float, y: float, clicks: int, page: int, more: float) -> None:
    value = leave_probability(LEAVE, f, y, clicks, page)
    assert leave_probability(LEAVE, f + more, y, clicks, page) > value
    assert leave_probability(LEAVE, f, y + more, clicks, page) < value
    assert leave_probability(LEAVE, f, y, 0, page) > value
    assert leave_probability(LEAVE, f, y, clicks, page + 1) < value
    twin = leave_probability_reference(LEAVE, f, y, clicks, page)
    assert value == pytest.approx(float(twin), rel=1e-12)


def test_sum_of_satisfaction_is_clipped_when_leaving() -> None:
    assert leave_probability(LEAVE, 0, 6.0, 3, 1) == leave_probability(LEAVE, 0, 60.0, 3, 1)
    assert leave_probability(LEAVE, 0, -3.0, 3, 1) == leave_probability(LEAVE, 0, -30.0, 3, 1)
    assert leave_probability(LEAVE, 0, 0.0, 0, 1) == pytest.approx(
        1 / (1 + math.exp(-0.96 - 0.25)), rel=1e-12
    )


@steady
@given(y=st.floats(-9.0, 9.0), clicks=st.integers(1, 30), more=step)
def test_session_utility(y: float, clicks: int, more: float) -> None:
    value = session_utility(RETENTION, clicks, y)
    assert session_utility(RETENTION, clicks, y + more) > value
    twin = session_utility_reference(RETENTION, np.array([clicks, 0]), np.array([y, 0.0]))
    assert value == pytest.approx(twin[0], rel=1e-12)
    assert session_utility(RETENTION, 0, 0.0) == twin[1] == -0.5
    # At equal mean satisfaction, more clicks help a session that satisfied, and only that one.
    doubled = session_utility(RETENTION, 2 * clicks, 2 * y)
    assert doubled > value if y > 0 else doubled == pytest.approx(value)


def test_goodwill_forgets_geometrically() -> None:
    goodwill = 1.0
    for _ in range(3):
        goodwill = next_goodwill(RETENTION, goodwill, 0.0)
    assert goodwill == pytest.approx(0.7**3, rel=1e-12)
    assert next_goodwill(RETENTION, 0.2, 0.2) == pytest.approx(0.2)


@steady
@given(f=z, s=st.floats(-2.0, 2.0), away=st.integers(0, 60), more=step)
def test_each_term_of_returning(f: float, s: float, away: int, more: float) -> None:
    value = return_probability(RETENTION, f, s, away)
    assert return_probability(RETENTION, f + more, s, away) > value
    assert return_probability(RETENTION, f, s + more, away) > value
    assert return_probability(RETENTION, f, s, away + 1) < value
    assert value == pytest.approx(
        float(return_probability_reference(RETENTION, f, s, away)), rel=1e-12
    )


@steady
@given(s=st.floats(-2.0, 2.0), sessions=st.integers(1, 60), more=step)
def test_each_term_of_churning(s: float, sessions: int, more: float) -> None:
    value = churn_probability(RETENTION, s, sessions)
    assert churn_probability(RETENTION, s + more, sessions) < value
    assert churn_probability(RETENTION, s, sessions + 1) < value
    assert value == pytest.approx(
        float(churn_probability_reference(RETENTION, s, sessions)), rel=1e-12
    )


def test_sensitivity_scales_what_goodwill_does() -> None:
    def log_odds(sensitivity: float, goodwill: float) -> tuple[float, float]:
        weights = retention_weights(Parameters(retention_sensitivity=sensitivity))
        back = return_probability(weights, 0.0, goodwill, 3)
        gone = churn_probability(weights, goodwill, 3)
        return math.log(back / (1 - back)), math.log(gone / (1 - gone))

    for sensitivity in (0.0, 0.5, 1.0, 2.0):
        still, moved = log_odds(sensitivity, 0.0), log_odds(sensitivity, 1.0)
        assert moved[0] - still[0] == pytest.approx(1.1 * sensitivity, abs=1e-9)
        assert moved[1] - still[1] == pytest.approx(-1.6 * sensitivity, abs=1e-9)
