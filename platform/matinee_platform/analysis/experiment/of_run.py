"""Analyse an offline run, from its log and its settings."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matinee_platform.analysis.experiment.analysis import analyse_experiment
from matinee_platform.analysis.experiment.plan import plan_of_run, with_metrics
from matinee_platform.analysis.unit_days.run_log import read_run_unit_days
from matinee_platform.run_settings import run_settings

ANALYSIS = "analysis.json"
"""File of a run's analysis."""


def analyse_run(run: Path, *, metrics: Sequence[str] = ()) -> dict[str, Any]:
    """Analyse a run; see `analyse_experiment`.

    Args:
        run: its folder.
        metrics: to look at besides those declared.

    Raises:
        ConfigError: for a paired run, or the name of no metric.
        DataError: if the log breaks a rule, with counts and examples.
    """
    plan = with_metrics(plan_of_run(run_settings(run)), metrics)
    document = analyse_experiment(read_run_unit_days(run), plan)
    return {**document, "source": {"kind": "run"}}
