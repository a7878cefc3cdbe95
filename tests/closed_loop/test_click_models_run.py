"""A run of each click model, with the regret of every page in its log."""

from pathlib import Path

import numpy as np
import pytest

from matinee_platform.analysis.regret import read_regret
from matinee_platform.decision_log import read_parts
from matinee_platform.offline.run import run_experiment
from matinee_platform.settings import parse_settings

DAYS = 3


@pytest.mark.parametrize("model", ["position", "cascade", "multinomial"])
def test_regret_of_every_page(tmp_path: Path, small_data: Path, model: str) -> None:
    settings = parse_settings(
        {
            "name": "clicks",
            "data": str(small_data),
            "users": 80,
            "days": DAYS,
            "slots": 5,
            "candidates": 20,
            "regret_every": 1,
            "world": {"click_model": model, "click_base": -1.0, "arrival_days": 1},
            "arms": [
                {"name": "mf_order", "policy": {"kind": "score_order"}},
                {"name": "uniform", "policy": {"kind": "uniform"}},
            ],
        }
    )
    run_experiment(settings, tmp_path / "run", workers=1)
    for arm in ("mf_order", "uniform"):
        decided, compared, clicks = set(), set(), []
        for day in range(DAYS):
            for rows in read_parts(tmp_path / "run", "decisions", arm, day=day):
                decided |= set(rows["decision_id"].to_pylist())
            for rows in read_parts(tmp_path / "run", "regret", arm, day=day):
                compared |= set(rows["decision_id"].to_pylist())
                shown, good, bound = (
                    rows[name].to_numpy()
                    for name in ("expected_clicks", "greedy_clicks", "bound_clicks")
                )
                assert np.all(good <= bound * (1 + 1e-12))
                assert np.all(shown <= bound * (1 + 1e-12))
                clicks.append(shown)
        assert decided == compared
        assert len(compared) > 30
        if model == "multinomial":
            assert np.concatenate(clicks).max() < 1.0
        curve = read_regret(tmp_path / "run", arm, days=DAYS, window=DAYS)
        assert curve is not None
        assert 0.0 < curve.mean_low <= curve.mean_high
