"""Run an experiment offline: prepare, run every arm, analyse the log, leave a complete folder.

    RUN/settings.json      the settings as run           RUN/versions.json   what it ran on
    RUN/model/ RUN/world/ RUN/initial/  see prepare.py   RUN/snapshots/ARM/  policy by version
    RUN/decisions|rewards|features/ARM/                  the log
    RUN/metrics.prom       figures for Prometheus  RUN/state/ARM/   users, until the run is complete
    RUN/figures.json       the same at the end of each day
    RUN/results.json       the numbers                   RUN/summary.txt, RUN/retention.png
    RUN/analysis.json      what the declared analysis says, of a run whose arms split the users

`results.json` is written when all else but analysis and report is there: a folder without it holds
an unfinished run.
"""

import os
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from matinee_platform.analysis.experiment.of_run import ANALYSIS, analyse_run
from matinee_platform.data_source import data_identity
from matinee_platform.json_file import write_json
from matinee_platform.offline.arm_process import Reporter, compile_kernels, run_arms, users_of
from matinee_platform.offline.arm_run import ArmResult, DayReport
from matinee_platform.offline.arm_state import STATE, arm_policy, first_snapshots
from matinee_platform.offline.child_processes import one_blas_thread
from matinee_platform.offline.disk_space import check_disk
from matinee_platform.offline.metrics_export import RunMetrics, served, write_metrics
from matinee_platform.offline.metrics_history import FIGURES, figures_json
from matinee_platform.offline.prepare import (
    draw_roster,
    is_prepared,
    load_prepared,
    prepare,
    world_parameters,
)
from matinee_platform.offline.results import RESULTS, analyse, read_results, write_results
from matinee_platform.offline.resume import check_same
from matinee_platform.offline.run_lock import only_run
from matinee_platform.report.page import write_report
from matinee_platform.reward_range import check_rewards
from matinee_platform.settings import ExperimentSettings, parse_settings
from matinee_platform.versions import versions
from matinee_policies.errors import ConfigError, MatineeError
from matinee_policies.policy import Policy
from matinee_simulator.calibration import load_calibration
from matinee_simulator.long_run.frozen_index import frozen_index

SETTINGS = "settings.json"
"""File of a run's settings, written first."""

DATA = "data.json"
"""File that names the data of a run."""

VERSIONS = "versions.json"
"""File of the versions that a run's determinism is stated for."""

CALIBRATION = "calibration.json"
"""File that holds the calibration of a run's users, where one was set."""


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
        resume: whether an interrupted run in the folder goes on from each arm's last checkpoint;
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
    facts = _facts(settings)
    if go_on:
        for name, wanted in facts.items():
            what = name.removesuffix(".json")
            if name == SETTINGS:
                check_same(run / name, wanted, what=what, read=_with_defaults)
            else:
                check_same(run / name, wanted, what=what)
        if (run / RESULTS).is_file():
            return read_results(run)
    else:
        check_folder(run, overwrite=overwrite)
    run_metrics = RunMetrics(settings)

    def report_day(day: DayReport) -> None:
        run_metrics.update(day.arm, day.figures)
        report(day)

    with ExitStack() as held:
        held.enter_context(one_blas_thread())
        url = held.enter_context(served(run_metrics, metrics_port))
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
            shared = replace(shared, initial=first_snapshots(settings, shared.model.items))
            if not go_on:
                check_disk(settings, shared, run)
                _start_folder(facts, run)
        held.enter_context(only_run(run))
        if not is_prepared(run):
            shared.save(run)
        roster = draw_roster(settings)
        assigned = [users_of(settings, roster, arm).size for arm in range(len(settings.arms))]
        run_metrics.assigned(assigned)
        announce("Getting kernels ready; the first time on a machine this takes about a minute")
        compile_kernels(settings, shared)
        announce(f"Running {len(settings.arms)} arms over {settings.days} days")
        prepared = time.perf_counter()
        arms = run_arms(settings, run, workers=workers, report=report_day)
        for arm in arms:
            run_metrics.update(arm.arm, arm.figures[-1])
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
        for name, facts in results["arms"].items():
            run_metrics.drifted(name, facts["drift"])
        run_metrics.finish()
        write_metrics(run_metrics, run)
        write_json(run / FIGURES, figures_json(assigned, {arm.arm: arm.figures for arm in arms}))
        write_results(results, run)
        shutil.rmtree(run / STATE, ignore_errors=True)
        _write_analysis(settings, run, announce)
        try:
            write_report(run, results)
        except MatineeError as error:
            announce(f"No report: {error}. The results are complete; matinee report tries again.")
    return results


def _write_analysis(
    settings: ExperimentSettings, run: Path, announce: Callable[[str], None]
) -> None:
    """Write `analysis.json`; the results are complete without it."""
    if settings.design == "paired" or len(settings.arms) < 2:
        return
    try:
        write_json(run / ANALYSIS, analyse_run(run))
    except MatineeError as error:
        announce(f"No analysis: {error}. The results are complete; matinee analyze tries again.")


def _identity(result: ArmResult) -> dict[str, Any]:
    """What an arm's run gave, without what it took: equal for equal settings and seed."""
    return {
        "users": result.users,
        "pages": result.pages,
        "log_hash": result.log_hash,
        "snapshots": list(result.snapshots),
        "reward_events": result.reward_events,
    }


def default_workers() -> int:
    """One process per core that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_settings(settings: ExperimentSettings) -> None:
    """Build every policy and parameter set once, so that a bad setting is found before the run."""
    world_parameters(settings)
    if any(arm.policy["kind"] == "index_oracle" for arm in settings.arms):
        frozen_index().check_seeds([settings.seed])
    for arm in settings.arms:
        try:
            policy = arm_policy(arm)
            check_rewards(policy, settings.reward, slots=settings.slots)
            _check_length(policy, slots=settings.slots)
        except MatineeError as error:
            raise ConfigError(f"arms.{arm.name}.policy: {error}") from None


def _check_length(policy: Policy, *, slots: int) -> None:
    """Refuse slates that a policy, or one of its bases, cannot serve, if it can tell."""
    for one in (policy, *getattr(policy, "bases", ())):
        check = getattr(one, "check_length", None)
        if check is not None:
            check(slots)


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
    try:
        run.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out {run} cannot be made: {error.strerror}") from None
    if not os.access(run.parent, os.W_OK):
        raise ConfigError(f"--out {run} cannot be made: {run.parent} is not writable")


def _facts(settings: ExperimentSettings) -> dict[str, Any]:
    """The files that say what a run is: it goes on only with the same."""
    facts = {
        VERSIONS: versions(settings.user_classes()),
        DATA: data_identity(settings.data),
        SETTINGS: settings.model_dump(mode="json"),
    }
    if settings.calibration is not None:
        facts[CALIBRATION] = load_calibration(settings.calibration).to_json()
    return facts


def _with_defaults(stored: Any) -> Any:
    """Settings of an older version, with what was added since."""
    if not isinstance(stored, dict):
        return stored
    return parse_settings(stored, origin=SETTINGS).model_dump(mode="json")


def _start_folder(facts: Mapping[str, Any], run: Path) -> None:
    """Make the run's folder anew; it appears with all its facts at once, or not at all."""
    run = run.resolve()
    if (run / SETTINGS).is_file():
        # Refuses to take it from a process that works on it.
        with only_run(run):
            pass
    new, old = run.with_name(f".{run.name}.new"), run.with_name(f".{run.name}.old")
    for left in (new, old):
        shutil.rmtree(left, ignore_errors=True)
    new.mkdir()
    for name, content in facts.items():
        write_json(new / name, content)
    if run.is_dir():
        run.rename(old)
    new.rename(run)
    shutil.rmtree(old, ignore_errors=True)
