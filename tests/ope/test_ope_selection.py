"""SLOPE, selection by simultaneous bounds, and advice on a ramp."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests  # type: ignore[import-untyped]

from matinee_platform.analysis.inference.non_inferiority import Verdict as Guardrail
from matinee_platform.ope.cressie_read import cressie_read
from matinee_platform.ope.interval import Interval
from matinee_platform.ope.promotion import Advice, advise, difference_of
from matinee_platform.ope.refusal import Reason, Verdict
from matinee_platform.ope.selection import Candidate, better_than, rank_by_draws, rank_by_intervals
from matinee_platform.ope.slope import slope
from matinee_platform.ope.weighted_sums import WeightedSums
from matinee_policies.errors import ConfigError, ContextError

REFUSED = Verdict((Reason("positives", 3.0, 30.0, "3 positive rewards, 30 are needed"),))
WARNED = Verdict(warned=(Reason("mean weight", 0.2, 0.1, "mean weight 1.2 is off 1"),))


def test_slope_is_the_largest_index_whose_intervals_meet() -> None:
    """Against the definition, on random grids with falling errors."""
    for seed in range(300):
        rng = np.random.default_rng(seed)
        m = int(rng.integers(1, 9))
        errors = np.sort(rng.exponential(size=m))
        values = rng.normal(size=m) * 3
        found = slope(values, errors, confidence=0.9)
        half = 2 * stats.norm.ppf(1 - 0.1 / (2 * m)) * errors
        ends = list(zip(values - half, values + half, strict=True))
        meeting = [
            i for i in range(m) if max(e[0] for e in ends[i:]) <= min(e[1] for e in ends[i:])
        ]
        assert found.index == min(meeting)
        assert found.low == pytest.approx(max(e[0] for e in ends[found.index :]))
        assert found.high == pytest.approx(min(e[1] for e in ends[found.index :]))
        assert found.accepted.tolist() == [i >= found.index for i in range(m)]


def test_slope_finds_a_trade_near_the_best_one() -> None:
    """Clipping: in 200 logs the squared error is below that of both ends of the grid."""
    bias, errors = np.array([0.5, 0.12, 0.02, 0.0]), np.array([0.01, 0.03, 0.1, 0.6])
    rng = np.random.default_rng(2)
    values = 1 - bias + rng.normal(size=(200, 4)) * errors
    chosen = np.array([slope(row, errors).value for row in values])
    off = ((chosen - 1) ** 2).mean()
    each = ((values - 1) ** 2).mean(axis=0)
    assert off < 0.5 * each[3]
    assert off < each[0]


def test_a_biased_setting_that_is_noisier_is_passed_over() -> None:
    found = slope(np.array([0.5, 0.5, 0.5]), np.array([0.1, 0.3, 0.2]))
    assert found.passed_over.tolist() == [False, True, False]
    assert found.index == 0
    for values, errors in (([], []), ([1.0], [1.0, 2.0]), ([np.nan], [1.0]), ([1.0], [-1.0])):
        with pytest.raises(ContextError, match="a grid"):
            slope(np.array(values), np.array(errors))


def _normal(name: str, value: float, error: float, verdict: Verdict | None = None) -> Candidate:
    def interval(confidence: float) -> Interval:
        half = float(stats.norm.ppf((1 + confidence) / 2)) * error
        return Interval(value - half, value + half, confidence, "normal")

    return Candidate(name, value, interval, verdict or Verdict())


def test_candidates_are_ranked_by_their_lower_bound_not_by_their_value() -> None:
    found = rank_by_intervals(
        [
            _normal("lucky", 0.9, 0.25),
            _normal("sure", 0.7, 0.01),
            _normal("poor", 0.2, 0.01),
            _normal("blind", 0.99, 0.0, REFUSED),
        ]
    )
    assert [row.name for row in found.rows] == ["sure", "lucky", "poor", "blind"]
    assert [row.place for row in found.rows] == [1, 2, 3, 0]
    assert found.tied == ("sure", "lucky")
    # Four were looked at, the refused one too: each bound at 1 - 0.05 / 4.
    assert found.rows[0].low == pytest.approx(0.7 - 0.01 * stats.norm.ppf(1 - 0.05 / 8))
    assert found.rows[3].value is None
    assert found.rows[3].refused == REFUSED.refused
    assert found.words() == (
        "sure has the largest lower bound, 0.675; the log cannot tell it from lucky. "
        "Refused: blind."
    )


def test_a_selection_says_who_is_best_and_when_nobody_is() -> None:
    clear = rank_by_intervals([_normal("a", 0.1, 0.01), _normal("b", 0.9, 0.01)])
    assert clear.words().endswith("and is the best of them at 95% confidence.")
    nobody = rank_by_intervals([_normal("a", 0.1, 0.01, REFUSED)])
    assert nobody.first is None
    assert nobody.tied == ()
    assert nobody.words() == "The log cannot tell the value of any of: a."
    alone = rank_by_intervals([_normal("a", 0.5, 0.0)])
    assert alone.words() == "a has the largest lower bound, 0.5."
    with pytest.raises(ContextError, match="different names"):
        rank_by_intervals([_normal("a", 0.1, 0.1)] * 2)
    with pytest.raises(ContextError, match="at least one candidate"):
        rank_by_intervals([])


def _cressie_read(sums: WeightedSums) -> Callable[[float], Interval]:
    return lambda confidence: cressie_read(sums, largest=4.0, confidence=confidence)


def test_intervals_of_a_log_go_into_a_selection() -> None:
    rng = np.random.default_rng(3)
    action = rng.integers(4, size=30_000)
    clicks = rng.random(30_000) < np.array([0.1, 0.12, 0.2, 0.1])[action]
    candidates = []
    for best in range(4):
        sums = WeightedSums.of(np.where(action == best, 4.0, 0.0), clicks)
        candidates.append(
            Candidate(
                f"always {best}",
                float(sums.value),
                _cressie_read(sums),
            )
        )
    found = rank_by_intervals(candidates)
    assert found.tied == ("always 2",)


def _log(rng: np.random.Generator, values: np.ndarray, *, spread: float, n: int) -> np.ndarray:
    """Rows of candidates that share most of their noise, `[n, m]`."""
    common = rng.normal(size=(n, 1))
    return values + common + spread * rng.normal(size=(n, values.size))


def _resample(rng: np.random.Generator, rows: np.ndarray, draws: int) -> np.ndarray:
    counts = rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=draws)
    return np.asarray(counts @ rows / len(rows))


def test_shared_draws_hold_all_bounds_at_once_and_never_lose_the_best() -> None:
    """300 logs: misses of any bound, and of the best among the tied, at most 5 % + 4 sigma."""
    truth = np.array([0.0, 0.0, 0.05, 0.1, 0.1])
    missed = lost = 0
    for seed in range(300):
        rng = np.random.default_rng([4, seed])
        rows = _log(rng, truth, spread=2.0, n=150)
        found = rank_by_draws(
            list("abcde"), rows.mean(axis=0), _resample(rng, rows, 400), confidence=0.95
        )
        bounds = {row.name: (row.low, row.high) for row in found.rows}
        missed += any(
            not bounds[name][0] <= value <= bounds[name][1]
            for name, value in zip("abcde", truth, strict=True)
        )
        lost += not {"d", "e"} & set(found.tied)
    most = 0.05 + 4 * math.sqrt(0.05 * 0.95 / 300)
    assert missed / 300 <= most
    assert lost / 300 <= most
    # Not by being wide for nothing: one bound alone at this confidence misses about so often.
    assert missed / 300 >= 0.005


def test_what_candidates_share_cancels_between_them() -> None:
    rng = np.random.default_rng(5)
    rows = _log(rng, np.array([0.0, 0.1]), spread=0.05, n=300)
    draws = _resample(rng, rows, 500)
    found = rank_by_draws(["a", "b"], rows.mean(axis=0), draws)
    assert found.tied == ("b",)
    shuffled = draws.copy()
    rng.shuffle(shuffled[:, 0])
    assert rank_by_draws(["a", "b"], rows.mean(axis=0), shuffled).tied == ("b", "a")


def test_equal_candidates_are_tied_and_refused_ones_are_not() -> None:
    rng = np.random.default_rng(6)
    draws = np.repeat(rng.normal(0.5, 0.1, size=(500, 1)), 3, axis=1)
    found = rank_by_draws(
        ["a", "b", "c"], np.full(3, 0.5), draws, verdicts=[Verdict(), Verdict(), REFUSED]
    )
    assert found.tied == ("a", "b")
    assert [row.place for row in found.rows] == [1, 2, 0]
    with pytest.raises(ContextError, match="need a verdict each"):
        rank_by_draws(["a", "b", "c"], np.full(3, 0.5), draws, verdicts=[REFUSED])
    with pytest.raises(ContextError, match=r"need \[2\] values"):
        rank_by_draws(["a", "b"], np.full(2, 0.5), draws)
    with pytest.raises(ContextError, match="values must be finite"):
        rank_by_draws(["a", "b", "c"], np.full(3, np.nan), draws)


def test_better_than_is_one_sided_and_corrected() -> None:
    differences, errors = np.array([0.3, 0.1, -0.2]), np.array([0.1, 0.05, 0.1])
    expected = multipletests(stats.norm.sf(differences / errors), method="holm")[1]
    np.testing.assert_allclose(better_than(differences, errors), expected)
    with pytest.raises(ContextError, match="errors > 0"):
        better_than(differences, errors * 0)


HELD, OPEN, BROKEN = Guardrail.HELD, Guardrail.OPEN, Guardrail.BROKEN


def _advice(
    *,
    low: float = 0.01,
    high: float = 0.05,
    verdict: Verdict | None = None,
    share: float = 0.4,
    guardrails: dict[str, Guardrail] | None = None,
    now: float = 0.0,
    budget: float = 0.01,
) -> Advice:
    return advise(
        verdict=verdict or Verdict(),
        effective_share=share,
        difference=Interval(low, high, 0.95, "test"),
        current_value=0.5,
        guardrails={"d7": HELD} if guardrails is None else guardrails,
        now=now,
        budget=budget,
    )


@pytest.mark.parametrize(
    ("given", "allowed"),
    [
        ({}, 1.0),
        ({"verdict": REFUSED}, 0.0),
        ({"verdict": WARNED}, 0.05),
        ({"share": 0.0999}, 0.05),
        ({"share": 0.1}, 1.0),
        ({"share": math.nan}, 0.05),
        ({"low": 0.0}, 1.0),
        # The budget is 1 % of 0.5 on all traffic together.
        ({"low": -0.005}, 1.0),
        ({"low": -0.0051}, 0.5),
        ({"low": -0.02}, 0.2),
        ({"low": -0.1}, 0.05),
        ({"low": -0.5}, 0.01),
        ({"low": -0.6}, 0.0),
        ({"low": -0.2, "high": -0.001}, 0.0),
        # Rounding is no loss.
        ({"low": -4e-6, "high": -2e-6}, 1.0),
        ({"guardrails": {}}, 0.2),
        ({"guardrails": {"d7": HELD, "d28": OPEN}}, 0.2),
        ({"guardrails": {"d7": BROKEN, "d28": OPEN}}, 0.0),
    ],
)
def test_each_limit_allows_what_it_says(given: dict[str, object], allowed: float) -> None:
    assert _advice(**given).allowed == allowed  # type: ignore[arg-type]


def test_a_ramp_grows_one_step_at_a_time_and_holds_where_it_must() -> None:
    said = [
        (a.action, a.next) for now in (0, 0.01, 0.05, 0.2, 0.5, 1.0) for a in [_advice(now=now)]
    ]
    assert said == [
        ("ramp", 0.01),
        ("ramp", 0.05),
        ("ramp", 0.2),
        ("ramp", 0.5),
        ("ramp", 1.0),
        ("hold", 1.0),
    ]
    assert _advice(now=0.2, guardrails={"d7": OPEN}).words()[0] == (
        "Hold at 20%: the next step is not allowed."
    )
    assert _advice(now=0.5, verdict=WARNED).words()[0] == (
        "Hold at 50%: no more than 5% would be begun now."
    )
    assert _advice(now=1.0).words()[0] == "Hold at 100%: all units have it."


def test_harm_stops_a_ramp_and_ignorance_does_not() -> None:
    assert _advice(now=0.2, low=-0.1, high=-0.01).action == "stop"
    broken = _advice(now=0.2, guardrails={"d7": BROKEN}, verdict=REFUSED)
    assert broken.action == "stop"
    assert "guardrails: no step: broken: d7" in broken.words()
    assert _advice(now=0.2, verdict=REFUSED).action == "hold"
    assert _advice(now=0.2, low=-0.9).action == "hold"
    assert _advice(verdict=REFUSED).words()[:2] == (
        "Do not start it.",
        "overlap: the log cannot tell its value: 3 positive rewards, 30 are needed",
    )
    assert _advice(low=-0.6).words()[1] == (
        "bound: no step: difference within -0.6 and +0.05 (95%); "
        "1% may lose 0.006 of 0.005, 0.01 of the value of what runs now"
    )


def test_a_candidate_that_learned_from_the_log_gets_a_trial_at_most() -> None:
    found = advise(
        verdict=Verdict(),
        effective_share=0.9,
        difference=Interval(0.01, 0.05, 0.95, "test"),
        current_value=0.5,
        guardrails={"d7": HELD},
        in_sample=True,
    )
    assert (found.allowed, found.limits[0].words) == (
        0.05,
        "at most 5%: it learned from the log that judges it",
    )


def test_a_difference_without_an_interval_allows_no_step() -> None:
    found = advise(
        verdict=Verdict(),
        effective_share=0.4,
        difference=None,
        no_difference="its bias is not known",
        current_value=0.5,
        guardrails={"d7": HELD},
        now=0.2,
    )
    assert (found.allowed, found.action) == (0.0, "hold")
    assert found.words()[1] == (
        "bound: no step: the difference has no interval: its bias is not known"
    )


def test_advice_refuses_what_cannot_be() -> None:
    # 2 is taken by who means percent, and would allow any loss.
    with pytest.raises(ConfigError, match=r"budget of a ramp must be <= 1, got 2\.0"):
        _advice(budget=2.0)
    with pytest.raises(ConfigError, match="share of units now"):
        _advice(now=1.5)
    with pytest.raises(ConfigError, match="share of units now"):
        _advice(now=math.nan)


def test_a_difference_of_intervals_misses_at_most_what_both_do() -> None:
    found = difference_of(Interval(0.2, 0.3, 0.975, "x"), Interval(0.1, 0.15, 0.975, "x"))
    assert found.low == pytest.approx(0.05)
    assert found.high == pytest.approx(0.2)
    assert found.confidence == pytest.approx(0.95)
