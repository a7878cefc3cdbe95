"""Settings and logs that no policy is valued with."""

import json
from pathlib import Path

import pytest

from matinee_platform.ope import evaluate
from matinee_platform.ope.inputs.run_log import run_log
from matinee_policies.errors import ConfigError, DataError, MatineeError


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"component": "d28"}, "of retention a log of pages cannot tell"),
        ({"component": "retention"}, "another policy would have led units to other states"),
        ({"reward_model": "forest"}, "reward model must be one of ridge"),
        ({"estimators": ["dr", "best"]}, "estimator must be one of ips"),
        ({"estimators": ["dr"], "reward_model": "none"}, "dr needs a reward model"),
        ({"estimators": ["mips"]}, "mips needs clusters of items, and none are given"),
        ({"intervals": ["gauss"]}, "interval must be one of default"),
        ({"confidence": 1.5}, "confidence"),
        ({"largest_weight": 0.5}, "largest weight"),
        ({"largest_weight": 1.0, "estimators": ["ips"]}, "must be within 0 and 1"),
    ],
)
def test_settings_that_are_refused(explored: Path, options: dict[str, object], rule: str) -> None:
    with pytest.raises(MatineeError, match=rule):
        evaluate(f"{explored}:soft", {"kind": "uniform"}, **options)  # type: ignore[arg-type]


def test_logs_that_are_refused(explored: Path, tmp_path: Path) -> None:
    for log, rule in (
        (str(tmp_path), "log must be a run, RUN:ARM or the data folder"),
        (f"{explored}:nobody", "must be one of soft"),
        (f"{explored}:truth", "must not know the truth"),
        (str(explored), "must be of one arm, .* name one"),
    ):
        with pytest.raises(ConfigError, match=rule):
            evaluate(log, {"kind": "uniform"})
    settings = json.loads((explored / "settings.json").read_text("utf-8"))
    settings["reward"]["return_visit"]["window_days"] = 28
    young = tmp_path / "young"
    young.mkdir()
    (young / "settings.json").write_text(json.dumps(settings), "utf-8")
    for name in ("model", "decisions", "rewards", "snapshots"):
        (young / name).symlink_to(explored / name)
    with pytest.raises(DataError, match="must hold a day whose window of 28 days"):
        run_log(young, "soft")
