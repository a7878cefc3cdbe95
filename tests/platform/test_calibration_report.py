"""A calibration as text, Markdown and a plot."""

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from matinee_platform.report.calibration import (
    calibration_markdown,
    calibration_text,
    moment_rows,
    save_calibration_plot,
)


def entry(name: str, value: float, fresh: float | None) -> dict[str, Any]:
    return {
        "target": {
            "name": name,
            "value": value,
            "tolerance": 0.02,
            "standard_error": None,
            "n": 1_000_000,
            "kind": "log",
            "source": "mine | yours & <theirs>",
        },
        "before": {"value": 0.5, "standard_error": 0.01},
        "training": {"value": 0.5, "standard_error": None},
        "fresh": {"value": fresh, "standard_error": None if fresh is None else 0.01},
    }


CALIBRATION: dict[str, Any] = {
    "fitted": [
        {
            "name": "leave_base",
            "symbol": "l0",
            "start": 0.96,
            "value": 0.5,
            "error": 0.04,
            "low": -2.0,
            "high": 4.0,
        }
    ],
    "moments": [
        entry("leave_1", 0.6, 0.64),
        entry("leave_2", 0.5, None),
        entry("return_day_1", 0.4, 0.4),
        entry("return_day_28", 0.1, 0.09),
        entry("return_slope", 0.04, 0.03),
    ],
    "depth_curve": [
        {
            "depth": depth,
            "before": {"value": 0.5, "standard_error": 0.1},
            "fresh": {"value": 0.4, "standard_error": 0.1},
        }
        for depth in (2, 3, 4)
    ],
    "never_fitted": {"return_goodwill": "r1 is causal"},
}


def test_tables_tell_how_far_off_each_moment_is() -> None:
    rows = {row[0]: row for row in moment_rows(CALIBRATION)[1]}
    assert rows["leave_1"][-1] == "+2.0"
    assert rows["leave_1"][-2] == "0.6400 ± 0.0100"
    assert rows["leave_2"][-1] == rows["leave_2"][-2] == "-"
    text = calibration_text(CALIBRATION)
    assert "Not fitted: return_goodwill; r1 is causal" in text
    assert max(len(line) for line in text.splitlines()) <= 118
    table = calibration_markdown(CALIBRATION)
    assert "mine / yours" in table
    assert {line.count("|") for line in table.splitlines() if "leave_base" in line} == {7}


@pytest.mark.parametrize("kept", [5, 2, 0])
def test_the_plot_is_an_image_of_every_panel(kept: int, tmp_path: Path) -> None:
    path = tmp_path / "plot.svg"
    save_calibration_plot({**CALIBRATION, "moments": CALIBRATION["moments"][:kept]}, path)
    text = path.read_text(encoding="utf-8")
    drawing = ET.fromstring(text)  # noqa: S314 - our own drawing
    panels = drawing.findall("{http://www.w3.org/2000/svg}svg")
    assert len(panels) == {5: 3, 2: 2, 0: 1}[kept]
    assert "nan" not in text
    boxes = {(panel.get("x"), panel.get("y")) for panel in panels}
    assert len(boxes) == len(panels)
    assert re.search(r"\.s2 \{ stroke: #", text)
