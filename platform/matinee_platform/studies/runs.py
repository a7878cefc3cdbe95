"""Run an experiment to be read at once and thrown away, and read what its users did."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from matinee_platform.analysis.unit_table import read_unit_table
from matinee_platform.decision_log import read_parts
from matinee_platform.offline.arm_process import run_arms
from matinee_platform.offline.arm_state import first_snapshots
from matinee_platform.offline.child_processes import one_blas_thread
from matinee_platform.offline.prepare import Prepared
from matinee_platform.offline.run import check_settings, run_experiment
from matinee_platform.settings import ExperimentSettings
from matinee_policies.arrays import FloatArray, UInt64Array


@contextmanager
def finished_run(settings: ExperimentSettings, *, workers: int) -> Iterator[Path]:
    """The folder of a run with all its results, which goes when the body ends."""
    with tempfile.TemporaryDirectory(prefix="matinee-") as folder:
        run = Path(folder) / "run"
        run_experiment(settings, run, workers=workers)
        yield run


@contextmanager
def logged_run(settings: ExperimentSettings, shared: Prepared, *, workers: int) -> Iterator[Path]:
    """The folder of a run with its log alone, which goes when the body ends.

    Args:
        settings: of the experiment.
        shared: prepared for it, or for one that differs in arms and days alone.
        workers: processes.
    """
    check_settings(settings)
    with tempfile.TemporaryDirectory(prefix="matinee-") as folder:
        run = Path(folder)
        initial = first_snapshots(settings, shared.model.items)
        replace(shared, initial=initial).save(run)
        with one_blas_thread():
            run_arms(settings, run, workers=workers, report=lambda day: None)
        yield run


def clicks_by_unit(run: Path, arm: str, *, days: int) -> dict[int, float]:
    """Clicks of each exposed unit of an arm, by pseudonym."""
    table = read_unit_table(run, arm, days=days)
    return dict(zip(table.unit.tolist(), table.clicks.astype(np.float64).tolist(), strict=True))


def regret_by_unit(
    run: Path, arm: str, *, first: int, last: int
) -> tuple[UInt64Array, FloatArray, FloatArray]:
    """Clicks that pages left on the table, by unit, over days `first` to `last`.

    Returns:
        Units, rising, their regret to the oracle's greedy page, summed over the pages that were
        compared, and the number of these.
    """
    units, low = [np.zeros(0, dtype=np.uint64)], [np.zeros(0)]
    for day in range(first, last + 1):
        for rows in read_parts(run, "regret", arm, day=day):
            units.append(rows["unit"].to_numpy())
            gap = rows["greedy_clicks"].to_numpy() - rows["expected_clicks"].to_numpy()
            low.append(np.maximum(gap, 0.0))
    found, place = np.unique(np.concatenate(units), return_inverse=True)
    total = np.bincount(place, weights=np.concatenate(low), minlength=found.size)
    pages = np.bincount(place, minlength=found.size).astype(np.float64)
    return found, total.astype(np.float64), pages


def on_same_units(
    one: tuple[UInt64Array, FloatArray, FloatArray],
    other: tuple[UInt64Array, FloatArray, FloatArray],
) -> tuple[tuple[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]:
    """Sums and counts of two arms, as `regret_by_unit` gives them, over all units of both."""
    units = np.union1d(one[0], other[0])
    return _placed(one, units), _placed(other, units)


def aligned(one: dict[int, float], other: dict[int, float]) -> tuple[FloatArray, FloatArray]:
    """Two numbers per unit over all units of either; 0 where a unit was never exposed."""
    units = sorted({*one, *other})
    return (
        np.array([one.get(unit, 0.0) for unit in units]),
        np.array([other.get(unit, 0.0) for unit in units]),
    )


def _placed(
    sums: tuple[UInt64Array, FloatArray, FloatArray], units: UInt64Array
) -> tuple[FloatArray, FloatArray]:
    place = np.searchsorted(units, sums[0])
    total, count = np.zeros(units.size), np.zeros(units.size)
    total[place], count[place] = sums[1], sums[2]
    return total, count
