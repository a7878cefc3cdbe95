"""Run the arms of a prepared run, in this process or side by side in others.

Kept apart from `run.py`, whose analysis and plots the other processes need not import.
"""

import multiprocessing
import tempfile
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from matinee_platform.offline.arm_run import ArmResult, ArmRun, DayReport
from matinee_platform.offline.arm_state import arm_policy
from matinee_platform.offline.child_processes import deaf_to_interrupts, end_with_parent
from matinee_platform.offline.prepare import Prepared, Roster, draw_roster, load_prepared
from matinee_platform.offline.report_queue import ReportQueue, pass_on
from matinee_platform.offline.run_lock import only_arm
from matinee_platform.settings import ExperimentSettings
from matinee_policies.arrays import Int64Array

Reporter = Callable[[DayReport], None]

_POLL_SECONDS = 0.2
_FEW_USERS = 20


def compile_kernels(settings: ExperimentSettings, shared: Prepared) -> None:
    """Serve a few users once, thrown away, so that parallel processes find all kernels compiled."""
    few = settings.model_copy(update={"users": _FEW_USERS, "days": 1})
    with tempfile.TemporaryDirectory(prefix="matinee-") as folder:
        for arm in few.arms:
            ArmRun(
                few,
                arm,
                users=np.arange(_FEW_USERS, dtype=np.int64),
                roster=draw_roster(few),
                shared=shared,
                run=Path(folder),
            ).run(lambda day: None)


def users_of(settings: ExperimentSettings, roster: Roster, arm: int) -> Int64Array:
    """Numbers of the simulated users that arm number `arm` serves."""
    if settings.design == "paired":
        return np.arange(settings.users, dtype=np.int64)
    return np.flatnonzero(roster.arms == arm).astype(np.int64)


def run_arm(settings: ExperimentSettings, run: Path, arm: int, report: Reporter) -> ArmResult:
    """Run arm number `arm` of a prepared run."""
    roster = draw_roster(settings)
    shared = load_prepared(run)
    with only_arm(run, settings.arms[arm].name):
        arm_run = ArmRun(
            settings,
            settings.arms[arm],
            users=users_of(settings, roster, arm),
            roster=roster,
            shared=shared,
            run=run,
        )
        return arm_run.run(report)


def run_arms(
    settings: ExperimentSettings, run: Path, *, workers: int, report: Reporter
) -> list[ArmResult]:
    """Run every arm of a prepared run, and give their results in the order of the settings.

    Args:
        settings: of the experiment.
        run: folder of the run.
        workers: processes side by side; 1 stays in this one.
        report: told of each finished day of each arm.
    """
    # Learning arms take longest; started first, they leave no process idle at the end.
    order = sorted(
        range(len(settings.arms)), key=lambda arm: not arm_policy(settings.arms[arm]).learns
    )
    if workers == 1 or len(order) == 1:
        results = [run_arm(settings, run, arm, report) for arm in order]
    else:
        results = _run_in_processes(settings, run, order, workers=workers, report=report)
    place = {arm.name: number for number, arm in enumerate(settings.arms)}
    return sorted(results, key=lambda result: place[result.arm])


def _run_in_processes(
    settings: ExperimentSettings, run: Path, order: list[int], *, workers: int, report: Reporter
) -> list[ArmResult]:
    context = multiprocessing.get_context("spawn")
    days: ReportQueue = context.Queue()
    with ProcessPoolExecutor(
        min(workers, len(order)), mp_context=context, initializer=_connect, initargs=(days,)
    ) as pool:
        with deaf_to_interrupts():
            waiting: set[Future[ArmResult]] = {
                pool.submit(_run_arm_in_process, settings, run, arm) for arm in order
            }
        results: list[ArmResult] = []
        ended = 0
        try:
            while waiting:
                done, waiting = wait(waiting, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
                results.extend(future.result() for future in done)
                ended += pass_on(days, report)
            # A result may overtake the reports before it, of which None is the last of each arm.
            ended += pass_on(days, report, until=len(order) - ended)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise
    return results


_days_of_this_process: "ReportQueue | None" = None


def _connect(days: ReportQueue) -> None:
    global _days_of_this_process
    _days_of_this_process = days
    end_with_parent()


def _run_arm_in_process(settings: ExperimentSettings, run: Path, arm: int) -> ArmResult:
    days = _days_of_this_process
    if days is None:
        raise RuntimeError("this process was started without a queue for its reports")
    with threadpool_limits(1):
        result = run_arm(settings, run, arm, days.put)
    days.put(None)
    return result
