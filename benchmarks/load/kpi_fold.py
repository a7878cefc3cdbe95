"""What the key figures of a large live experiment take: rows, looks, their file, memory.

    PYTHONPATH=benchmarks python -m load.kpi_fold [--units 100000 1000000] [--json]

Each size is a process of its own. A state of that many units is made up; then 100,000 rows of a
SQLite log (80,000 decisions of random ones of these units, one in ten of a new one, and 20,000
clicks) are folded as the process of the key figures does, without its rests. CPU seconds hold on a
machine that has other work, wall-clock times do not. The share of a core is of a service at
1,000 rows a second, of which the process takes a quarter at most: it falls behind instead.
"""

import argparse
import asyncio
import json
import multiprocessing
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from load import long_log
from matinee_platform.analysis.unit_days.event_database import reading
from matinee_platform.experiments.definition import LiveExperiment
from matinee_platform.kpis.experiment_fold import ExperimentFold, last_place
from matinee_platform.kpis.fold_file import save_fold
from matinee_platform.kpis.live_figures import live_figures
from matinee_platform.kpis.unit_sums import UnitSums
from matinee_platform.storage.sqlite_appender import SqliteStore
from matinee_platform.storage.testing_events import START_MS, example_decision, windows

UNITS_WRITTEN, COPIES = 4_000, 20
RATE = 1_000.0
"""Rows a second for which the share of a core is told."""

_DAY_MS = 86_400_000
_NEW = 0.1
_SPREAD = 0x9E3779B97F4A7C15


@dataclass(frozen=True, slots=True)
class Figures:
    """What one size took.

    Attributes:
        units: in the state before the rows.
        rows: folded.
        fold_cpu_s: CPU seconds for them.
        look_cpu_s: CPU seconds for the figures of all arms.
        save_cpu_s: CPU seconds for the file.
        file_mb: its size.
        memory_mb: most that the process held.
        base_mb: that it held before there was a state.
        share: of a core at `RATE`, looks every 15 seconds and files every 50 times their length
            with it.
    """

    units: int
    rows: int
    fold_cpu_s: float
    look_cpu_s: float
    save_cpu_s: float
    file_mb: float
    memory_mb: float
    base_mb: float
    share: float


def main(words: Sequence[str] | None = None) -> int:
    """Print a line for each size."""
    parser = argparse.ArgumentParser(prog="load.kpi_fold", description=__doc__)
    parser.add_argument("--units", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args(words)
    if asked.here:
        (units,) = asked.units
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(asdict(measured(units, Path(folder)))))
        return 0
    found = []
    for units in asked.units:
        command = [sys.executable, "-m", "load.kpi_fold", "--here", "--units", str(units)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        found.append(Figures(**json.loads(done.stdout)))
    if asked.json:
        print(json.dumps([asdict(one) for one in found], indent=2))
        return 0
    for one in found:
        print(
            f"{one.units:>9,} units: {one.rows:,} rows in {one.fold_cpu_s:.2f} s of CPU, figures "
            f"{one.look_cpu_s:.3f} s, file {one.save_cpu_s:.2f} s and {one.file_mb:.0f} MB, "
            f"memory {one.memory_mb:.0f} MB ({one.base_mb:.0f} before), "
            f"{one.share:.1%} of a core at {RATE:,.0f} rows/s"
        )
    return 0


def measured(units: int, folder: Path) -> Figures:
    """Fold rows into a state of so many units.

    Args:
        units: of the state.
        folder: of the log, empty.
    """
    log = folder / "events.sqlite"
    # Elsewhere: its memory is none of theirs.
    writing = multiprocessing.get_context("spawn").Process(target=_write_log, args=(log, units))
    writing.start()
    writing.join()
    with reading(log) as ask:
        last = last_place(ask)
    base_mb = _held_mb()
    arms = [{"name": name, "bundle": name} for name in ("old", "new")]
    definition = {"key": "home", "salt": "home-1", "arms": arms}
    since_ms = START_MS - 28 * _DAY_MS
    fold = ExperimentFold(
        LiveExperiment.model_validate(definition),
        since_ms=since_ms,
        until_ms=2**62,
        catalogues={},
    )
    fold.units = _made_up_units(units, since_ms)
    before = len(fold.units)
    began = time.process_time()
    while True:
        with reading(log) as ask:
            if not fold.advance(ask, upto=last):
                break
    fold_s = time.process_time() - began
    if not before < len(fold.units) < before + last:
        raise RuntimeError(f"rows brought {len(fold.units) - before} units")
    began = time.process_time()
    live_figures(fold, now_ms=START_MS + 2 * _DAY_MS)
    look_s = time.process_time() - began
    began = time.process_time()
    save_fold(folder / "fold.npz", fold, newest=0)
    save_s = time.process_time() - began
    return Figures(
        units=units,
        rows=last,
        fold_cpu_s=fold_s,
        look_cpu_s=look_s,
        save_cpu_s=save_s,
        file_mb=(folder / "fold.npz").stat().st_size / 1e6,
        memory_mb=_held_mb(),
        base_mb=base_mb,
        share=fold_s / last * RATE + look_s / 15.0 + save_s / max(30.0, 50.0 * save_s),
    )


def _unit(number: int) -> int:
    """A unit's pseudonym, as the log holds it."""
    return (number * _SPREAD + 1) % 2**64 - 2**63


def _write_log(path: Path, units: int) -> None:
    """A log whose decisions are of random ones of some units, and of new ones."""

    async def some() -> None:
        store = SqliteStore(path, windows=windows)
        await store.open()
        await store.write([example_decision(number) for number in range(UNITS_WRITTEN)])
        await store.close()

    asyncio.run(some())
    draws = np.random.default_rng(5)
    with closing(sqlite3.connect(path, isolation_level=None)) as log:
        last = long_log.repeat(log, UNITS_WRITTEN, copies=COPIES)
        chosen = draws.integers(0, units, size=last + 1)
        new = draws.random(last + 1) < _NEW
        chosen[new] += units
        log.create_function("unit_of", 1, lambda place: _unit(int(chosen[place])))
        log.create_function("time_of", 1, lambda place: START_MS + 1_000 * place)
        # A unit's arm is that of its number, as if it were assigned.
        log.create_function("arm_of", 1, lambda place: ("new", "old")[int(chosen[place]) % 2])
        log.execute(
            "UPDATE decisions SET unit = unit_of(seq), arm = arm_of(seq), bucket = 0, "
            "decided_at = time_of(seq)"
        )
        log.execute(
            "UPDATE rewards SET received_at = 60000 + (SELECT decided_at FROM decisions "
            "WHERE decisions.decision_id = rewards.decision_id)"
        )


def _made_up_units(count: int, since_ms: int) -> UnitSums:
    """Units that came before, each with a page or more."""
    draws = np.random.default_rng(6)
    zero = UnitSums(since_ms)
    columns = {name: np.zeros(count, dtype=values.dtype) for name, values in zero.arrays().items()}
    columns["unit"] = np.array([_unit(number) for number in range(count)], dtype=np.int64)
    columns["arm"] = np.array([1, 0], dtype=np.int16)[np.arange(count) % 2]
    exposed = since_ms + draws.integers(0, 27 * _DAY_MS, size=count)
    columns["exposed"] = columns["last"] = exposed
    day = (exposed - since_ms) // _DAY_MS
    columns["recent_day"], columns["week"] = day.astype(np.int32), (day // 7).astype(np.int32)
    columns["came"] = columns["recent"] = np.ones(count, dtype=np.uint64)
    for name in ("sessions", "pages", "week_pages"):
        columns[name] = np.ones(count, dtype=np.int32)
    return UnitSums(since_ms, columns)


def _held_mb() -> float:
    """Most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024


if __name__ == "__main__":
    sys.exit(main())
