"""Run an experiment offline: prepare, run every arm, analyse the log, leave a complete folder.

    RUN/settings.json      the settings as run           RUN/versions.json   what it ran on
    RUN/model/ RUN/world/  see prepare.py                RUN/snapshots/ARM/  policy by version
    RUN/decisions|rewards|features/ARM/                  the log
    RUN/metrics.prom       figures for Prometheus
    RUN/results.json       the numbers                   RUN/summary.txt, RUN/retention.png

`results.json` is written last: a folder without it holds an unfinished run.
"""

import json
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from matinee_platform.offline.arm_run import ArmResult, ArmRun, DayReport, arm_policy
from matinee_platform.offline.metrics_export import RunMetrics, served, write_metrics
from matinee_platform.offline.prepare import (
    Prepared,
    Roster,
    draw_roster,
    is_prepared,
    load_prepared,
    prepare,
    world_parameters,
)
from matinee_platform.offline.report_queue import ReportQueue, pass_on
from matinee_platform.offline.results import RESULTS, analyse, read_results, write_results
from matinee_platform.offline.resume import check_same
from matinee_platform.settings import ExperimentSettings
from matinee_platform.versions import versions
from matinee_policies.errors import ConfigError, MatineeError

SETTINGS = "settings.json"
"""File of a run's settings, written first."""

VERSIONS = "versions.json"
"""File of the versions that a run's determinism is stated for."""

Reporter = Callable[[DayReport], None]

_BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
_POLL_SECONDS = 0.2
_FEW_USERS = 20


def run_experiment(
    settings: ExperimentSettings,
    run: Path,
    *,
    workers: int,
    overwrite: bool = False,
    resume: bool = False,
    metrics_port: int | None = None,
    announce: Callable[[str], None] = lambda line: None,
    report: Reporter = lambda day: None,
) -> dict[str, Any]:
    """Run every arm and analyse the log.

    Args:
        settings: of the experiment.
        run: folder for the run; must be new, or hold an older run that `overwrite` allows to go.
        workers: processes that run arms side by side; the result does not depend on it.
        overwrite: whether an older run in the folder is deleted.
        resume: whether an interrupted run in the folder goes on from each arm's last complete day;
            the result is that of a run without interruption, timings aside.
        metrics_port: port of this machine that serves `/metrics` during the run, 0 for a free one;
            None serves nothing.
        announce: told what the run does, a line at a time.
        report: told of each finished day of each arm.

    Returns:
        The content of `results.json`.

    Raises:
        MatineeError: on bad settings or data, before anything is written.
    """
    start = time.perf_counter()
    check_settings(settings)
    if workers < 1:
        raise ConfigError(f"workers must be >= 1, got {workers}")
    go_on = resume and (run / SETTINGS).is_file()
    if go_on:
        check_same(run / SETTINGS, settings.model_dump(mode="json"), what="settings")
        check_same(run / VERSIONS, versions(), what="versions")
        if (run / RESULTS).is_file():
            return read_results(run)
    else:
        check_folder(run, overwrite=overwrite)
    run_metrics = RunMetrics(settings)

    def report_day(day: DayReport) -> None:
        run_metrics.update(day.arm, day.figures)
        report(day)

    with _one_blas_thread(), served(run_metrics, metrics_port) as url:
        if url is not None:
            announce(f"Metrics: {url}")
        if go_on and is_prepared(run):
            shared = load_prepared(run)
            announce(f"Data: {shared.data}")
        else:
            shared = prepare(settings)
            announce(f"Data: {shared.data}")
            for note in shared.model.notes:
                announce(note)
            _start_folder(settings, run)
            shared.save(run)
        roster = draw_roster(settings)
        run_metrics.assigned(
            [users_of(settings, roster, arm).size for arm in range(len(settings.arms))]
        )
        compile_kernels(settings, shared)
        prepared = time.perf_counter()
        arms = _run_arms(settings, run, roster, workers=workers, report=report_day)
        for arm in arms:
            run_metrics.update(arm.arm, arm.figures)
        ran = time.perf_counter()
        results = analyse(settings, run)
        results["data"] = shared.data
        results["timings"] = {
            "prepare_seconds": prepared - start,
            "run_seconds": ran - prepared,
            "analyse_seconds": time.perf_counter() - ran,
            "arms": {result.arm: asdict(result.timing) for result in arms},
        }
        results["arm_runs"] = {result.arm: _identity(result) for result in arms}
        run_metrics.finish()
        write_metrics(run_metrics, run)
        write_results(results, run)
    return results


def _identity(result: ArmResult) -> dict[str, Any]:
    """What an arm's run gave, without what it took: equal for equal settings and seed."""
    return {
        "users": result.users,
        "pages": result.pages,
        "log_hash": result.log_hash,
        "snapshots": list(result.snapshots),
    }


def check_settings(settings: ExperimentSettings) -> None:
    """Build every policy and parameter set once, so that a bad setting is found before the run."""
    world_parameters(settings)
    for arm in settings.arms:
        try:
            arm_policy(arm)
        except MatineeError as error:
            raise ConfigError(f"arms.{arm.name}.policy: {error}") from None


def check_folder(run: Path, *, overwrite: bool) -> None:
    """Refuse a folder for a run that holds something which must not be lost.

    Raises:
        ConfigError: naming the folder and what to do.
    """
    if run.exists() and not run.is_dir():
        raise ConfigError(f"--out must name a folder, {run} is a file")
    if run.is_dir() and any(run.iterdir()):
        if not (run / SETTINGS).is_file():
            raise ConfigError(f"--out must be new or hold an older run, {run} holds other files")
        if not overwrite:
            raise ConfigError(
                f"{run} holds a run already; name another folder, or add --overwrite or --resume"
            )


def _start_folder(settings: ExperimentSettings, run: Path) -> None:
    """Make the run's folder anew, recognisable as a run from its first file on."""
    if run.is_dir():
        shutil.rmtree(run)
    run.mkdir(parents=True)
    _write_json(run / SETTINGS, settings.model_dump(mode="json"))
    _write_json(run / VERSIONS, versions())


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
                run=Path(folder),
                world=shared.world,
                model=shared.model,
                past=shared.past,
            ).run(lambda day: None)


def users_of(settings: ExperimentSettings, roster: Roster, arm: int) -> "np.ndarray":
    """Numbers of the simulated users that arm number `arm` serves."""
    if settings.design == "paired":
        return np.arange(settings.users, dtype=np.int64)
    return np.flatnonzero(roster.arms == arm).astype(np.int64)


def run_arm(settings: ExperimentSettings, run: Path, arm: int, report: Reporter) -> ArmResult:
    """Run arm number `arm` of a prepared run."""
    roster = draw_roster(settings)
    shared = load_prepared(run)
    arm_run = ArmRun(
        settings,
        settings.arms[arm],
        users=users_of(settings, roster, arm),
        roster=roster,
        run=run,
        world=shared.world,
        model=shared.model,
        past=shared.past,
    )
    return arm_run.run(report)


def _run_arms(
    settings: ExperimentSettings, run: Path, roster: Roster, *, workers: int, report: Reporter
) -> list[ArmResult]:
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
            raise
    return results


_days_of_this_process: "ReportQueue | None" = None


def _connect(days: ReportQueue) -> None:
    global _days_of_this_process
    _days_of_this_process = days


def _run_arm_in_process(settings: ExperimentSettings, run: Path, arm: int) -> ArmResult:
    days = _days_of_this_process
    if days is None:
        raise RuntimeError("this process was started without a queue for its reports")
    with threadpool_limits(1):
        result = run_arm(settings, run, arm, days.put)
    days.put(None)
    return result


@contextmanager
def _one_blas_thread() -> Iterator[None]:
    """One BLAS thread in this process and in those it starts."""
    before = {name: os.environ.get(name) for name in _BLAS_THREADS}
    os.environ.update(dict.fromkeys(_BLAS_THREADS, "1"))
    try:
        with threadpool_limits(1):
            yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
