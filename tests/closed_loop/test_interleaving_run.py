"""Two arms interleaved for simulated users: no preference for oneself, one for the better."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from matinee_platform.analysis.preference import Preference, preference
from matinee_platform.cli import app
from matinee_platform.settings import ExperimentSettings, parse_settings
from matinee_platform.studies.interleaving import InterleavedCredit, run
from matinee_policies.errors import ConfigError

MF = {"name": "mf_order", "policy": {"kind": "score_order"}}
ORACLE = {"name": "oracle", "policy": {"kind": "click_oracle"}}
ALIKE = {"name": "all_alike", "policy": {"kind": "uniform"}}
LEARNER = {"name": "learner", "policy": {"kind": "lin_ucb", "alpha": 0.5, "diversity": 0.05}}


def _settings(data: Path, *arms: dict[str, Any]) -> ExperimentSettings:
    return parse_settings(
        {
            "name": "interleaved",
            "seed": 3,
            "users": 240,
            "days": 3,
            "slots": 5,
            "candidates": 30,
            "data": str(data),
            "world": {"arrival_days": 2},
            "arms": list(arms),
        }
    )


def _credit(found: InterleavedCredit, kind: str = "clicks") -> Preference:
    return preference(getattr(found, kind)[found.pages > 0])


@pytest.fixture(scope="module")
def against_itself(small_data: Path) -> InterleavedCredit:
    settings = _settings(small_data, MF)
    return run(settings, ("mf_order", "mf_order"), users=600, days=4)


def test_an_arm_against_itself_has_no_preference(against_itself: InterleavedCredit) -> None:
    for kind in ("clicks", "watched"):
        found = _credit(against_itself, kind)
        # Both by chance once in 15,000 seeds.
        assert found.p_value > 6e-5
        assert found.sign_p_value > 6e-5
        assert found.low < found.high


def test_a_clearly_better_ranking_wins(small_data: Path) -> None:
    settings = _settings(small_data, MF, ORACLE)
    found = run(settings, ("oracle", "mf_order"), users=600, days=2)
    clicks = _credit(found)
    assert clicks.low > 0.05
    assert clicks.sign_p_value < 1e-6
    assert clicks.first_wins > clicks.second_wins
    assert found.warnings == ()


def test_the_same_command_gives_the_same_credit(
    against_itself: InterleavedCredit, small_data: Path
) -> None:
    settings = _settings(small_data, MF)
    again = run(settings, ("mf_order", "mf_order"), users=600, days=4)
    assert np.array_equal(again.clicks, against_itself.clicks)
    assert np.array_equal(again.watched, against_itself.watched)


def test_a_learner_is_trained_on_others_and_a_set_policy_is_warned_of(
    small_data: Path, tmp_path: Path
) -> None:
    config = tmp_path / "config.json"
    config.write_text(_settings(small_data, MF, LEARNER).model_dump_json())
    options = ["--arms", "learner,mf_order", "--users", "120", "--days", "2", "--json", "--quiet"]
    shown = CliRunner().invoke(app, ["interleave", "--config", str(config), *options])
    assert shown.exit_code == 0, shown.output
    values = json.loads(shown.stdout)
    assert values["trained"] == [120, 3]
    assert len(values["warnings"]) == 1
    assert "learner composes its slates as sets (mmr at a price of 0.05)" in values["warnings"][0]
    assert values["clicks"]["units"] <= 120


@pytest.mark.parametrize(
    ("arms", "message"),
    [
        (("mf_order", "none"), "--arms must name arms of the experiment"),
        (("mf_order", "all_alike"), "no slate that it likes best"),
    ],
)
def test_arms_that_cannot_be_interleaved_are_refused(
    small_data: Path, arms: tuple[str, str], message: str
) -> None:
    settings = _settings(small_data, MF, ALIKE)
    with pytest.raises(ConfigError, match=message):
        run(settings, arms, users=10)
