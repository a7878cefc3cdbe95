"""The statistical promises in their quick form: small sizes, bars widened by four errors."""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy import special

from matinee_platform.analysis.inference.confidence_sequence import (
    Tuning,
    always_valid,
    critical_values,
    effective_units,
    p_values,
)
from matinee_platform.analysis.inference.cuped import adjusted, with_missing_indicator
from matinee_platform.analysis.inference.moments import Moments
from matinee_platform.analysis.inference.ratio import linearise
from matinee_platform.analysis.planning.moment_sums import MomentSums
from matinee_platform.analysis.unit_metrics import unit_metric
from matinee_platform.analysis_settings import AnalysisSettings
from matinee_platform.data_source import VARIABLE
from matinee_policies.arrays import UInt64Array
from matinee_policies.records import ContextBatch, SlateBatch
from matinee_policies.softmax import Softmax, SoftmaxConfig
from promises import Promise
from stats import (
    any_time,
    bad_logs,
    coverage,
    fair_arms,
    false_alarms,
    lost_exposure,
    ope_equality,
    ope_intervals,
    ope_truth,
    sampling_law,
    stated_power,
)
from stats.effort import FULL, QUICK, Effort
from stats.made_up_units import Units, made_up, made_up_log, truth
from stats.many_looks import looks_at
from stats.ope_truth import Truths, measure_truths
from stats.ope_truth_table import tables
from stats.ope_world import LOGGING, UNIFORM
from stats.results_page import (
    BEGIN,
    END,
    OPE_BEGIN,
    OPE_END,
    update_results,
    write_results,
    write_tables,
)

ROOT = Path(__file__).parents[1]


def _broken(promises: list[Promise]) -> list[str]:
    assert promises
    return [f"{one.name}: {one.measured}" for one in promises if not one.kept]


@pytest.mark.parametrize(
    "measure",
    [
        coverage.measure,
        ope_intervals.measure,
        stated_power.measure,
        fair_arms.measure,
        ope_equality.measure,
        sampling_law.measure,
        bad_logs.measure,
    ],
    ids=["S3", "S3-ope", "S4", "S6", "S7", "S8", "S10"],
)
def test_made_up_experiments_keep_the_promises(measure: Callable[[Effort], list[Promise]]) -> None:
    assert _broken(measure(QUICK)) == []


def test_a_sequence_errs_as_often_as_it_says_and_no_more() -> None:
    # Seen on all scales of time at once it spends all of its 5 %, less what lies between looks.
    tuning = Tuning(float(AnalysisSettings().tuned_for_units))
    t = tuning.units * np.logspace(-5, 5, 500)
    rng = np.random.default_rng(7)
    paths, alarms = 8_000, 0
    for _ in range(4):
        steps = rng.normal(size=(paths // 4, t.size)) * np.sqrt(np.diff(t, prepend=0.0))
        z = steps.cumsum(axis=1) / np.sqrt(t)
        alarms += int((p_values(z, t, tuning=tuning) < 0.05).any(axis=1).sum())
    share, error = alarms / paths, (0.05 * 0.95 / paths) ** 0.5
    assert 0.035 - 4 * error < share < 0.05 + 4 * error


@pytest.mark.parametrize("case", stated_power.CASES, ids=lambda case: case.name)
def test_a_plan_states_the_power_that_truth_and_spread_give(case: stated_power.Case) -> None:
    plan = stated_power.plan_of(case)
    arms = [_crowd(case.lift), _crowd(0.0)]
    first, second = stated_power.moments_of(case, *arms)
    true, without = truth(lift=case.lift), truth()
    effect = {
        "clicks": true.clicks - without.clicks,
        "ctr": true.ctr - without.ctr,
        "returned": true.stayed - without.stayed,
    }[case.name.split()[0].rstrip(",")]
    units = np.array([case.share, 1 - case.share]) * plan.units
    error = np.sqrt(first.variance / units[0] + second.variance / units[1])
    critical = float(special.ndtri(0.975))
    if case.always_valid:
        tuning = Tuning(float(AnalysisSettings().tuned_for_units))
        critical = float(critical_values(effective_units(*units), tuning=tuning))
    # Without the noise of experiments two points are enough to tell a plan that errs.
    assert abs(special.ndtr(effect / error - critical) - case.power) < 0.02


@cache
def _crowd(lift: float) -> Units:
    return made_up(np.random.default_rng([44, round(1_000 * lift)]), 150_000, lift=lift)


def test_a_lost_exposure_is_found_as_often_as_chi_square_should() -> None:
    promises = lost_exposure.measure(QUICK)
    assert _broken(promises) == []
    found = {one.name: one.measured for one in promises}
    share = float(found["S5 5% of an arm lost, at the end"].split("%")[0]) / 100
    # Of 30,000 users 750 are gone from one arm: 4.4 standard errors of what is left.
    critical = float(special.ndtri(1 - 0.001 / 2))
    wanted = float(special.ndtr(750 / np.sqrt(29_250) - critical))
    assert abs(share - wanted) < 4 * np.sqrt(wanted * (1 - wanted) / QUICK.splits)


@pytest.fixture(scope="module")
def truths() -> Iterator[Truths]:
    """Of the synthetic catalogue, whatever real data the tests may use elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(VARIABLE, raising=False)
        yield measure_truths(QUICK, logs=QUICK.logs, logging=LOGGING)


def test_off_policy_values_hold_the_truth_of_simulated_users(truths: Truths) -> None:
    found = ope_truth.promises(truths, QUICK)
    assert _broken(found) == []
    assert any(one.name.startswith("S9") for one in found)
    # Sums over slots miss what users think of the items above; that the logs can tell it.
    above = np.array(truths.estimators["snips", None].gaps)
    assert above.mean() > 4 * above.std() / math.sqrt(above.size)


def test_estimators_that_are_off_break_a_promise(truths: Truths) -> None:
    wrong = copy.deepcopy(truths)
    for key in [("cascade_dr", None), ("ips", 0)]:
        wrong.estimators[key].gaps = [gap + 0.06 for gap in wrong.estimators[key].gaps]
    for held in (
        wrong.intervals["cascade", "Cressie-Read"].covered,
        wrong.estimators[wrong.headline, None].covered,
    ):
        held[: len(held) // 2] = [False] * (len(held) // 2)
    broken = _broken(ope_truth.promises(wrong, QUICK))
    assert [line.split(":")[0].split(",")[0] for line in broken] == [
        "OPE mean of cascade_dr",
        "OPE mean of ips",
        f"S3 Cressie-Read of {QUICK.logs} logs",
        "S9 page reward at the logged contexts",
    ]


def test_the_tables_of_off_policy_values_tell_every_estimator(truths: Truths) -> None:
    uniform = measure_truths(replace(QUICK, log_users=120), logs=2, logging=UNIFORM)
    text = tables(truths, uniform)
    for name in ("IPS of slots (IIPS)", "cascade-DR", "DRos", "replay", "Cressie-Read", "anytime"):
        assert f"| {name} |" in text
    assert "nan" not in text


def test_draws_from_another_law_than_the_logged_one_are_seen() -> None:
    class ExploresMore(Softmax):
        def decide(self, contexts: ContextBatch, *, slots: int, keys: UInt64Array) -> SlateBatch:
            other = Softmax(SoftmaxConfig(temperature=0.33))
            return other.decide(contexts, slots=slots, keys=keys)

    honest, forged = (kind(SoftmaxConfig(temperature=0.3)) for kind in (Softmax, ExploresMore))
    assert sampling_law.p_values(honest, draws=QUICK.draws).min() > sampling_law.LEAST
    assert sampling_law.p_values(forged, draws=QUICK.draws).min() < sampling_law.LEAST


def test_a_log_assigned_anew_keeps_the_promises() -> None:
    log = made_up_log(1, units=QUICK.users)
    assert _broken(false_alarms.measure(log, QUICK)) == []
    found = any_time.measure(log, QUICK)
    assert _broken(found) == []
    # What the view replaces would be alarmed in vain, or nothing was shown.
    assert len(found) == 14
    assert all(float(one.measured.split()[-1].rstrip("%")) > 15 for one in found)


@pytest.mark.parametrize("name", ["ctr", "sessions_7"])
@pytest.mark.parametrize("adjusts", [False, True])
def test_many_looks_are_those_of_one_at_a_time(name: str, adjusts: bool) -> None:
    log = made_up_log(2, units=300)
    some = np.random.default_rng(2).random((3, 300)) < 0.5
    metric, tuning = unit_metric(log, name), Tuning(200)
    columns = MomentSums(metric, log.covariates)
    ends = [40, 150, 300]
    sums = np.stack(
        [
            [[columns.rows(np.flatnonzero(arm[:end])).sum(axis=0) for end in ends] for arm in arms]
            for arms in (~some, some)
        ]
    )
    found = looks_at(columns, sums, tuning=tuning, adjusts=adjusts)
    for salt, treated in enumerate(some):
        for look, end in enumerate(ends):
            arms = []
            for arm in (treated, ~treated):
                chosen = metric.units & arm & (np.arange(300) < end)
                known = with_missing_indicator(log.covariates["history"][metric.units])
                own = chosen[metric.units]
                arms.append(Moments.of(*(column[own] for column in (*metric.columns, *known))))
            ratios = len(metric.columns) - 1
            if adjusts:
                both = adjusted(*arms, ratios=ratios)
                pair = [both.treatment, both.control]
            else:
                pair = [linearise(arm) if ratios else arm for arm in arms]
            effect = always_valid(pair[0], pair[1], tuning=tuning)
            assert found.p_value[salt, look] == pytest.approx(effect.p_value, rel=1e-9)
            z = effect.difference / effect.standard_error
            assert found.z[salt, look] == pytest.approx(z, rel=1e-9)


def test_looks_without_units_raise_no_alarm() -> None:
    columns = MomentSums(unit_metric(made_up_log(2, units=50), "ctr"), {})
    found = looks_at(columns, np.zeros((2, 1, 1, columns.width)), tuning=Tuning(10))
    assert found.p_value.tolist() == [[1.0]]
    assert np.isnan(found.z).all()


def test_bars_are_the_promise_itself_in_the_full_form() -> None:
    assert FULL.at_most(0.05, 0.05, trials=1_000)
    assert not FULL.at_most(0.051, 0.05, trials=1_000)
    assert QUICK.at_most(0.1, 0.05, trials=100)
    assert not QUICK.at_least(0.6, 0.8, trials=100)


def test_the_table_stands_between_its_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    kept = Promise(name="S1 ctr", measured="5.1 %", asked="5 %", kept=True)
    write_results(page, [kept, replace(kept, kept=False)], facts="Quick form.")
    assert page.read_text(encoding="utf-8").splitlines() == [
        "before",
        BEGIN,
        "Quick form.",
        "",
        "| promise | measured | asked | kept |",
        "|---|---|---|---|",
        "| S1 ctr | 5.1 % | 5 % | yes |",
        "| S1 ctr | 5.1 % | 5 % | **no** |",
        "",
        END,
        "after",
    ]
    assert BEGIN in (ROOT / "docs" / "statistics.md").read_text(encoding="utf-8")
    update_results(page, [replace(kept, measured="4 %"), replace(kept, name="S0 new")])
    assert page.read_text(encoding="utf-8").splitlines()[2:9] == [
        "Quick form.",
        "",
        "| promise | measured | asked | kept |",
        "|---|---|---|---|",
        "| S1 ctr | 4 % | 5 % | yes |",
        "| S1 ctr | 5.1 % | 5 % | **no** |",
        "| S0 new | 5.1 % | 5 % | yes |",
    ]
    page.write_text(f"a\n{OPE_BEGIN}\n{OPE_END}\nb\n{BEGIN}\n{END}\n", encoding="utf-8")
    write_tables(page, "| x |")
    assert page.read_text(encoding="utf-8").splitlines()[:6] == [
        "a",
        OPE_BEGIN,
        "| x |",
        "",
        OPE_END,
        "b",
    ]
    assert OPE_BEGIN in (ROOT / "docs" / "statistics.md").read_text(encoding="utf-8")
    page.write_text("none", encoding="utf-8")
    with pytest.raises(ValueError, match="must hold the lines"):
        write_results(page, [kept], facts="")
