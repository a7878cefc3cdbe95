"""Sums by unit and day of a real run: those of the unit tables, from its log and its export."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from matinee_platform.analysis.unit_days.records import UnitDays
from matinee_platform.analysis.unit_days.run_log import read_run_unit_days
from matinee_platform.analysis.unit_table import read_unit_table
from matinee_platform.json_file import read_json, write_json
from matinee_platform.log_export import export_log
from matinee_platform.run_settings import run_settings
from matinee_policies.errors import DataError


def test_sums_are_those_of_the_unit_tables(tiny_run: Path) -> None:
    settings = run_settings(tiny_run)
    days = read_run_unit_days(tiny_run)
    assert days.arms == tuple(arm.name for arm in settings.arms)
    assert days.several_arms.size == days.orphan_rewards == 0
    for place, name in enumerate(days.arms):
        table = read_unit_table(tiny_run, name, days=settings.days)
        own = days.arm == place
        assert days.unit[own].tolist() == table.unit.tolist()
        assert days.exposed_on[own].tolist() == table.exposure_day.tolist()
        assert (days.observed == settings.days - days.exposed_on).all()
        active = np.zeros((len(days), settings.days), dtype=np.bool_)
        active[days.row_unit, days.row_calendar_day] = True
        assert (active[own] == table.active).all()
        assert (days.row_day == days.row_calendar_day - days.exposed_on[days.row_unit]).all()
        for metric in ("sessions", "pages", "impressions", "clicks", "engagement"):
            sums = np.bincount(days.row_unit, getattr(days, metric), len(days))[own]
            np.testing.assert_allclose(sums, getattr(table, metric), rtol=1e-12, err_msg=metric)
    assert days.fallbacks.sum() == 0
    assert days.clicks.sum() > 100


def test_an_export_gives_the_same(tiny_run: Path, tmp_path: Path) -> None:
    arms = [arm.name for arm in run_settings(tiny_run).arms]
    export_log(tiny_run, arms, tmp_path / "parquet", report=lambda line: None)
    one, two = read_run_unit_days(tiny_run), read_run_unit_days(tiny_run, log=tmp_path / "parquet")
    for field in fields(UnitDays):
        left, right = getattr(one, field.name), getattr(two, field.name)
        if isinstance(left, dict):
            assert list(left) == list(right)
            for key in left:
                np.testing.assert_array_equal(left[key], right[key])
        else:
            np.testing.assert_array_equal(left, right)
    # The state is in thousands of rows, of which only the first of a unit counts.
    assert one.segment_labels["taste"][0] == "Action"
    assert {"new", "activity", "taste"} == set(one.segments)


def test_a_paired_run_is_refused(tiny_run: Path, tmp_path: Path) -> None:
    write_json(tmp_path / "settings.json", {**read_json(tiny_run / "settings.json")} | PAIRED)
    with pytest.raises(DataError, match=r"design must be ab: .* got 'paired'"):
        read_run_unit_days(tmp_path)


PAIRED = {"design": "paired"}
