"""Run one paired experiment at several retention sensitivities, each in a folder of its own.

    OUT/sensitivity-0.5/ ...     a run like any other
    OUT/sensitivity.json, OUT/sensitivity.txt, OUT/sensitivity.svg

The seed is the same throughout: a user has the same luck at every sensitivity, as in every arm.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from matinee_platform.analysis.sensitivity import SensitivityGrid, sensitivity_grid
from matinee_platform.json_file import write_json
from matinee_platform.offline.arm_process import Reporter
from matinee_platform.offline.run import check_folder, check_settings, run_experiment
from matinee_platform.report.sensitivity import save_sensitivity_plot, sensitivity_text
from matinee_platform.settings import ExperimentSettings
from matinee_policies.errors import ConfigError

SENSITIVITY = "retention_sensitivity"
"""Parameter of the world that a grid moves."""


def run_grid(
    settings: ExperimentSettings,
    out: Path,
    *,
    grid: Sequence[float],
    workers: int,
    overwrite: bool = False,
    resume: bool = False,
    announce: Callable[[str], None] = lambda line: None,
    report: Reporter = lambda day: None,
) -> SensitivityGrid:
    """Run the experiment at each sensitivity, then put the results together.

    Args:
        settings: of a paired experiment.
        out: folder for the runs and what they give together.
        grid: sensitivities, distinct, at least 0.
        workers: as `run_experiment`.
        overwrite: as `run_experiment`, for every run.
        resume: as `run_experiment`, for every run.
        announce: as `run_experiment`.
        report: as `run_experiment`.

    Raises:
        MatineeError: on bad settings, before anything is written.
    """
    if settings.design != "paired":
        raise ConfigError(
            f"design must be paired for a grid of sensitivities, got {settings.design!r}"
        )
    points = check_grid(grid)
    folders = {point: out / f"sensitivity-{point:g}" for point in points}
    experiments = {
        point: settings.model_copy(
            update={"world": {**settings.world, SENSITIVITY: point}}, deep=True
        )
        for point in points
    }
    for point in points:
        check_settings(experiments[point])
        if not resume:
            check_folder(folders[point], overwrite=overwrite)
    results = {}
    for point in points:
        announce(f"Sensitivity {point:g}")
        results[point] = run_experiment(
            experiments[point],
            folders[point],
            workers=workers,
            overwrite=overwrite,
            resume=resume,
            announce=announce,
            report=report,
        )
    found = sensitivity_grid(results)
    save_sensitivity_plot(found, out / "sensitivity.svg")
    (out / "sensitivity.txt").write_text(sensitivity_text(found), encoding="utf-8")
    write_json(out / "sensitivity.json", found.to_json())
    return found


def check_grid(grid: Sequence[float]) -> list[float]:
    """Sensitivities by rising value.

    Raises:
        ConfigError: if there is none, or one comes twice or is no finite number of at least 0.
    """
    if not grid or len({f"{point:g}" for point in grid}) != len(grid):
        raise ConfigError(f"sensitivities must be distinct and at least one, got {list(grid)}")
    for point in grid:
        if not (math.isfinite(point) and point >= 0.0):
            raise ConfigError(f"sensitivities must be finite and >= 0, got {point!r}")
    return sorted(grid)


def parse_grid(text: str) -> list[float]:
    """Sensitivities from a text such as `"0.5,1,2"`.

    Raises:
        ConfigError: if it is no list of such numbers.

    Example:
        >>> parse_grid("2, 0.5,1")
        [0.5, 1.0, 2.0]
    """
    try:
        numbers = [float(word) for word in text.split(",")]
    except ValueError:
        raise ConfigError(f"sensitivities must be numbers, comma-separated, got {text!r}") from None
    return check_grid(numbers)
