"""What the report says in words and numbers, and how its charts carry names and gaps."""

from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from matinee_platform.report.formats import number, percent, signed, small
from matinee_platform.report.headline import headline, retention_metric
from matinee_platform.report.scale import Scale, round_ticks
from matinee_platform.report.svg import Axis, Chart, Series, bar_strip, dot_chart, line_chart
from matinee_platform.settings import ExperimentSettings, parse_settings

METRICS = ("engagement_per_user", "ctr", "d1", "d7", "d28")
HOSTILE = '<script>alert("x")</script>&'


def found(low: float, high: float) -> dict[str, float]:
    return {"difference": (low + high) / 2, "low": low, "high": high, "relative": 0.1}


def settings(arms: int = 3, **changes: Any) -> ExperimentSettings:
    return parse_settings(
        {
            "name": "words",
            "days": 35,
            "arms": [
                {"name": f"arm_{n}", "weight": 1 / arms, "policy": {"kind": "score_order"}}
                for n in range(arms)
            ],
            **changes,
        }
    )


def results(*differences: dict[str, float], **changes: Any) -> dict[str, Any]:
    rate = {"rate": 0.2, "matured": 1.0}
    arms: dict[str, Any] = {}
    for place, difference in enumerate((None, *differences)):
        arms[f"arm_{place}"] = {
            "users": 500,
            "reference": False,
            **{day: dict(rate) for day in ("d1", "d7", "d28")},
            "difference": None if difference is None else dict.fromkeys(METRICS, difference),
        }
    return {
        "control": "arm_0",
        "confidence": 0.95,
        "paired": False,
        "srm_p_value": 0.4,
        "arms": arms,
        **changes,
    }


def test_only_intervals_beyond_zero_are_called_clear() -> None:
    said = headline(settings(), results(found(0.01, 0.03), found(-0.01, 0.03)))
    assert said.findings[0] == "D28 against arm_0: clearly higher for arm_1."
    assert [phrase.clear for phrase in said.arms[0].phrases] == [True, True, True]
    assert [phrase.clear for phrase in said.arms[1].phrases] == [False, False, False]
    assert said.arms[0].phrases[0].text == "+2.00 pp (+1.00 to +3.00)"


def test_losses_and_ties_are_told_as_such() -> None:
    said = headline(settings(), results(found(-0.03, -0.01), found(-0.01, 0.01)))
    assert said.findings[0] == "D28 against arm_0: clearly lower for arm_1; higher for none."
    said = headline(settings(2), results(found(-0.01, 0.01)))
    assert said.findings[0] == "D28 against arm_0: no arm differs clearly."
    assert "nothing to compare" in headline(settings(1), results()).findings[0]


def test_a_reference_is_marked_and_wins_nothing() -> None:
    values = results(found(0.01, 0.03))
    values["arms"]["arm_1"]["reference"] = True
    said = headline(settings(2), values)
    assert "no arm differs" in said.findings[0]
    assert any("Reference (arm_1)" in caution for caution in said.cautions)


@pytest.mark.parametrize(("p_value", "alarm"), [(0.0009, True), (0.0011, False)])
def test_a_broken_split_raises_the_alarm(p_value: float, alarm: bool) -> None:
    said = headline(settings(2), results(found(0.01, 0.03), srm_p_value=p_value))
    assert said.alarm is alarm
    assert ("ALARM" in said.gate) is alarm


def test_a_paired_design_has_no_split() -> None:
    said = headline(settings(2), results(found(0.01, 0.03), srm_p_value=None, paired=True))
    assert not said.alarm
    assert "paired design" in said.gate


def test_short_small_and_immature_runs_say_so() -> None:
    values = results(found(0.01, 0.03))
    for arm in values["arms"].values():
        arm["users"] = 40
        arm["d28"] = {"rate": None, "matured": 0.0}
        arm["d7"] = {"rate": 0.1, "matured": 0.5}
    said = headline(settings(2, days=5), values)
    assert retention_metric(values) == "d7"
    text = " ".join(said.cautions)
    for part in ("simulation, not your users", "Few users", "Short: 5 days", "D7 counts users"):
        assert part in text


def test_what_does_not_exist_is_a_dash() -> None:
    assert {number(None), percent(None), signed(float("nan")), small(None)} == {"\u2013"}
    assert signed(-0.5) == "\u22120.50"
    assert small(2.5e-10) == "2.5e-10"


def test_scales_and_ticks_stay_within_their_range() -> None:
    scale = Scale(0.0, 10.0, 100.0, 0.0)
    assert (scale(0.0), scale(10.0), scale(5.0)) == (100.0, 0.0, 50.0)
    assert np.isfinite(Scale(3.0, 3.0, 0.0, 1.0)(3.0))
    for low, high in ((0, 1), (-3, 7.5), (0.701, 0.88), (0, 1e-6), (5, 5)):
        ticks = round_ticks(low, high)
        assert all(low - 1e-9 <= tick <= high + 1e-9 for tick in ticks)
        assert 1 <= len(ticks) <= 11


def series(name: str, place: int, y: list[float]) -> Series:
    values = np.array(y, dtype=np.float64)
    return Series(
        name,
        place,
        (6, 2),
        np.arange(len(y)).astype(np.float64),
        values,
        values - 0.1,
        values + 0.1,
    )


def axis() -> Axis:
    return Axis("a < b", str)


@pytest.mark.parametrize("draw", [line_chart, dot_chart])
def test_names_are_escaped_and_the_drawing_is_well_formed(draw: Any) -> None:
    chart = Chart(HOSTILE, axis(), axis(), [series(HOSTILE, 0, [1.0]), series("b", 1, [2.0])])
    drawing = draw(chart, name="one")
    ET.fromstring(drawing)  # noqa: S314 - our own drawing
    assert "<script" not in drawing
    assert 'role="img"' in drawing


def test_a_gap_interrupts_the_line_and_nothing_is_drawn_for_nan() -> None:
    chart = Chart("gap", axis(), axis(), [series("a", 0, [1.0, 2.0, np.nan, 3.0, 4.0])])
    drawing = line_chart(chart, name="gap")
    line = drawing.split('class="line s0"')[1].split(' d="')[1].split('"')[0]
    assert line.count("M") == 2
    assert "nan" not in drawing
    empty = Chart("empty", axis(), axis(), [series("a", 0, [np.nan, np.nan])])
    for draw in (line_chart, dot_chart):
        assert "nan" not in draw(empty, name="empty")


def test_many_names_at_one_place_keep_apart() -> None:
    chart = Chart("many", axis(), axis(), [series(f"arm_{n}", n, [1.0, 2.0]) for n in range(12)])
    root = ET.fromstring(line_chart(chart, name="many"))  # noqa: S314
    places = [
        float(text.attrib["y"])
        for text in root.iter("text")
        if (text.text or "").startswith("arm_")
    ]
    assert np.diff(np.sort(places)).min() >= 12.0
    assert max(places) <= chart.height


def test_a_histogram_shows_rare_bins() -> None:
    strip = bar_strip(np.array([0.0, 1e-5, 0.99999]), number=0, label=HOSTILE, name="strip")
    assert strip.count("<rect") == 2
    assert "<script" not in strip
