"""Measure promises, each group in a process of its own: those on a log together, for its sake."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

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
    ope_report,
    sampling_law,
    stated_power,
)
from stats.big_log import big_log
from stats.effort import Effort

ON_A_LOG = {"S1": false_alarms.measure, "S2": any_time.measure}
MADE_UP: dict[str, Callable[[Effort], list[Promise]]] = {
    "S3": coverage.measure,
    "S3-ope": ope_intervals.measure,
    "S4": stated_power.measure,
    "S5": lost_exposure.measure,
    "S6": fair_arms.measure,
    "S7": ope_equality.measure,
    "S8": sampling_law.measure,
    "S10": bad_logs.measure,
}
TABLED: dict[str, Callable[[Effort], tuple[list[Promise], str]]] = {"S9": ope_report.measure}
"""Those that have tables of their own, in Markdown."""

NAMES = (*ON_A_LOG, *MADE_UP, *TABLED)


@dataclass(frozen=True, slots=True)
class Measured:
    """One of `NAMES`, what it took, and its own tables if it has some."""

    name: str
    promises: list[Promise]
    cpu_seconds: float
    tables: str = ""


def measured(
    names: Sequence[str], effort: Effort, *, run: Path | None, workers: int
) -> Iterator[Measured]:
    """Measure some promises; they come as they are done.

    Args:
        names: some of `NAMES`.
        effort: sizes.
        run: a finished run to assign anew; one is made if there is none.
        workers: processes.
    """
    on_a_log = [name for name in names if name in ON_A_LOG]
    groups = [on_a_log] if on_a_log else []
    groups += [[name] for name in names if name in MADE_UP or name in TABLED]
    with ProcessPoolExecutor(workers) as pool:
        waiting = [pool.submit(_group, group, effort, run) for group in groups]
        for done in as_completed(waiting):
            yield from done.result()


def _group(names: Sequence[str], effort: Effort, run: Path | None) -> list[Measured]:
    start = time.process_time()
    log = big_log(effort, run=run) if names[0] in ON_A_LOG else None
    found = []
    for name in names:
        tables = ""
        if log is not None:
            some = ON_A_LOG[name](log, effort)
        elif name in TABLED:
            some, tables = TABLED[name](effort)
        else:
            some = MADE_UP[name](effort)
        now = time.process_time()
        found.append(Measured(name, some, now - start, tables))
        start = now
    return found
