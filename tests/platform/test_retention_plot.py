"""The retention plot: what it says, that nothing overlaps or is cut off, and its manners."""

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from matinee_platform.analysis.retention import RetentionCurve, wilson_interval
from matinee_platform.analysis.retention_plot import (
    retention_figure,
    save_retention_plot,
    spread,
)
from matinee_policies.errors import ContextError


def curve(level: float, *, days: int = 35, users: int = 400, arrival: int = 7) -> RetentionCurve:
    day = np.arange(days)
    eligible = np.round(users * np.minimum(1, (days - day) / arrival)).astype(np.int64)
    rate = np.where(day == 0, 1.0, level * (1.0 + day) ** -0.5)
    low, high = wilson_interval(rate * eligible, eligible)
    return RetentionCurve(day=day, eligible=eligible, rate=rate, low=low, high=high)


def arms(count: int) -> dict[str, RetentionCurve]:
    return {f"arm_{number}": curve(0.4 + 0.002 * number) for number in range(count)}


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_same_curves_same_bytes(tmp_path: Path, suffix: str) -> None:
    written = []
    for name in ("one", "two"):
        path = tmp_path / (name + suffix)
        save_retention_plot(arms(3), [path], title="demo", control="arm_1")
        written.append(path.read_bytes())
    assert written[0] == written[1]
    assert written[0].startswith(b"\x89PNG" if suffix == ".png" else b"<?xml")


def test_the_plot_names_every_arm_the_control_and_its_denominator(tmp_path: Path) -> None:
    path = tmp_path / "plot.svg"
    save_retention_plot(arms(5), [path], title="who comes back", control="arm_2")
    text = path.read_text()
    for number in range(5):
        assert f"arm_{number}" in text
    assert text.count("(control)") == 1
    assert text.count("% on day 28") == 5
    assert "who comes back" in text
    assert "400 users per arm" in text
    assert "lies within the run" in text


def test_days_that_few_units_have_reached_are_not_drawn() -> None:
    figure = retention_figure(arms(2), title="demo", control="arm_0")
    # Of 35 days with arrivals over 7, half of the units have matured up to day 31.
    assert figure.axes[0].get_xlim() == (1, 31)


@pytest.mark.parametrize("days", [1, 2, 5, 400])
def test_any_length_of_run(tmp_path: Path, days: int) -> None:
    curves = {"a": curve(0.4, days=days), "b": curve(0.0, days=days)}
    save_retention_plot(curves, [tmp_path / "plot.png"], title="demo", control="a")


def test_arms_without_units(tmp_path: Path) -> None:
    whole, real = np.zeros(0, dtype=np.int64), np.zeros(0)
    none = RetentionCurve(day=whole, eligible=whole, rate=real, low=real, high=real)
    save_retention_plot({"a": none}, [tmp_path / "plot.png"], title="demo", control="a")
    curves = {"a": none, "b": curve(0.3)}
    save_retention_plot(curves, [tmp_path / "plot.png"], title="demo", control="a")


@pytest.mark.parametrize("count", [1, 6, 12])
def test_words_stay_on_the_page_and_apart(count: int) -> None:
    curves = {f"{name}_{'x' * 30}": one for name, one in arms(count).items()}
    figure = retention_figure(curves, title="demo", control=next(iter(curves)))
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()  # type: ignore[no-untyped-call]
    page = figure.bbox
    words = [word for word in figure.findobj(Text) if isinstance(word, Text) and word.get_text()]
    boxes = [word.get_window_extent() for word in words if word.get_visible()]
    for box in boxes:
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= page.width
        assert box.y1 <= page.height
    labels = [word.get_window_extent() for word in words if " on day " in word.get_text()]
    assert len(labels) == count
    labels.sort(key=lambda box: box.y0)
    assert all(below.y1 <= above.y0 + 1 for below, above in pairwise(labels))


def test_arms_look_different() -> None:
    figure = retention_figure(arms(12), title="demo", control="arm_0")
    drawn = [line for line in figure.axes[0].lines if len(np.asarray(line.get_xdata())) > 2]
    looks = {repr((line.get_color(), vars(line)["_unscaled_dash_pattern"])) for line in drawn}
    assert len(looks) == 12


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=12),
    st.floats(0.001, 0.1),
    st.floats(0, 0.2),
)
def test_labels_move_apart(places: list[float], step: float, low: float) -> None:
    wished = np.array(places)
    found = spread(wished, step=step, low=low)
    order = np.argsort(wished, kind="stable")
    assert (np.diff(found[order]) >= step * (1 - 1e-9)).all()
    assert (found >= low).all()


def test_labels_that_collide_share_the_way() -> None:
    found = spread(np.array([0.3, 0.3, 0.9, 0.32]), step=0.1, low=0.0)
    centre = (0.3 + 0.3 + 0.32) / 3
    np.testing.assert_allclose(found, [centre - 0.1, centre, 0.9, centre + 0.1])


def test_labels_at_the_bottom_are_pushed_up() -> None:
    np.testing.assert_allclose(spread(np.zeros(3), step=0.1, low=0.05), [0.05, 0.15, 0.25])


def test_labels_that_fit_stay_where_they_are() -> None:
    places = np.array([0.9, 0.1, 0.5])
    np.testing.assert_allclose(spread(places, step=0.1, low=0.0), places, rtol=1e-12)


def test_bad_arguments_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    paths = [tmp_path / "plot.png", tmp_path / "plot.jpg"]
    with pytest.raises(ContextError, match=r"\.png or \.svg, got 'plot\.jpg'"):
        save_retention_plot(arms(2), paths, title="demo", control="arm_0")
    with pytest.raises(ContextError, match="one of the arms arm_0, arm_1, got 'mf'"):
        save_retention_plot(arms(2), paths[:1], title="demo", control="mf")
    with pytest.raises(ContextError, match="none"):
        save_retention_plot({}, paths[:1], title="demo", control="mf")
    assert list(tmp_path.iterdir()) == []


def test_no_global_plotting_state_is_loaded() -> None:
    code = (
        "import sys, matinee_platform.analysis.retention_plot;"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
