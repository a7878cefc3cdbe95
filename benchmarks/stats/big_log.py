"""The log that is assigned anew: of a run that is there, or of one made for the purpose."""

import tempfile
from pathlib import Path

from matinee_platform.analysis.unit_days.records import UnitDays
from matinee_platform.analysis.unit_days.run_log import read_run_unit_days
from matinee_platform.offline.run import run_experiment
from matinee_platform.settings import parse_settings
from stats.effort import Effort

DAYS = 35


def big_log(effort: Effort, *, run: Path | None = None) -> UnitDays:
    """Sums by unit and day of a run.

    Args:
        effort: says how many users one is made with.
        run: folder of a finished run, if there is one.
    """
    if run is not None:
        return read_run_unit_days(run)
    settings = parse_settings(
        {
            "name": "stats",
            "users": effort.users,
            "days": DAYS,
            "regret_every": 1_000_000,
            "arms": [{"name": "mf_order", "policy": {"kind": "score_order"}}],
        }
    )
    with tempfile.TemporaryDirectory(prefix="matinee-stats-") as folder:
        made = Path(folder) / "run"
        run_experiment(settings, made, workers=1)
        return read_run_unit_days(made)
