"""What an analysis concludes: gates, guardrails, the verdict, and their words."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from matinee_platform.analysis.experiment.analysis import analyse_experiment
from matinee_platform.analysis.experiment.metric_list import METRIC_LIST
from matinee_platform.analysis.experiment.plan import with_metrics
from matinee_platform.analysis.unit_days.records import UnitDays
from matinee_platform.report.analysis_text import analysis_text
from stats.units_by_hand import drawn, plan_of


@pytest.fixture(scope="module")
def units() -> UnitDays:
    return drawn()


@pytest.fixture(scope="module")
def document(units: UnitDays) -> dict[str, Any]:
    return analyse_experiment(units, with_metrics(plan_of(), list(METRIC_LIST)))


@pytest.mark.parametrize(("factor", "outcome"), [(1.0, "safe"), (0.97, "unclear"), (0.5, "harmed")])
def test_a_guardrail_is_safe_harmed_or_unclear(factor: float, outcome: str) -> None:
    found = drawn(1_200, lift=0.0, seed=9)
    engagement = np.ones(found.row_unit.size)
    engagement[found.arm[found.row_unit] == 1] = factor
    changed = replace(found, engagement=engagement, covariates={})
    plan = plan_of(guardrails={"engagement_per_session": 0.03})
    told = analyse_experiment(changed, plan)
    guardrail = told["metrics"]["engagement_per_session"]["effects"]["new"]["guardrail"]
    if factor == 0.97:
        # Every session is worth exactly as much less as the margin allows.
        assert guardrail["loss"] == pytest.approx(0.03)
        assert guardrail["outcome"] in ("unclear", "safe")
    else:
        assert guardrail["outcome"] == outcome
    if outcome == "harmed":
        assert "engagement per session harmed" in told["verdict"]["arms"]["new"]["sentence"]


def test_a_verdict_says_which_arm_and_how_sure(document: dict[str, Any]) -> None:
    verdict = document["verdict"]
    assert verdict["arms"]["new"]["outcome"] == "better"
    assert verdict["headline"].startswith("Against old by return within 7 days: new (+")
    assert verdict["conclusive"]
    assert not verdict["forbids"]
    assert "95 % interval +" in verdict["arms"]["new"]["sentence"]


@pytest.mark.parametrize(
    ("lift", "by_primary", "words"),
    [
        (0.08, "better", "better, but breaking the guardrail engagement per session."),
        (0.0, "unclear", "not clearly different, but breaking the guardrail engagement"),
        (-0.2, "worse", "worse, and breaking the guardrail engagement per session."),
    ],
)
def test_a_broken_guardrail_is_in_the_headline(lift: float, by_primary: str, words: str) -> None:
    found = drawn(1_500, lift=lift, seed=9)
    engagement = np.random.default_rng(1).uniform(0.9, 1.1, found.row_unit.size)
    engagement[found.arm[found.row_unit] == 1] *= 0.5
    changed = replace(found, engagement=engagement, covariates={})
    plan = plan_of(guardrails={"engagement_per_session": 0.03})
    verdict = analyse_experiment(changed, plan)["verdict"]
    arm = verdict["arms"]["new"]
    assert (arm["outcome"], arm["by_primary"]) == ("harmful", by_primary)
    assert arm["harmed"] == ["engagement per session"]
    assert words in verdict["headline"]
    assert "a guardrail is broken." in arm["sentence"]
    assert verdict["conclusive"]


def test_a_ratio_of_nothing_is_told_by_its_reason(units: UnitDays) -> None:
    unseen = replace(units, impressions=0 * units.impressions, clicks=0 * units.clicks)
    verdict = analyse_experiment(unseen, plan_of(primary=["ctr"], guardrails={}))["verdict"]
    sentence = verdict["arms"]["new"]["sentence"]
    assert "its denominators sum to 0" in sentence
    assert "window" not in sentence


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"several_arms": np.arange(60, dtype=np.uint64)}, "60 of 3,060 units were in several"),
        ({"arm": None}, "exposure differs between arms"),
    ],
)
def test_a_failed_gate_forbids_a_conclusion(
    units: UnitDays, changes: dict[str, Any], words: str
) -> None:
    if "arm" in changes:
        lost = units.arm.copy()
        lost[:400] = 0
        changes = {"arm": lost}
    verdict = analyse_experiment(replace(units, **changes), plan_of())["verdict"]
    assert verdict["headline"].startswith("No conclusion.")
    assert words in verdict["headline"]
    assert verdict["arms"]["new"]["outcome"] == "blocked"
    assert not verdict["conclusive"]


def test_a_live_experiment_past_its_end_is_held_to_chi_square(units: UnitDays) -> None:
    kept = np.ones(len(units), dtype=bool)
    kept[np.flatnonzero(units.arm == 1)[:195]] = False
    arm = np.where(kept, units.arm, 0).astype(units.arm.dtype)
    lost = replace(units, arm=arm)
    gates = {
        horizon: analyse_experiment(lost, plan_of(horizon_days=horizon, running=True))["gates"][0]
        for horizon in (None, 21)
    }
    assert "at the end" not in gates[None]["words"]
    assert "at the end" in gates[21]["words"]
    assert gates[21]["value"] <= gates[None]["value"]


def test_few_units_and_few_days_are_told() -> None:
    few = drawn(150, days=6, seed=5)
    document = analyse_experiment(few, plan_of(horizon_days=6))
    outcomes = {gate["name"]: gate["outcome"] for gate in document["gates"]}
    assert outcomes["units"] == "failed"
    assert outcomes["days"] == "warned"
    assert any("6 full days, short" in line for line in document["verdict"]["cautions"])
    loose = analyse_experiment(few, plan_of(horizon_days=6, minimum_units=10, minimum_days=5))
    assert {gate["outcome"] for gate in loose["gates"]} == {"passed"}
    # Nobody's day 7 is over: no number, and no error.
    assert loose["metrics"]["returned_within_7"]["arms"]["new"]["value"] is None
    assert "cannot be told yet" in loose["verdict"]["arms"]["new"]["sentence"]


def test_verdicts_are_never_cut(units: UnitDays) -> None:
    long = "a_policy_whose_name_says_everything_that_it_does"
    named = replace(units, arms=("old", long))
    plan = replace(plan_of(guardrails={"ctr_7": 0.01}), weights={"old": 0.5, long: 0.5})
    document = analyse_experiment(named, plan)
    outcome = document["metrics"]["ctr_7"]["effects"][long]["guardrail"]["outcome"]
    text = analysis_text({**document, "source": {"kind": "run"}}, every=True)
    guardrails = text[text.index("Guardrails (safe") : text.index("Other metrics")]
    assert "outcome" in guardrails
    assert f" {outcome} " in guardrails
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    assert max(len(line) for line in guardrails.splitlines()) <= 118


def test_a_holdout_beside_the_arms_takes_no_part(units: UnitDays) -> None:
    beside = replace(units, arms=("old", "new", "holdout"), arm=units.arm.copy())
    beside.arm[::10] = 2
    kept = np.delete(np.arange(len(units)), np.s_[::10])
    document = analyse_experiment(beside, plan_of())
    assert list(document["arms"]) == ["old", "new"]
    assert sum(arm["units"] for arm in document["arms"].values()) == kept.size
    assert set(document["metrics"]["ctr"]["arms"]) == {"old", "new"}


def test_an_arm_without_units_is_told_without_numbers(units: UnitDays) -> None:
    plan = replace(plan_of(), weights={"old": 0.4, "new": 0.4, "third": 0.2})
    document = analyse_experiment(units, plan)
    assert document["arms"]["third"]["units"] == 0
    assert document["verdict"]["headline"].startswith("No conclusion.")
