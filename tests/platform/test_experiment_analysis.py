"""The analysis of an experiment against numbers made by hand and by other libraries."""

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm  # type: ignore[import-untyped]
import tea_tasting as tt  # type: ignore[import-untyped]
from scipy import stats
from statsmodels.duration.survfunc import (  # type: ignore[import-untyped]
    SurvfuncRight,
    survdiff,
)
from statsmodels.stats.multitest import multipletests  # type: ignore[import-untyped]

from matinee_platform.analysis.experiment.activity import Activity
from matinee_platform.analysis.experiment.analysis import analyse_experiment
from matinee_platform.analysis.experiment.by_day import growing_by_day
from matinee_platform.analysis.experiment.lifetimes import life_tables
from matinee_platform.analysis.experiment.metric_list import METRIC_LIST
from matinee_platform.analysis.experiment.plan import Plan, with_metrics
from matinee_platform.analysis.experiment.unit_metrics import unit_metric
from matinee_platform.analysis.experiment.until_day import until_day
from matinee_platform.analysis.inference.moments import Moments
from matinee_platform.analysis.unit_days.records import UnitDays
from matinee_platform.analysis_settings import AnalysisSettings
from matinee_platform.report.analysis_page import analysis_page
from matinee_platform.report.analysis_text import analysis_text
from matinee_policies.errors import ConfigError

DAY_MS = 86_400_000


def by_hand(
    visits: Sequence[tuple[str, int, Sequence[int]]],
    *,
    days: int,
    arms: tuple[str, ...] = ("old", "new"),
    **changes: Any,
) -> UnitDays:
    """Units given as (arm, day of exposure, active days since exposure)."""
    rows = [(u, day, first + day) for u, (_, first, on) in enumerate(visits) for day in on]
    unit, day, calendar = (np.array(column, dtype=np.int32) for column in zip(*rows, strict=True))
    exposed_on = np.array([first for _, first, _ in visits], dtype=np.int32)
    ones = np.ones(unit.size, dtype=np.int32)
    made = UnitDays(
        arms=arms,
        unit=np.arange(len(visits), dtype=np.uint64),
        arm=np.array([arms.index(arm) for arm, _, _ in visits], dtype=np.int16),
        exposed_at=exposed_on.astype(np.int64) * DAY_MS,
        exposed_on=exposed_on,
        observed=(days - exposed_on).astype(np.int32),
        covariates={},
        segments={},
        segment_labels={},
        row_unit=unit,
        row_day=day,
        row_calendar_day=calendar,
        sessions=ones,
        pages=2 * ones,
        impressions=20 * ones.astype(np.int64),
        clicks=ones.astype(np.int64),
        engagement=0.5 * ones.astype(np.float64),
        fallbacks=0 * ones,
        days=days,
        several_arms=np.zeros(0, dtype=np.uint64),
    )
    return replace(made, **changes)


def drawn(n: int = 3_000, *, days: int = 21, lift: float = 0.08, seed: int = 4) -> UnitDays:
    """Units that come by chance, more of them in arm `new`, with what was known of most before."""
    rng = np.random.default_rng(seed)
    liking = rng.beta(2.0, 4.0, n)
    arm = rng.integers(0, 2, n)
    visits = [
        (
            ("old", "new")[arm[unit]],
            int(first),
            [
                0,
                *(
                    1
                    + np.flatnonzero(rng.random(days - 1 - first) < liking[unit] + lift * arm[unit])
                ),
            ],
        )
        for unit, first in enumerate(rng.integers(0, 5, n))
    ]
    units = by_hand(visits, days=days)
    rows = units.row_unit.size
    clicks = rng.binomial(20, 0.1 + 0.1 * liking[units.row_unit]).astype(np.int64)
    history = 10 * liking + rng.normal(0, 0.5, n)
    history[rng.random(n) < 0.25] = np.nan
    return replace(
        units,
        clicks=clicks,
        engagement=clicks * rng.random(rows),
        covariates={"history": history},
        segments={"new": np.isnan(history).astype(np.int16)},
        segment_labels={"new": ("known", "new")},
    )


def plan_of(**settings: Any) -> Plan:
    horizon = settings.pop("horizon_days", 21)
    running = settings.pop("running", False)
    return Plan(
        experiment="trial",
        control="old",
        weights={"old": 0.5, "new": 0.5},
        settings=AnalysisSettings.model_validate(settings),
        running=running,
        horizon_days=horizon,
    )


@pytest.fixture(scope="module")
def units() -> UnitDays:
    return drawn()


@pytest.fixture(scope="module")
def document(units: UnitDays) -> dict[str, Any]:
    return analyse_experiment(units, with_metrics(plan_of(), list(METRIC_LIST)))


def values_of(units: UnitDays, name: str) -> list[Any]:
    """Columns of a metric by arm."""
    metric = unit_metric(name, Activity(units))
    arm = units.arm[metric.rows]
    return [[column[arm == one] for column in metric.columns] for one in range(2)]


def close(found: float, wanted: float) -> None:
    assert found == pytest.approx(wanted, rel=1e-9, abs=1e-12)


def test_metrics_of_a_log_that_can_be_counted_by_hand() -> None:
    units = by_hand(
        [
            ("old", 0, [0, 1, 7]),  # D1, D7
            ("old", 0, [0, 3, 9]),  # back within 7 days; on day 7 or later
            ("old", 0, [0]),
            ("old", 3, [0, 1]),  # day 7 is not over: seven days are
            ("new", 0, [0, 8]),
            ("new", 4, [0, 2]),  # six days
        ],
        days=10,
    )
    document = analyse_experiment(units, with_metrics(plan_of(), list(METRIC_LIST)))
    told = {
        name: (metric["arms"]["old"]["value"], metric["arms"]["old"]["denominator"])
        for name, metric in document["metrics"].items()
        if metric["kind"] != "quantile"
    }
    assert told["returned_within_7"] == (pytest.approx(2 / 3), 3)
    assert told["d1"] == (pytest.approx(2 / 4), 4)
    assert told["d7"] == (pytest.approx(1 / 3), 3)
    assert told["rolling_d7"] == (pytest.approx(2 / 3), 3)
    assert told["d28"] == (None, 0)
    # The unit of day 3 has been watched for exactly seven days.
    assert told["active_days_7"] == (pytest.approx((2 + 2 + 1 + 2) / 4), 4)
    assert told["ctr"] == (pytest.approx(9 / 180), 180)
    assert told["engagement_per_session"] == (pytest.approx(0.5), 9)
    assert told["engagement_7"] == (pytest.approx((1.0 + 1.0 + 0.5 + 1.0) / 4), 4)
    assert told["stickiness"] == (None, 0)
    family = document["retention"]["metrics"]["returned_within_7"]["arms"]
    assert family["old"] == {
        "exposed": 4,
        "eligible": 3,
        "returned": 2.0,
        "rate": 2 / 3,
        "matured": 0.75,
    }
    assert family["new"]["eligible"] == 1


def test_who_left_is_told_only_when_the_silence_is_over() -> None:
    units = by_hand(
        [
            ("old", 0, [0]),  # silent from day 1
            ("old", 0, [0, 2, 9]),  # silent from day 3 for six days
            ("old", 0, [0, 1, 2, 3, 4, 5, 6]),  # silent from day 7: three days seen, not told yet
            ("old", 8, [0]),  # two days seen: no silence can be over
            ("new", 0, [0, 4, 8]),  # never silent for four days
        ],
        days=10,
    )
    old, new = life_tables(Activity(units), silence=4)
    # Followed for 10 - 4 = 6 days each.
    assert old.events.tolist() == [0, 1, 0, 1, 0, 0, 0]
    assert old.censored.tolist() == [0, 0, 0, 0, 0, 0, 1]
    assert new.events.sum() == 0
    assert new.censored.tolist() == [0, 0, 0, 0, 0, 0, 1]


@pytest.mark.parametrize("name", ["returned_within_7", "engagement_per_user", "sessions_7"])
def test_means_equal_scipy(document: dict[str, Any], units: UnitDays, name: str) -> None:
    (old,), (new,) = values_of(units, name)
    wanted = stats.ttest_ind(new, old, equal_var=False)
    found = document["metrics"][name]["effects"]["new"]["fixed"]
    close(found["difference"], new.mean() - old.mean())
    close(found["p_value"], wanted.pvalue)
    interval = wanted.confidence_interval(0.95)
    close(found["low"], interval.low)
    close(found["high"], interval.high)


@pytest.mark.parametrize("name", ["ctr", "watched_per_impression", "ctr_7"])
def test_ratios_equal_tea_tasting(document: dict[str, Any], units: UnitDays, name: str) -> None:
    frame = frame_of(units, name)
    wanted = tt.Experiment(it=tt.RatioOfMeans("a", "b")).analyze(frame, control=0)["it"]
    found = document["metrics"][name]["effects"]["new"]["fixed"]
    close(found["p_value"], wanted.pvalue)
    close(found["low"], wanted.effect_size_ci_lower)
    close(found["high"], wanted.effect_size_ci_upper)


def test_covariates_are_taken_out_as_a_regression_does(
    document: dict[str, Any], units: UnitDays
) -> None:
    metric = unit_metric("engagement_per_user", Activity(units))
    history = units.covariates["history"][metric.rows]
    missing = np.isnan(history)
    known = np.column_stack([np.where(missing, np.nanmean(history), history), missing])
    y = metric.columns[0]
    # Deng et al. (2013): theta by least squares over both arms together, arms left out.
    theta = sm.OLS(y, sm.add_constant(known)).fit().params[1:]
    adjusted = y - (known - known.mean(axis=0)) @ theta
    arm = units.arm[metric.rows]
    wanted = stats.ttest_ind(adjusted[arm == 1], adjusted[arm == 0], equal_var=False)
    found = document["metrics"]["engagement_per_user"]["effects"]["new"]
    close(found["cuped"]["fixed"]["p_value"], wanted.pvalue)
    close(found["cuped"]["fixed"]["low"], wanted.confidence_interval(0.95).low)
    assert found["judged"]["method"] == "cuped"
    assert found["cuped"]["variance_reduction"] > 0.05
    width = {
        kind: one["fixed"]["high"] - one["fixed"]["low"]
        for kind, one in (("plain", found), ("cuped", found["cuped"]))
    }
    assert width["cuped"] < width["plain"]


def test_cuped_equals_tea_tasting_where_everything_is_known(units: UnitDays) -> None:
    history = np.nan_to_num(units.covariates["history"], nan=3.0)
    found = analyse_experiment(
        replace(units, covariates={"history": history}), plan_of(primary=["engagement_per_user"])
    )["metrics"]["engagement_per_user"]["effects"]["new"]["cuped"]["fixed"]
    frame = frame_of(units, "engagement_per_user").assign(x=history)
    experiment = tt.Experiment(it=tt.Mean("a", covariate="x"))
    wanted = experiment.analyze(frame, control=0)["it"]
    close(found["p_value"], wanted.pvalue)
    close(found["low"], wanted.effect_size_ci_lower)
    close(found["high"], wanted.effect_size_ci_upper)


def test_corrections_equal_statsmodels(document: dict[str, Any]) -> None:
    rest = [
        metric["effects"]["new"]["judged"]
        for metric in document["metrics"].values()
        if metric["role"] != "primary"
    ]
    told = [one for one in rest if one["p_value"] is not None]
    assert len(told) < len(rest)
    # Those that cannot be tested yet are of the family all the same.
    p_values = [1.0 if one["p_value"] is None else one["p_value"] for one in rest]
    wanted = multipletests(p_values, method="fdr_bh")[1]
    for one, corrected in zip(rest, wanted, strict=True):
        if one["p_value"] is not None:
            close(one["corrected_p_value"], corrected)
    assert {one["correction"] for one in rest} == {"benjamini_hochberg"}
    primary = document["metrics"]["returned_within_7"]["effects"]["new"]["judged"]
    assert primary["correction"] == "holm"


def test_survival_equals_statsmodels(document: dict[str, Any], units: UnitDays) -> None:
    tables = life_tables(Activity(units), silence=14)
    times, events, arms = [], [], []
    for arm, table in enumerate(tables):
        for day in range(table.events.size):
            for happened, count in ((1, table.events[day]), (0, table.censored[day])):
                times += [day] * int(count)
                events += [happened] * int(count)
                arms += [arm] * int(count)
    curve = SurvfuncRight(
        np.array(times)[np.array(arms) == 0], np.array(events)[np.array(arms) == 0]
    )
    survival = document["survival"]["arms"]
    for day, wanted in zip(curve.surv_times, curve.surv_prob, strict=True):
        close(survival["old"]["survival"][int(day)], wanted)
    wanted = survdiff(np.array(times), np.array(events), np.array(arms))[1]
    close(survival["new"]["difference"]["log_rank_p_value"], wanted)


def test_the_last_day_says_what_the_metrics_say(document: dict[str, Any]) -> None:
    for name in ("returned_within_7", "engagement_7", "ctr_7"):
        effect = document["metrics"][name]["effects"]["new"]
        shown = effect if effect["cuped"] is None else effect["cuped"]
        found = document["by_day"][name]["arms"]["new"]["so_far"]
        for end in ("low", "high"):
            assert found[end][-1] == pytest.approx(shown["anytime"][end], rel=1e-9)


@pytest.mark.parametrize("names", [("engagement",), ("clicks", "impressions")])
def test_days_added_one_by_one_equal_days_read_at_once(
    units: UnitDays, names: tuple[str, ...]
) -> None:
    covariate = np.nan_to_num(units.covariates["history"], nan=3.0)
    by_day = growing_by_day(names, Activity(units), covariates=[covariate - covariate.mean()])
    for day in (0, 1, 6, 20):
        exposed = units.exposed_on <= day
        rows = units.row_calendar_day <= day
        for arm in range(2):
            of_arm = exposed & (units.arm == arm)
            columns = [
                np.bincount(
                    units.row_unit[rows], weights=getattr(units, name)[rows], minlength=len(units)
                )[of_arm]
                for name in names
            ]
            wanted = Moments.of(*columns, (covariate - covariate.mean())[of_arm])
            found = by_day.so_far[arm][day]
            assert found.n == wanted.n
            np.testing.assert_allclose(found.mean, wanted.mean, rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(found.centred, wanted.centred, rtol=1e-9, atol=1e-7)


def test_settled_days_equal_the_log_cut_at_that_day(units: UnitDays) -> None:
    plan = plan_of(horizon_days=None, guardrails={}, others=[], running=True)
    whole = analyse_experiment(replace(units, covariates={}), plan)["by_day"]["returned_within_7"]
    for days in (9, 10, 12):
        cut = analyse_experiment(until_day(replace(units, covariates={}), days), plan)
        effect = cut["metrics"]["returned_within_7"]["effects"]["new"]["anytime"]
        found = whole["arms"]["new"]["so_far"]
        assert found["low"][days - 1] == pytest.approx(effect["low"], rel=1e-9)
        assert found["high"][days - 1] == pytest.approx(effect["high"], rel=1e-9)


def test_the_fixed_horizon_is_shown_at_the_declared_end_alone(units: UnitDays) -> None:
    def judged(horizon: int | None) -> dict[str, Any]:
        found = analyse_experiment(units, plan_of(horizon_days=horizon, running=True))
        effect: dict[str, Any] = found["metrics"]["returned_within_7"]["effects"]["new"]
        return {**effect["judged"], "fixed": effect["fixed"]}

    assert judged(None)["interval"] == judged(22)["interval"] == "anytime"
    assert judged(None)["fixed"] is judged(22)["fixed"] is None
    assert judged(21)["interval"] == judged(10)["interval"] == "fixed"
    # An end that lies back is judged by the data of then.
    then = analyse_experiment(until_day(units, 10), plan_of(horizon_days=10))
    wanted = then["metrics"]["returned_within_7"]["effects"]["new"]["judged"]
    close(judged(10)["p_value"], wanted["p_value"])
    assert judged(10)["p_value"] != judged(21)["p_value"]


def test_intervals_of_one_look_are_shown_at_the_declared_end_alone(
    units: UnitDays, document: dict[str, Any]
) -> None:
    def parts(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
        return {
            "who stays": found["survival"]["arms"]["new"],
            "who returns": found["retention"]["curves"]["new"],
            "one day": found["by_day"]["engagement_7"]["arms"]["new"]["each_day"],
        }

    running = analyse_experiment(units, plan_of(horizon_days=22, running=True))
    for name, part in parts(running).items():
        ended = parts(document)[name]
        for point in ("survival", "rate", "difference", "mean_days"):
            if point in part and name != "who stays":
                assert part[point] == ended[point]
        assert set(part["low"]) == set(part["high"]) == {None}
        assert set(ended["low"]) != {None}
    stay, stayed = (found["survival"]["arms"]["new"] for found in (running, document))
    assert stay["mean_days"] == stayed["mean_days"]
    assert stay["survival"] == stayed["survival"]
    difference = stay["difference"]
    assert difference["log_rank_p_value"] is None
    assert stayed["difference"]["log_rank_p_value"] is not None
    assert difference["mean_days"]["low"] is difference["mean_days"]["p_value"] is None
    assert "declared end" in difference["mean_days"]["reason"]
    close(difference["mean_days"]["difference"], stayed["difference"]["mean_days"]["difference"])
    for found, told in ((running, True), (document, False)):
        page = analysis_page({**found, "source": {"kind": "run"}})
        assert ("No bands: intervals and tests of a single look" in page) == told
        assert not re.search(r"\bnan\b", page)


def test_anytime_intervals_hold_the_fixed_ones(document: dict[str, Any]) -> None:
    for metric in document["metrics"].values():
        effect = metric["effects"]["new"]
        if metric["kind"] != "quantile" and effect["fixed"]["low"] is not None:
            assert effect["anytime"]["low"] < effect["fixed"]["low"]
            assert effect["fixed"]["high"] < effect["anytime"]["high"]


def test_quantiles_have_no_interval_before_the_end(units: UnitDays) -> None:
    plan = with_metrics(plan_of(horizon_days=None), ["engagement_median"])
    effect = analyse_experiment(units, plan)["metrics"]["engagement_median"]["effects"]["new"]
    assert effect["judged"]["low"] is None
    assert "declared end" in effect["judged"]["reason"]
    assert effect["judged"]["corrected_p_value"] is None


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


def test_segments_add_up_and_are_corrected(document: dict[str, Any], units: UnitDays) -> None:
    segment = document["segments"]["new"]["labels"]
    for arm in ("old", "new"):
        total = sum(label["units"][arm] for label in segment.values())
        assert total == document["arms"][arm]["units"]
    metric = unit_metric("returned_within_7", Activity(units))
    known = units.segments["new"][metric.rows] == 0
    of = units.arm[metric.rows]
    y = metric.columns[0]
    found = segment["known"]["metrics"]["returned_within_7"]["new"]
    assert found["difference"] == pytest.approx(
        y[known & (of == 1)].mean() - y[known & (of == 0)].mean(), abs=0.02
    )
    assert found["corrected_p_value"] >= found["p_value"]
    assert document["segments"]["taste"] == {"missing": True, "labels": {}}


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


def test_the_document_is_json_and_a_pure_function(units: UnitDays) -> None:
    plan = plan_of()
    first, second = (json.dumps(analyse_experiment(units, plan), allow_nan=False) for _ in range(2))
    assert first == second
    assert json.loads(first)["schema_version"] == 1


@pytest.mark.parametrize("seed", range(40))
def test_no_log_is_too_odd(seed: int) -> None:
    rng = np.random.default_rng(seed)
    arms = ("old", "new", "third")[: rng.integers(1, 4)]
    days, n = int(rng.integers(1, 45)), int(rng.choice([1, 2, 5, 30, 200]))
    visits = []
    for first in rng.integers(0, min(days, 7), n).tolist():
        later = 1 + np.flatnonzero(rng.random(days - 1 - first) < rng.random())
        visits.append((str(rng.choice(arms)), first, [0, *later.tolist()]))
    units = by_hand(visits, days=days, arms=arms)
    rows, known = units.row_unit.size, rng.normal(size=n)
    known[rng.random(n) < 0.3] = np.nan
    units = replace(
        units,
        clicks=rng.integers(0, 3, rows) * int(rng.integers(0, 2)),
        impressions=rng.integers(0, 3, rows) * int(rng.integers(0, 2)),
        engagement=rng.random(rows) * rng.integers(0, 2),
        # As of a service whose last day is not over.
        observed=np.maximum(units.observed - rng.integers(0, 2), 0).astype(np.int32),
        covariates={"history": known},
        segments={"activity": rng.integers(-1, 3, n).astype(np.int16)},
        segment_labels={"activity": ("low", "middle", "high")},
    )
    plan = replace(
        plan_of(
            minimum_units=int(rng.choice([2, 10, 100])),
            horizon_days=None if seed % 2 else int(rng.integers(1, 45)),
            running=bool(seed % 3),
        ),
        weights=dict.fromkeys(arms, 1 / len(arms)),
    )
    document = analyse_experiment(units, with_metrics(plan, list(METRIC_LIST)))
    json.dumps(document, allow_nan=False)
    told = {**document, "source": {"kind": "run"}}
    assert document["verdict"]["headline"] in analysis_text(told, every=True)
    assert "</html>" in analysis_page(told)


def test_the_name_of_no_metric_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"metric must be one of .* got 'clicks'"):
        with_metrics(plan_of(), ["clicks"])


def frame_of(units: UnitDays, name: str) -> pd.DataFrame:
    metric = unit_metric(name, Activity(units))
    columns: Iterable[tuple[str, Any]] = zip("ab", metric.columns, strict=False)
    return pd.DataFrame({"variant": units.arm[metric.rows].astype(int), **dict(columns)})


def test_hand_made_units_are_what_they_say() -> None:
    units = by_hand([("old", 1, [0, 2])], days=5)
    assert units.observed.tolist() == [4]
    assert units.row_calendar_day.tolist() == [1, 3]
    assert math.isclose(units.engagement.sum(), 1.0)
