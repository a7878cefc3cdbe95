"""A grid of sensitivities: what holds throughout, its table and plot, mistakes named."""

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from matinee_platform.analysis.sensitivity import GRID_METRICS, sensitivity_grid
from matinee_platform.commands.sensitivity import with_grid
from matinee_platform.offline.sensitivity_run import parse_grid, run_grid
from matinee_platform.report.sensitivity import save_sensitivity_plot, sensitivity_text
from matinee_platform.settings import parse_settings
from matinee_policies.errors import ConfigError, ContextError

METRICS = (*GRID_METRICS, "d28_smoothed")


def _results(shift: dict[str, float]) -> dict[str, Any]:
    """A paired scorecard in which the arm `mmr` differs from the control by `shift`."""

    def arm(difference: dict[str, Any] | None, value: float) -> dict[str, Any]:
        return {
            **{metric: value for metric in METRICS if not metric.startswith("d")},
            **{metric: {"rate": value} for metric in METRICS if metric.startswith("d")},
            "standard_errors": dict.fromkeys(METRICS, 0.01),
            "reference": difference is not None,
            "difference": difference,
            "ild": 0.7,
            "coverage": 0.5,
            "gini": 0.6,
        }

    differences = {
        metric: {
            "difference": shift.get(metric, 0.0),
            "low": shift.get(metric, 0.0) - 0.01,
            "high": shift.get(metric, 0.0) + 0.01,
        }
        for metric in METRICS
    }
    return {
        "paired": True,
        "control": "mf",
        "data": "drawn",
        "confidence": 0.95,
        "arms": {"mf": arm(None, 0.2), "mmr": arm(differences, 0.21)},
    }


def test_what_holds_is_what_has_one_sign_at_every_point() -> None:
    grid = sensitivity_grid(
        {
            2.0: _results({"ctr": 0.05, "d28": -0.05, "d7": 0.05}),
            0.5: _results({"ctr": 0.03, "d28": 0.05, "d7": 0.001}),
            1.0: _results({"ctr": 0.04, "d28": 0.05, "d7": 0.05}),
        }
    )
    assert list(grid.values) == [0.5, 1.0, 2.0]
    found = {found.metric: found for found in grid.conclusions()}
    assert (found["ctr"].signs, found["ctr"].holds) == ((1, 1, 1), True)
    assert (found["d28"].signs, found["d28"].holds) == ((1, 1, -1), False)
    assert (found["d7"].signs, found["d7"].holds) == ((0, 1, 1), False)
    assert not found["sessions_per_user"].holds
    values = grid.to_json()["points"][0]["arms"]
    assert values["mmr"]["ctr"]["standard_error"] == 0.01
    assert values["mf"]["ctr"]["difference"] is None


def test_the_table_and_the_plot_show_every_arm(tmp_path: Path) -> None:
    grid = sensitivity_grid({0.5: _results({}), 1.0: _results({"ctr": 0.05})})
    text = sensitivity_text(grid)
    assert "mf (control)" in text
    assert "mmr (reference)" in text
    assert "20.00 ± 1.00" in text
    path = tmp_path / "plot.svg"
    save_sensitivity_plot(grid, path)
    root = ET.fromstring(path.read_text(encoding="utf-8"))  # noqa: S314 - our own
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    shown = "".join(root.itertext())
    assert "mf" in shown
    assert "mmr" in shown


def test_grids_of_other_arms_are_refused() -> None:
    other = _results({})
    other["arms"]["new"] = other["arms"]["mmr"]
    with pytest.raises(ContextError, match="same arms"):
        sensitivity_grid({1.0: _results({}), 2.0: other})
    with pytest.raises(ContextError, match="at least one"):
        sensitivity_grid({})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b", "must be numbers, comma-separated, got 'a,b'"),
        ("", "must be numbers, comma-separated, got ''"),
        ("1,1", r"must be distinct and at least one, got \[1.0, 1.0\]"),
        ("-1", "must be finite and >= 0, got -1.0"),
        ("nan", "must be finite and >= 0, got nan"),
    ],
)
def test_mistakes_of_a_grid_are_named(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_grid(text)


def test_a_lone_option_takes_the_usual_grid() -> None:
    assert with_grid(["x", "--sensitivity"]) == ["x", "--sensitivity=0.5,1,2"]
    assert with_grid(["--sensitivity=3"]) == ["--sensitivity=3"]
    assert with_grid(["--sensitivity", "oops"]) == ["--sensitivity", "oops"]


def test_only_paired_experiments_have_a_grid(tmp_path: Path) -> None:
    settings = parse_settings({"arms": [{"name": "mf", "policy": {"kind": "score_order"}}]})
    with pytest.raises(ConfigError, match="design must be paired for a grid"):
        run_grid(settings, tmp_path / "out", grid=[1.0], workers=1)
    assert not (tmp_path / "out").exists()
