"""Diagnostics, and the rules of refusal one by one."""

import math
from dataclasses import replace

import numpy as np
import pytest

from matinee_platform.ope.diagnostics import Diagnostics, clustered_error
from matinee_platform.ope.refusal import Verdict, judge, judge_slots
from matinee_policies.errors import ConfigError, ContextError

GOOD = Diagnostics(
    rows=100_000,
    effective=20_000.0,
    largest=20.0,
    largest_share=0.0002,
    mean=1.001,
    mean_error=0.002,
    positives=300,
    unreachable=0.0,
)


def test_a_good_log_is_shown_without_a_word() -> None:
    assert judge(GOOD) == Verdict()
    assert Verdict().shown(0.25) == 0.25
    assert Verdict().shown(math.nan) is None


@pytest.mark.parametrize(
    ("kept", "broken", "rule"),
    [
        ({"effective": 200.0}, {"effective": 199.99}, "effective sample size"),
        (
            {"rows": 300_000, "effective": 300.0},
            {"rows": 300_001, "effective": 300.0},
            "effective share",
        ),
        ({"positives": 30}, {"positives": 29}, "positives"),
        (
            {"mean": 1.0625, "mean_error": 0.015625},
            {"mean": 1.0626, "mean_error": 0.015625},
            "mean weight",
        ),
        (
            {"mean": 0.9375, "mean_error": 0.015625},
            {"mean": 0.9374, "mean_error": 0.015625},
            "mean weight",
        ),
        ({"unreachable": 0.01}, {"unreachable": 0.0101}, "unlogged items"),
        (
            {"rows": 99_900, "unmatched": 100},
            {"rows": 99_899, "unmatched": 101},
            "missing propensities",
        ),
        ({}, {"mean": math.nan}, "mean weight"),
        ({}, {"unreachable": math.nan}, "unlogged items"),
    ],
)
def test_each_rule_refuses_beyond_its_limit_and_not_at_it(
    kept: dict[str, float], broken: dict[str, float], rule: str
) -> None:
    assert not judge(replace(GOOD, **kept)).is_refused  # type: ignore[arg-type]
    verdict = judge(replace(GOOD, **broken), where="slot 2")  # type: ignore[arg-type]
    assert [reason.rule for reason in verdict.refused] == [rule]
    (reason,) = verdict.refused
    assert reason.words.startswith("slot 2: ")
    assert reason.where == "slot 2"
    assert verdict.shown(0.2) is None


@pytest.mark.parametrize(
    ("kept", "broken", "rule"),
    [
        (
            {"mean": 1.0999, "mean_error": 0.03},
            {"mean": 1.1001, "mean_error": 0.03},
            "mean weight",
        ),
        ({"mean": 0.9001, "mean_error": 0.03}, {"mean": 0.8999, "mean_error": 0.03}, "mean weight"),
        ({"effective": 1_000.0}, {"effective": 999.0}, "effective share"),
        ({"largest_share": 0.05}, {"largest_share": 0.0501}, "largest weight"),
    ],
)
def test_each_warning_comes_beyond_its_limit_and_not_at_it(
    kept: dict[str, float], broken: dict[str, float], rule: str
) -> None:
    assert judge(replace(GOOD, **kept)) == Verdict()  # type: ignore[arg-type]
    verdict = judge(replace(GOOD, **broken))  # type: ignore[arg-type]
    assert not verdict.is_refused
    assert [reason.rule for reason in verdict.warned] == [rule]


def test_a_mean_weight_that_is_off_by_rounding_alone_is_1() -> None:
    weights = (1 / 7) / np.full(1_000, np.float32(1 / 7), dtype=np.float64)
    clicks = np.arange(1_000) < 100
    assert judge(Diagnostics.of(weights, clicks, unreachable=0.0)) == Verdict()
    (reason,) = judge(Diagnostics.of(weights * 1.0001, clicks, unreachable=0.0)).refused
    assert reason.words == "mean weight 1.0001 is off 1, and all weights are the same"
    # The sum of squares of equal weights ends a hair off.
    (reason,) = judge(replace(GOOD, mean=0.8, mean_error=1e-17)).refused
    assert reason.words == "mean weight 0.8 is off 1, and all weights are the same"
    alone = judge(Diagnostics.of(np.array([5.0]), np.array([1.0]), unreachable=0.0))
    assert "mean weight 5 has no standard error: it needs two units" in alone.words()


def test_all_reasons_are_listed_with_figure_and_limit() -> None:
    bad = Diagnostics.of(
        np.array([0.5, 0.5]), np.array([1.0, 0.0]), unreachable=np.array([0.5, 0.1]), unmatched=2
    )
    verdict = judge(bad)
    assert {reason.rule: (reason.figure, reason.limit) for reason in verdict.refused} == {
        "effective sample size": (2.0, 200.0),
        "positives": (1.0, 30.0),
        "mean weight": (math.inf, 4.0),
        "unlogged items": (0.3, 0.01),
        "missing propensities": (0.5, 0.001),
    }
    assert "30 % of the policy's choices could not be logged, 1 % is allowed" in verdict.words()
    assert [reason.rule for reason in verdict.warned] == ["mean weight", "largest weight"]


def test_no_rows_are_refused() -> None:
    empty = Diagnostics.of(np.zeros(0), np.zeros(0), unreachable=0.0)
    assert len(judge(empty).refused) == 5
    zero = Diagnostics.of(np.zeros(500), np.ones(500), unreachable=0.0)
    rules = {reason.rule for reason in judge(zero).refused}
    assert {"effective sample size", "positives", "mean weight"} <= rules


def test_two_equal_policies_are_not_refused_for_their_last_digits() -> None:
    rng = np.random.default_rng(1)
    weights = 1 + 1e-12 * rng.random(2_000)
    verdict = judge(Diagnostics.of(weights, np.ones(2_000), unreachable=0.0))
    assert verdict == Verdict()
    assert judge(replace(GOOD, mean=1 + 5e-6, mean_error=1e-12)) == Verdict()
    assert judge(replace(GOOD, mean=1 + 5e-5, mean_error=1e-12)).is_refused
    shifted = judge(Diagnostics.of(weights + 1e-4, np.ones(2_000), unreachable=0.0))
    assert [reason.rule for reason in shifted.refused] == ["mean weight"]


def test_one_blind_slot_refuses_the_page_but_positives_count_over_it() -> None:
    slot = replace(GOOD, positives=10)
    page = replace(GOOD, positives=50)
    assert judge_slots({"slot 1": slot, "slot 2": slot}, page=page) == Verdict()
    blind = judge_slots({"slot 1": slot, "slot 2": replace(slot, effective=100.0)}, page=page)
    assert [reason.where for reason in blind.refused] == ["slot 2"]
    few = judge_slots({"slot 1": slot}, page=replace(page, positives=29))
    assert [reason.rule for reason in few.refused] == ["positives"]


def test_diagnostics_are_their_definition() -> None:
    rng = np.random.default_rng(2)
    weights, rewards = rng.exponential(size=300), rng.random(300) < 0.2
    weights[:50] = 0
    found = Diagnostics.of(weights, rewards, unreachable=rng.random(300) * 0, unmatched=1)
    assert found.effective == pytest.approx(weights.sum() ** 2 / (weights**2).sum())
    assert found.largest_share == pytest.approx(weights.max() / weights.sum())
    assert found.mean_error == pytest.approx(weights.std(ddof=1) / math.sqrt(300))
    assert found.positives == (rewards & (weights > 0)).sum()
    assert found.unmatched_share == pytest.approx(1 / 301)


def test_a_clustered_error_is_that_of_the_clusters() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(size=400)
    alone = clustered_error(values, np.arange(400))
    assert alone == pytest.approx(values.std(ddof=1) / 20)
    # Each unit four times the same: a quarter of the rows' information.
    repeated = np.repeat(values, 4)
    units = np.repeat(rng.permutation(400).astype(np.uint64) + 2**63, 4)
    assert clustered_error(repeated, units) == pytest.approx(alone)
    assert Diagnostics.of(
        np.abs(repeated), repeated, unreachable=0.0, units=units
    ).mean_error == pytest.approx(np.abs(values).std(ddof=1) / 20)
    assert math.isnan(clustered_error(np.ones(3), np.ones(3)))
    with pytest.raises(ContextError, match="units must be"):
        clustered_error(np.ones(3), np.ones(2))


def test_diagnostics_refuse_what_cannot_be() -> None:
    with pytest.raises(ConfigError, match="mass on unlogged items"):
        replace(GOOD, unreachable=1.5)
    with pytest.raises(ConfigError, match="rows must be"):
        replace(GOOD, rows=-1)
    with pytest.raises(ContextError, match="masses must be"):
        Diagnostics.of(np.ones(3), np.ones(3), unreachable=np.zeros(2))
