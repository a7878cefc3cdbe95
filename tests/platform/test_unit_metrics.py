"""Metrics as columns against the same counted user by user, in plain Python."""

import numpy as np
import pytest

from matinee_platform.analysis.unit_days.records import UnitDays
from matinee_platform.analysis.unit_metrics import METRICS, unit_metric
from matinee_policies.errors import ConfigError
from stats.made_up_units import made_up_log

LOG = made_up_log(1, units=300, days=33)


def _rows(log: UnitDays, unit: int) -> list[dict[str, float]]:
    columns = ("row_day", "sessions", "pages", "impressions", "clicks", "engagement")
    places = np.flatnonzero(log.row_unit == unit)
    return [{name: float(getattr(log, name)[place]) for name in columns} for place in places]


def _by_hand(log: UnitDays, name: str) -> dict[int, tuple[float, ...]]:
    """Columns of each unit that the metric speaks of."""
    found: dict[int, tuple[float, ...]] = {}
    for unit in range(len(log)):
        rows, observed = _rows(log, unit), int(log.observed[unit])
        active = {int(row["row_day"]) for row in rows}

        def total(column: str, below: int = 99, rows: list[dict[str, float]] = rows) -> float:
            return sum(row[column] for row in rows if row["row_day"] < below)

        if name == "ctr":
            found[unit] = total("clicks"), total("impressions")
        elif name == "watched_per_impression":
            found[unit] = total("engagement"), total("impressions")
        elif name in ("engagement_per_user", "sessions_per_user"):
            found[unit] = (total(name.split("_")[0]),)
        elif name in ("engagement_7", "sessions_7", "sessions_28"):
            column, window = name.split("_")
            if observed >= int(window):
                found[unit] = (total(column, int(window)),)
        elif name in ("d1", "d7", "d28"):
            if observed > int(name[1:]):
                found[unit] = (float(int(name[1:]) in active),)
        elif name == "returned_within_7":
            if observed > 7:
                found[unit] = (float(bool(active & set(range(1, 8)))),)
        elif observed >= 28:
            days = len([day for day in active if day < 28])
            found[unit] = float(days), 28.0 * bool(days)
    return found


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_is_what_one_counts_by_hand(name: str) -> None:
    metric, expected = unit_metric(LOG, name), _by_hand(LOG, name)
    assert np.flatnonzero(metric.units).tolist() == list(expected)
    found = np.stack(metric.columns, axis=1)
    assert found == pytest.approx(np.array(list(expected.values())), rel=1e-12)
    assert set(np.unique(metric.values)) <= {0.0, 1.0} or not metric.proportion


def test_who_has_not_matured_is_on_neither_side() -> None:
    metric = unit_metric(LOG, "d28")
    assert 0 < metric.units.sum() < len(LOG)
    assert (LOG.observed[metric.units] > 28).all()
    assert (LOG.observed[~metric.units] <= 28).all()
    assert metric.window_days == 29


def test_an_unknown_metric_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"metric must be one of ctr, .* got 'd3'"):
        unit_metric(LOG, "d3")
