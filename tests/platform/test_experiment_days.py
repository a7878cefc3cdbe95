"""An analysis over time: what is told of each day, at the declared end, and of who stays."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from statsmodels.duration.survfunc import (  # type: ignore[import-untyped]
    SurvfuncRight,
    survdiff,
)

from matinee_platform.analysis.experiment.activity import Activity
from matinee_platform.analysis.experiment.analysis import analyse_experiment
from matinee_platform.analysis.experiment.by_day import growing_by_day
from matinee_platform.analysis.experiment.lifetimes import life_tables
from matinee_platform.analysis.experiment.metric_list import METRIC_LIST
from matinee_platform.analysis.experiment.plan import with_metrics
from matinee_platform.analysis.experiment.unit_metrics import unit_metric
from matinee_platform.analysis.experiment.until_day import until_day
from matinee_platform.analysis.inference.moments import Moments
from matinee_platform.analysis.unit_days.records import UnitDays
from matinee_platform.report.analysis_page import analysis_page
from stats.units_by_hand import by_hand, drawn, plan_of


@pytest.fixture(scope="module")
def units() -> UnitDays:
    return drawn()


@pytest.fixture(scope="module")
def document(units: UnitDays) -> dict[str, Any]:
    return analyse_experiment(units, with_metrics(plan_of(), list(METRIC_LIST)))


def close(found: float, wanted: float) -> None:
    assert found == pytest.approx(wanted, rel=1e-9, abs=1e-12)


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
        # Each day alone is drawn beside the sequence, of the primary metric.
        assert page.count("effect of each day alone") == 1
        assert "of the units that were exposed on that day." in page
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


def test_what_waits_for_rewards_counts_when_their_window_is_over() -> None:
    # Both units have seen seven days; rewards of the second one's last day may still come.
    units = by_hand([("old", 0, [0, 6]), ("new", 1, [0, 6])], days=8)
    waiting = replace(units, rewarded=np.array([7, 6], dtype=np.int32))
    found = Activity(waiting)
    for name in ("engagement_7", "ctr_7"):
        assert unit_metric(name, Activity(units)).rows.tolist() == [0, 1]
        assert unit_metric(name, found).rows.tolist() == [0]
        # The window may reach into the day after, so that is when the unit counts.
        assert unit_metric(name, Activity(units)).since.tolist() == [6, 7]
        assert unit_metric(name, found).since.tolist() == [7]
    assert unit_metric("sessions_7", found).rows.tolist() == [0, 1]
    assert unit_metric("active_days_7", found).since.tolist() == [6, 7]
    # Cut at the seventh day, rewards of that day are not all there.
    then = until_day(waiting, 7)
    assert then.observed.tolist() == [7, 6]
    assert then.rewarded is not None
    assert then.rewarded.tolist() == [6, 5]
