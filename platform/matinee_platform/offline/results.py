"""From the log of a finished run to its numbers: results.json, summary.txt, plot and report."""

from pathlib import Path
from typing import Any

import numpy as np

from matinee_platform.analysis.drift import read_drift
from matinee_platform.analysis.exploration import ExplorationCost, read_exploration_cost
from matinee_platform.analysis.retention import retention_curve
from matinee_platform.analysis.retention_plot import save_retention_plot
from matinee_platform.analysis.scorecard import scorecard
from matinee_platform.analysis.slate_metrics import read_slate_metrics
from matinee_platform.analysis.unit_table import read_unit_table
from matinee_platform.drift_detector import DriftConfig
from matinee_platform.json_file import read_json, write_json
from matinee_platform.offline.arm_state import arm_policy
from matinee_platform.offline.exploration_log import why_untold
from matinee_platform.offline.past_ratings import StoredPast, popularity
from matinee_platform.offline.prepare import PAST_RATINGS
from matinee_platform.report.table import summary_text
from matinee_platform.serving_model import load_serving_model
from matinee_platform.settings import ArmSettings, ExperimentSettings
from matinee_policies.arrays import FloatArray
from matinee_policies.errors import DataError

RESULTS = "results.json"
PLOT = "retention.png"
SUMMARY = "summary.txt"

_KEYS = {"arm_runs", "arms", "confidence", "control", "data", "srm_p_value", "timings"}


def analyse(settings: ExperimentSettings, run: Path) -> dict[str, Any]:
    """The scorecard of a run, from its log alone, with the retention curve of each arm.

    Args:
        settings: of the experiment.
        run: its folder; `retention.png` and `retention.svg` are written there.
    """
    model = load_serving_model(run / "model")
    embeddings = model.items.embeddings
    past = StoredPast(run / PAST_RATINGS, n_users=settings.users)
    known_by, past_users = popularity(past, items=embeddings.shape[0])
    tables = {arm.name: read_unit_table(run, arm.name, days=settings.days) for arm in settings.arms}
    card = scorecard(
        tables,
        slates={
            arm.name: read_slate_metrics(
                run,
                arm.name,
                embeddings=embeddings,
                popularity=known_by,
                past_users=max(past_users, 1),
            )
            for arm in settings.arms
        },
        weights={arm.name: arm.weight for arm in settings.arms},
        control=settings.control,
        paired=settings.design == "paired",
    )
    curves = {name: retention_curve(table) for name, table in tables.items()}
    for arm in settings.arms:
        card["arms"][arm.name]["reference"] = arm.reference
        cost = read_exploration_cost(run, arm.name)
        card["arms"][arm.name]["exploration_cost"] = _cost(cost)
        card["arms"][arm.name]["exploration_cost_reason"] = _why_none(cost, arm)
        card["arms"][arm.name]["drift"] = read_drift(
            run,
            arm.name,
            days=settings.days,
            model=model,
            engagement=settings.reward.engagement,
            config=DriftConfig(),
        ).to_json()
        card["arms"][arm.name]["retention_curve"] = _curve(curves[arm.name].rate)
    title = f"{settings.name}: who comes back, by day since first visit"
    plots = [run / PLOT, run / "retention.svg"]
    save_retention_plot(curves, plots, title=title, control=settings.control)
    return card


def write_results(results: dict[str, Any], run: Path) -> None:
    """Write the summary, then `results.json`, whose presence says that the run is complete."""
    (run / SUMMARY).write_text(summary_text(results), encoding="utf-8")
    write_json(run / RESULTS, results)


def read_results(run: Path) -> dict[str, Any]:
    """The content of `results.json`.

    Raises:
        DataError: if the folder holds no finished run.
    """
    path = run / RESULTS
    if not path.is_file():
        raise DataError(path, rule="must exist; the folder holds no finished run")
    results = read_json(path)
    if not isinstance(results, dict) or not results.keys() >= _KEYS:
        raise DataError(path, rule=f"must hold the results of a run: {', '.join(sorted(_KEYS))}")
    return results


def _cost(found: ExplorationCost | None) -> dict[str, float | None] | None:
    if found is None:
        return None
    error = None if np.isnan(found.error) else found.error
    return {"pages": found.pages, "mean": found.mean, "standard_error": error}


def _why_none(found: ExplorationCost | None, arm: ArmSettings) -> str | None:
    if found is not None:
        return None
    return why_untold(arm_policy(arm)) or "none of its decisions was sampled"


def _curve(rates: FloatArray) -> list[float | None]:
    return [None if np.isnan(rate) else float(rate) for rate in rates]
