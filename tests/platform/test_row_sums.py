"""Rows of units and days summed by unit, in narrow kinds, against plain numpy."""

from dataclasses import replace

import numpy as np
import pytest

from matinee_platform.analysis.experiment import row_sums
from matinee_platform.analysis.experiment.activity import SUMS, Activity
from matinee_platform.analysis.experiment.row_sums import days_by_unit, sums_by_unit
from matinee_platform.analysis.unit_days.first_states import FirstStates
from matinee_platform.analysis.unit_days.gathered import Gathered, unit_days
from matinee_platform.analysis.unit_days.records import UnitDays
from matinee_policies.arrays import AnyArray
from stats.made_up_units import made_up_log


def _many(seed: int = 5) -> UnitDays:
    """A log with days far out, rows without pages and a unit without rows."""
    log = made_up_log(seed, units=400, days=30)
    rng = np.random.default_rng(seed)
    row_unit = np.where(log.row_unit == 7, 8, log.row_unit).astype(np.int32)
    return replace(
        log,
        row_unit=row_unit,
        row_day=np.where(rng.random(row_unit.size) < 0.05, 70, log.row_day).astype(np.int16),
        pages=np.where(rng.random(row_unit.size) < 0.1, 0, log.pages).astype(np.uint8),
    )


@pytest.mark.parametrize("at_once", [97, 2**15])
@pytest.mark.parametrize("last", [None, 6])
def test_sums_are_those_of_numpy(
    monkeypatch: pytest.MonkeyPatch, at_once: int, last: int | None
) -> None:
    monkeypatch.setattr(row_sums, "ROWS_AT_ONCE", at_once)
    log = _many()
    for name in SUMS:
        kept = log.row_day <= (1_000 if last is None else last)
        wanted = np.bincount(log.row_unit, getattr(log, name) * kept, minlength=len(log))
        assert sums_by_unit(log, name, last=last).tolist() == pytest.approx(wanted.tolist())
    assert sums_by_unit(log, "pages", last=last)[7] == 0.0


def test_days_are_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_sums, "ROWS_AT_ONCE", 61)
    log = _many()
    wanted = [0] * len(log)
    for unit, day, pages in zip(log.row_unit, log.row_day, log.pages, strict=True):
        wanted[unit] |= (1 << min(int(day), 63)) if pages else 0
    assert days_by_unit(log, last_bit=63).tolist() == wanted


def test_an_arm_has_the_sums_of_its_units() -> None:
    log = _many()
    found = Activity(log)
    for name in SUMS:
        own = [getattr(log, name)[log.arm[log.row_unit] == arm] for arm in range(2)]
        assert found.arm_totals(name) == pytest.approx([one.sum(dtype=float) for one in own])


def test_narrow_counts_of_one_day_add_up_beyond_their_kind() -> None:
    def pieces(*values: int) -> list[AnyArray]:
        return [np.array([one], dtype=np.uint8) for one in values]

    # A unit whose day came in three parts of a log: 600 pages do not fit a byte.
    found = unit_days(
        Gathered(
            arms=("a",),
            unit=np.array([9], dtype=np.uint64),
            arm=np.zeros(1, dtype=np.int16),
            several=np.zeros(1, dtype=np.bool_),
            exposed_at=np.zeros(1, dtype=np.int64),
            exposed_on=np.zeros(1, dtype=np.int32),
            observed=np.full(1, 3, dtype=np.int32),
            states=FirstStates(),
            rows={
                "row_unit": [np.zeros(1, dtype=np.int32)] * 3,
                "row_day": pieces(2, 2, 2),
                "row_calendar_day": pieces(2, 2, 2),
                "pages": pieces(200, 200, 200),
                "impressions": pieces(250, 250, 250),
                "clicks": pieces(90, 90, 90),
                "engagement": [np.array([0.25])] * 3,
                "fallbacks": pieces(0, 0, 0),
            },
            days=3,
            orphan_rewards=0,
        )
    )
    (row,) = zip(found.pages, found.impressions, found.clicks, found.engagement, strict=True)
    assert row == (600, 750, 270, 0.75)
    assert found.row_day.tolist() == found.row_calendar_day.tolist() == [2]
    assert Activity(found).total("impressions").tolist() == [750.0]
