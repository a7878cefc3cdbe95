"""Rules name declared metrics and labels, alerts lead to their paragraph, promtool tests hold."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from matinee_dashboards.__main__ import main as write_dashboards
from matinee_dashboards.runbooks import OF_ALERTS
from matinee_platform.metrics import DECLARED, Metric
from matinee_platform.offline.metrics_history import export_openmetrics
from matinee_platform.offline.run import run_experiment
from matinee_platform.settings import parse_settings

ROOT = Path(__file__).parents[2]
RULES = ROOT / "dashboards" / "rules"
FILES = sorted(RULES.glob("*.yml"))
TESTS = sorted((RULES / "tests").glob("*.yml"))
ADDED = {"instance", "job", "le"}
"""Labels that a scrape or a histogram adds."""

_NAME = re.compile(r"\bmatinee(?:_\w+|(?::\w+)+)")
_BY = re.compile(r"\bby \(([\w, ]+)\)")
_OF_SCRAPE = re.compile(r'\bup\{job="(\w+)"\}')
_MATCHED = re.compile(r"(matinee_\w+)\{([^}]*)\}")


def rules() -> Iterator[dict[str, Any]]:
    for path in FILES:
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
            yield from group["rules"]


def alerts() -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def declared() -> dict[str, Metric]:
    """Metrics by every name that a sample of theirs has."""
    found = {one.name: one for one in DECLARED}
    for one in DECLARED:
        if one.kind == "histogram":
            found |= {f"{one.name}_{part}": one for part in ("bucket", "sum", "count")}
    return found


def test_rules_name_declared_metrics_and_labels() -> None:
    known, recorded = declared(), {rule["record"] for rule in rules() if "record" in rule}
    assert len(recorded) == 8
    for rule in rules():
        names = set(_NAME.findall(rule["expr"]))
        assert names or _OF_SCRAPE.search(rule["expr"]), rule
        assert names <= known.keys() | recorded, names - known.keys() - recorded
        labels = {label for name in names & known.keys() for label in known[name].labels} | ADDED
        for some in _BY.findall(rule["expr"]):
            assert set(some.split(", ")) <= labels, rule
        for name, matchers in _MATCHED.findall(rule["expr"]):
            used = {
                one.split("=")[0].rstrip("!") for one in re.findall(r'\w+=~?"|\w+!~?="', matchers)
            }
            assert used <= set(known[name].labels), rule


def test_the_alert_on_processes_that_are_gone_asks_for_the_job_that_is_scraped() -> None:
    (job,) = yaml.safe_load((RULES.parent / "prometheus.yml").read_text())["scrape_configs"]
    expr = alerts()["MatineeUnreachable"]["expr"]
    assert _OF_SCRAPE.findall(expr) == [job["job_name"]] * 2


def test_an_alert_leads_to_its_paragraph() -> None:
    headings = re.findall(r"^### (\w+)$", (ROOT / "docs" / "operations.md").read_text(), re.M)
    assert sorted(headings) == sorted(alerts())
    for name, rule in alerts().items():
        assert rule["annotations"]["runbook_url"] == f"{OF_ALERTS}/operations.md#{name.lower()}"
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in ("warning", "critical")


def test_alerts_and_dashboards_lead_where_a_site_serves_its_runbooks(tmp_path: Path) -> None:
    shutil.copytree(RULES, tmp_path / "rules")
    told = ["--out", str(tmp_path / "grafana"), "--rules", str(tmp_path / "rules")]
    write_dashboards([*told, "--runbooks", "https://wiki.example.org/matinee/"])
    for path in (*FILES, *TESTS):
        text = (tmp_path / path.relative_to(RULES.parent)).read_text(encoding="utf-8")
        assert text.count("https://wiki.example.org/matinee/operations.md#") == text.count(
            "runbook_url: "
        )
        # Nothing else of the file is another.
        assert text.replace("https://wiki.example.org/matinee", OF_ALERTS) == path.read_text()
    for path in (tmp_path / "grafana").iterdir():
        variables = json.loads(path.read_text(encoding="utf-8"))["templating"]["list"]
        (runbooks,) = [one for one in variables if one["name"] == "runbooks"]
        assert runbooks["query"] == "https://wiki.example.org/matinee"
    for odd in ("docs", "/public/docs", "javascript:alert(1)", "https://a b"):
        with pytest.raises(SystemExit):
            write_dashboards([*told, "--runbooks", odd])


def test_every_alert_is_tested_to_fire_and_to_stay_silent() -> None:
    silent: set[str] = set()
    firing: set[str] = set()
    for path in TESTS:
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]:
            for test in group.get("alert_rule_test", []):
                (firing if test["exp_alerts"] else silent).add(test["alertname"])
    assert silent == firing == alerts().keys()


def promtool(*words: str) -> str:
    program = shutil.which("promtool")
    assert program is not None, "promtool is not on PATH: install Prometheus to run these tests"
    done = subprocess.run([program, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.services
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_promtool_takes_the_rules(path: Path) -> None:
    assert "SUCCESS" in promtool("check", "rules", str(path))


@pytest.mark.services
@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name)
def test_alerts_fire_and_stop(path: Path) -> None:
    assert "SUCCESS" in promtool("test", "rules", str(path))


@pytest.mark.services
def test_promtool_makes_a_database_of_a_runs_history(tmp_path: Path) -> None:
    arms = [{"name": name, "policy": {"kind": "score_order"}} for name in ("one", "two")]
    run = parse_settings(
        {
            "name": "small",
            "users": 40,
            "days": 3,
            "slots": 3,
            "candidates": 10,
            "world": {"arrival_days": 1},
            "arms": arms,
        }
    )
    run_experiment(run, tmp_path / "run", workers=1)
    count = export_openmetrics(tmp_path / "run", tmp_path / "history.txt")
    made = promtool(
        *("tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=336h"),
        *(str(tmp_path / "history.txt"), str(tmp_path / "database")),
    )
    blocks = [line.split() for line in made.splitlines() if re.match(r"[0-9A-Z]{26} ", line)]
    assert sum(int(block[4]) for block in blocks) == count
    series = promtool("tsdb", "analyze", str(tmp_path / "database"))
    assert "matinee_retention_eligible_users" in series
