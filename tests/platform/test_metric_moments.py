"""Moments of many metrics in shared passes, side by side: the bits of each made by itself."""

import threading
from functools import partial

import numpy as np
import pytest

from matinee_platform.analysis import side_by_side as threads
from matinee_platform.analysis.experiment.activity import Activity
from matinee_platform.analysis.experiment.analysis import analyse_experiment
from matinee_platform.analysis.experiment.covariates import covariates_of
from matinee_platform.analysis.experiment.metric_list import METRIC_LIST
from matinee_platform.analysis.experiment.metric_moments import metric_moments
from matinee_platform.analysis.experiment.plan import with_metrics
from matinee_platform.analysis.experiment.unit_metrics import unit_metric
from matinee_platform.analysis.inference.moments import moments_by_group
from stats.units_by_hand import drawn, plan_of


def test_shared_passes_give_the_bits_of_single_ones() -> None:
    units = drawn()
    found, covariates = Activity(units), covariates_of(units)
    together = metric_moments(METRIC_LIST, found, covariates, kept=("d7",))
    assert list(together) == list(METRIC_LIST)
    for name, one in together.items():
        metric = unit_metric(name, found)
        arm = units.arm[metric.rows].astype(np.int64)
        known = [column[metric.rows] for column in covariates.columns]
        alone = moments_by_group([*metric.columns, *known], arm, groups=len(units.arms))
        for shared, single in zip(one.by_arm, alone, strict=True):
            assert shared.n == single.n
            np.testing.assert_array_equal(shared.mean, single.mean)
            np.testing.assert_array_equal(shared.centred, single.centred)
        sums = [
            np.bincount(arm, weights=column, minlength=len(units.arms)) for column in metric.columns
        ]
        np.testing.assert_array_equal(one.sums, [*sums, np.bincount(arm, minlength=2)])
        assert (one.held is not None) == (name == "d7")


def test_an_analysis_does_not_depend_on_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    plan, units = with_metrics(plan_of(), list(METRIC_LIST)), drawn()
    alone = analyse_experiment(units, plan)
    monkeypatch.setattr(threads, "MANY_UNITS", 0)
    for number in (1, 2, 5):
        monkeypatch.setattr(threads, "THREADS", number)
        assert analyse_experiment(units, plan) == alone


def test_parts_run_side_by_side_and_answer_in_order() -> None:
    both = threading.Barrier(2, timeout=30)

    def part(number: int) -> int:
        both.wait()
        return number

    parts = [partial(part, number) for number in (3, 1)]
    assert threads.side_by_side(parts, units=threads.MANY_UNITS) == [3, 1]


def test_the_error_of_a_part_is_told() -> None:
    with pytest.raises(ZeroDivisionError):
        threads.side_by_side([partial(divmod, 1, 0)], units=threads.MANY_UNITS)
