"""Clicks by what had been seen before, against a count of every event of the log."""

import json
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from matinee_platform.analysis.interaction_curve import IMPRESSIONS, SESSIONS
from matinee_platform.cli import app
from matinee_platform.decision_log import read_parts
from matinee_platform.serving_model import load_serving_model


def stage(earlier: int, edges: tuple[int, ...]) -> int:
    return max(edge for edge in edges if edge <= earlier)


def test_classes_equal_a_count_of_every_slot(tiny_run: Path, tmp_path: Path) -> None:
    plot = tmp_path / "curve.svg"
    done = CliRunner().invoke(app, ["learning-curve", str(tiny_run), "--json", "--plot", str(plot)])
    assert done.exit_code == 0, done.output
    assert "<svg" in plot.read_text(encoding="utf-8")
    told = json.loads(done.stdout)["lin_ucb"]
    clicked = {
        (event["decision_id"], event["slot"])
        for table in read_parts(tiny_run, "rewards", "lin_ucb")
        for event in table.to_pylist()
        if event["component"] == "click"
    }
    popularity = load_serving_model(tiny_run / "model").items.popularity
    seen: Counter[int] = Counter()
    shown: Counter[tuple[str, int]] = Counter()
    clicks: Counter[tuple[str, int]] = Counter()
    for day in range(10):
        today: Counter[int] = Counter()
        for table in read_parts(tiny_run, "decisions", "lin_ucb", day=day):
            for page in table.to_pylist():
                for slot, item in enumerate(page["slate"]):
                    keys = [
                        ("items", stage(seen[item], IMPRESSIONS)),
                        ("users", stage(round(page["unit_state"][-2]), SESSIONS)),
                    ]
                    if popularity[item] == 0:
                        keys.append(("new_items", keys[0][1]))
                    for key in keys:
                        shown[key] += 1
                        clicks[key] += (page["decision_id"], slot) in clicked
                    today[item] += 1
        seen.update(today)
    total = sum(count for (kind, _), count in shown.items() if kind == "items")
    for kind in ("items", "new_items", "users"):
        for one in told[kind]:
            key = (kind, one["least"])
            assert one["impressions"] == shown[key]
            assert one["share"] == pytest.approx(shown[key] / total)
            if shown[key]:
                assert one["ctr"] == pytest.approx(clicks[key] / shown[key])
    assert sum(one["impressions"] for one in told["users"]) == total


def test_the_command_speaks_to_people(tiny_run: Path) -> None:
    done = CliRunner().invoke(app, ["learning-curve", str(tiny_run)])
    assert done.exit_code == 0, done.output
    assert "items with 0+ impressions before: CTR" in done.stdout
    assert "users with 1+ sessions before" in done.stdout
