"""The figures of an analysis against numbers made by hand and by other libraries."""

import json
import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm  # type: ignore[import-untyped]
import tea_tasting as tt  # type: ignore[import-untyped]
from scipy import stats
from statsmodels.stats.multitest import multipletests  # type: ignore[import-untyped]

from matinee_platform.analysis.experiment.activity import Activity
from matinee_platform.analysis.experiment.analysis import analyse_experiment
from matinee_platform.analysis.experiment.metric_list import METRIC_LIST
from matinee_platform.analysis.experiment.plan import with_metrics
from matinee_platform.analysis.experiment.unit_metrics import unit_metric
from matinee_platform.analysis.unit_days.records import UnitDays
from matinee_platform.report.analysis_page import analysis_page
from matinee_platform.report.analysis_text import analysis_text
from matinee_policies.errors import ConfigError
from stats.units_by_hand import by_hand, drawn, plan_of


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
