"""Measure promises, each group in a process of its own: those on a log together, for its sake."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from promises import Promise
from stats import (
    any_time,
    coverage,
    fair_arms,
    false_alarms,
    lost_exposure,
    ope_intervals,
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
}
NAMES = (*ON_A_LOG, *MADE_UP)


@dataclass(frozen=True, slots=True)
class Measured:
    """One of `NAMES`, and what it took."""

    name: str
    promises: list[Promise]
    cpu_seconds: float


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
    groups += [[name] for name in names if name in MADE_UP]
    with ProcessPoolExecutor(workers) as pool:
        waiting = [pool.submit(_group, group, effort, run) for group in groups]
        for done in as_completed(waiting):
            yield from done.result()


def _group(names: Sequence[str], effort: Effort, run: Path | None) -> list[Measured]:
    start = time.process_time()
    log = big_log(effort, run=run) if names[0] in ON_A_LOG else None
    found = []
    for name in names:
        some = MADE_UP[name](effort) if log is None else ON_A_LOG[name](log, effort)
        now = time.process_time()
        found.append(Measured(name, some, now - start))
        start = now
    return found
