"""The scorecard: JSON values that agree with the tables, pairs, gaps and wrong names."""

import json
import math

import numpy as np
import pytest

from matinee_platform.analysis.compare import difference_of_means
from matinee_platform.analysis.scorecard import METRICS, RETENTION, scorecard
from matinee_platform.analysis.slate_metrics import SlateMetrics
from matinee_platform.analysis.srm import srm_p_value
from matinee_platform.analysis.unit_table import UnitTable
from matinee_policies.errors import ConfigError, ContextError

SLATES = SlateMetrics(
    pages=5, impressions=50, intra_list_diversity=0.7, coverage=0.2, gini=0.8, novelty=3.1
)
WEIGHTS = {"a": 0.5, "b": 0.5}


def table(units: int, *, seed: int, first_unit: int = 0, days: int = 35) -> UnitTable:
    rng = np.random.default_rng(seed)
    active = rng.random((units, days)) < rng.beta(1, 4, size=(units, 1))
    active[np.arange(units), rng.integers(0, 7, size=units)] = True
    shown = 10 * rng.geometric(0.3, size=units)
    clicks = rng.binomial(shown, 0.2)
    return UnitTable(
        unit=np.arange(first_unit, first_unit + units, dtype=np.uint64),
        active=active,
        pages=shown // 10,
        impressions=shown,
        clicks=clicks,
        engagement=clicks * rng.random(units),
        orphan_rewards=2,
    )


def nothing() -> UnitTable:
    zeros = np.zeros(0, dtype=np.int64)
    return UnitTable(
        np.zeros(0, dtype=np.uint64),
        np.zeros((0, 35), dtype=np.bool_),
        zeros,
        zeros,
        zeros,
        np.zeros(0),
    )


def test_values_agree_with_the_tables() -> None:
    arms = {"a": table(300, seed=1), "b": table(250, seed=2, first_unit=300)}
    card = scorecard(arms, slates=dict.fromkeys(arms, SLATES), weights=WEIGHTS, control="a")
    a, b = card["arms"]["a"], card["arms"]["b"]
    assert (a["users"], a["pages"], a["orphan_rewards"]) == (300, arms["a"].pages.sum(), 2)
    assert b["ctr"] == arms["b"].clicks.sum() / arms["b"].impressions.sum()
    assert b["engagement_per_user"] == pytest.approx(arms["b"].engagement.mean())
    assert b["sessions_per_user"] == pytest.approx(arms["b"].sessions.mean())
    assert a["d28"]["rate"] == a["d28"]["returned"] / a["d28"]["eligible"]
    assert a["d28"]["matured"] == 1.0
    assert (a["ild"], a["coverage"], a["gini"], a["novelty"]) == (0.7, 0.2, 0.8, 3.1)
    assert card["srm_p_value"] == srm_p_value([300, 250], [0.5, 0.5])
    assert card["units_in_several_arms"] == 0
    assert a["difference"] is None
    assert set(b["difference"]) == set(METRICS)


def test_differences_are_those_of_the_arms_values() -> None:
    arms = {"a": table(300, seed=1), "b": table(250, seed=2, first_unit=300)}
    card = scorecard(arms, slates=dict.fromkeys(arms, SLATES), weights=WEIGHTS, control="a")
    a, b = card["arms"]["a"], card["arms"]["b"]
    for metric, found in b["difference"].items():
        both = [arm[metric]["rate"] if metric in RETENTION else arm[metric] for arm in (b, a)]
        assert found["difference"] == pytest.approx(both[0] - both[1], abs=1e-12)
        assert found["low"] < found["difference"] < found["high"]
        assert (found["p_value"] < 0.05) == (not found["low"] <= 0 <= found["high"])
    expected = difference_of_means(arms["b"].engagement, arms["a"].engagement)
    assert b["difference"]["engagement_per_user"]["low"] == expected.low


def test_it_is_json_even_where_nothing_happened() -> None:
    arms = {"a": table(1, seed=3), "b": nothing(), "c": table(4, seed=4, first_unit=9)}
    empty = SlateMetrics(0, 0, math.nan, 0.0, math.nan, math.nan)
    weights = {"a": 0.2, "b": 0.2, "c": 0.6}
    for control in arms:
        card = scorecard(arms, slates=dict.fromkeys(arms, empty), weights=weights, control=control)
        again = json.loads(json.dumps(card, allow_nan=False))
        assert again == card
        assert card["arms"]["b"]["ctr"] is None
        assert card["arms"]["b"]["d28"]["rate"] is None


def test_a_run_shorter_than_a_day_of_retention_says_so() -> None:
    arms = {"a": table(30, seed=5, days=7), "b": table(30, seed=6, first_unit=30, days=7)}
    card = scorecard(arms, slates=dict.fromkeys(arms, SLATES), weights=WEIGHTS, control="a")
    d28 = card["arms"]["b"]["d28"]
    assert (d28["eligible"], d28["rate"], d28["matured"]) == (0, None, 0.0)
    assert card["arms"]["b"]["difference"]["d28"]["difference"] is None


def test_pairs_narrow_the_interval_and_silence_the_sample_ratio() -> None:
    one = table(400, seed=7)
    other = UnitTable(
        one.unit, one.active, one.pages, one.impressions, one.clicks, one.engagement + 0.1
    )
    arms = {"a": one, "b": other}
    cards = [
        scorecard(
            arms, slates=dict.fromkeys(arms, SLATES), weights=WEIGHTS, control="a", paired=paired
        )
        for paired in (False, True)
    ]
    widths = [
        found["high"] - found["low"]
        for found in (card["arms"]["b"]["difference"]["engagement_per_user"] for card in cards)
    ]
    assert widths[1] < 1e-9 < widths[0]
    assert cards[1]["srm_p_value"] is None
    assert cards[1]["units_in_several_arms"] == 400


def test_pairs_are_matched_by_unit() -> None:
    one, other = table(50, seed=8), table(50, seed=9, first_unit=20)
    arms = {"a": one, "b": other}
    card = scorecard(
        arms, slates=dict.fromkeys(arms, SLATES), weights=WEIGHTS, control="a", paired=True
    )
    found = card["arms"]["b"]["difference"]["sessions_per_user"]
    assert found["difference"] == pytest.approx(
        (other.sessions[:30] - one.sessions[20:]).mean(), abs=1e-12
    )


def test_names_must_agree() -> None:
    arms = {"a": table(5, seed=1), "b": table(5, seed=2)}
    slates = dict.fromkeys(arms, SLATES)
    with pytest.raises(ContextError, match="control 'c'"):
        scorecard(arms, slates=slates, weights=WEIGHTS, control="c")
    with pytest.raises(ContextError, match="same arms"):
        scorecard(arms, slates={"a": SLATES}, weights=WEIGHTS, control="a")
    with pytest.raises(ContextError, match="same arms"):
        scorecard(arms, slates=slates, weights={"a": 1.0}, control="a")
    with pytest.raises(ConfigError, match="must sum to 1"):
        scorecard(arms, slates=slates, weights={"a": 0.5, "b": 0.6}, control="a")
