"""The dashboards: committed as generated, read by Grafana's own types, whole, of our metrics."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from matinee_dashboards.boards import BOARDS
from matinee_dashboards.grafana import dashboard_json
from matinee_dashboards.records import Board, Panel, Query
from matinee_platform import metrics

ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "dashboards" / "grafana"
RUNBOOKS = ROOT / "docs" / "operations.md"

_RANGE = re.compile(r"\[([^\]]+)\]")
_VARIABLE = re.compile(r"\$\{?(\w+)")
_METRIC = re.compile(r"\bmatinee_\w+")
_SUFFIX = re.compile(r"_(?:bucket|sum|count)$")
_QUANTILE = re.compile(r"histogram_quantile\([\d.]+, sum by \(([^)]*)\)")

each_board = pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)


def committed(board: Board) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FILES / f"{board.uid}.json").read_text(encoding="utf-8"))
    return found


def expressions() -> list[str]:
    return [query.expr for board in BOARDS for panel in board.panels for query in panel.queries]


def test_the_committed_files_are_the_generated_ones() -> None:
    assert {file.name for file in FILES.iterdir()} == {f"{board.uid}.json" for board in BOARDS}
    for board in BOARDS:
        text = (FILES / f"{board.uid}.json").read_text(encoding="utf-8")
        assert text == dashboard_json(board), f"run `make dashboards` ({board.uid})"


def test_what_stands_in_for_nothing_adds_no_line_beside_something() -> None:
    """`or` keeps what has other labels: a line without a reason, say, beside those with one."""
    found = [expr for expr in expressions() if " or " in expr]
    assert found
    for expr in found:
        labels = re.findall(r"\bby \(([^)]*)\)", re.sub(r"max by \(arm, lesson\)", "max", expr))
        assert len(set(labels)) == 1, expr
        assert "vector(" not in expr or " or on () " in expr, expr


@each_board
def test_grafanas_own_types_read_a_file_and_write_it_again(board: Board) -> None:
    once = committed(board)
    read = Dashboard.from_json(once)
    assert json.loads(json.dumps(read, cls=JSONEncoder)) == once


@each_board
def test_every_panel_says_what_it_shows_in_which_unit(board: Board) -> None:
    assert board.uid
    assert board.description
    panels = committed(board)["panels"]
    shown = [panel for panel in panels if panel["type"] != "row"]
    assert len(shown) == len(board.panels)
    assert len({panel["id"] for panel in panels}) == len(panels)
    titles = [panel["title"] for panel in shown]
    assert len(set(titles)) == len(titles)
    for panel in shown:
        assert len(panel["description"]) > 20, panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}"


@each_board
def test_panels_stand_side_by_side_and_never_on_one_another(board: Board) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in committed(board)["panels"]:
        place = panel["gridPos"]
        assert place.get("x", 0) + place["w"] <= 24
        cells = {
            (place.get("x", 0) + across, place.get("y", 0) + down)
            for across in range(place["w"])
            for down in range(place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


@each_board
def test_every_variable_is_declared_and_used(board: Board) -> None:
    whole = committed(board)
    declared = [variable["name"] for variable in whole["templating"]["list"]]
    used = set(_VARIABLE.findall(json.dumps(whole["panels"])))
    used |= {panel["repeat"] for panel in whole["panels"] if panel.get("repeat")}
    used |= set(_VARIABLE.findall(json.dumps(whole["templating"])))
    assert used - {"__rate_interval", "__range"} == set(declared)
    assert {"datasource", "experiment", "arm"} <= set(declared)


def test_rates_follow_the_scrape_and_quantiles_keep_their_buckets() -> None:
    for expr in expressions():
        assert set(_RANGE.findall(expr)) <= {"$__rate_interval", "$__range"}, expr
        kept = _QUANTILE.findall(expr)
        assert len(kept) == expr.count("histogram_quantile("), expr
        for labels in kept:
            assert "le" in labels.split(", "), expr


def test_dashboards_name_declared_metrics_alone() -> None:
    declared = {one.name for one in vars(metrics).values() if isinstance(one, metrics.Metric)}
    named = {_SUFFIX.sub("", name) for expr in expressions() for name in _METRIC.findall(expr)}
    assert named <= declared, named - declared
    series = " ".join(variable.series for board in BOARDS for variable in board.variables)
    assert set(_METRIC.findall(series)) <= declared


def test_what_every_process_shows_is_never_added_up() -> None:
    """Services and a learner with a port of its own show the same counts of the learner."""
    shared = (
        *metrics.KPI_METRICS,
        *metrics.LIVE_KPI_METRICS,
        *metrics.LEARNER_METRICS,
        *metrics.ANALYSIS_METRICS,
    )
    names = "|".join(one.name for one in shared)
    added = re.compile(rf"sum(?: by \([^)]*\))? ?\((?:rate\()?(?:{names})\b")
    assert [expr for expr in expressions() if added.search(expr)] == []


def test_what_to_do_is_written_where_the_panels_say() -> None:
    headings = re.findall(r"^#+ (.+)$", RUNBOOKS.read_text(encoding="utf-8"), re.MULTILINE)
    sections = {re.sub(r"[^\w -]", "", one).lower().replace(" ", "-") for one in headings}
    linked = {panel.runbook for board in BOARDS for panel in board.panels if panel.runbook}
    assert linked
    assert linked <= sections, linked - sections


def test_colours_begin_below_every_value() -> None:
    steps = {
        panel["title"]: panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        for board in BOARDS
        for panel in committed(board)["panels"]
        if "thresholds" in panel.get("fieldConfig", {}).get("defaults", {})
    }
    for title, each in steps.items():
        values = [one["value"] for one in each]
        assert values[0] is None, title
        assert values[1:] == sorted(set(values[1:])), title
    either_way = [(one["value"], one["color"]) for one in steps["Departure of engagement"]]
    assert either_way == [(None, "red"), (-4.0, "green"), (4.0, "red")]


def test_a_table_names_each_of_its_queries() -> None:
    with pytest.raises(ValueError, match="do not name 1 queries"):
        Panel("t", "A table.", "short", (Query("up"),), kind="table", columns=("one", "two"))
