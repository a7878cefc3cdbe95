"""The report of a run: it stands alone, carries hostile titles safely, and disturbs nothing."""

import json
import re
import shutil
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from matinee_platform.analysis.logged_sample import last_policy, read_sample
from matinee_platform.analysis.overlap import predict_overlap
from matinee_platform.analysis.regret import read_regret
from matinee_platform.analysis.slate_examples import ArmPolicy, slate_examples
from matinee_platform.cli import app
from matinee_platform.offline.regret_log import RegretLog
from matinee_platform.offline.results import read_results
from matinee_platform.offline.run import run_experiment
from matinee_platform.report.page import write_report
from matinee_platform.serving_model import load_serving_model
from matinee_platform.settings import parse_settings

HOSTILE = '<script>alert("pwned")</script><img src=x onerror=alert(1)>'
VOID = {"meta", "br", "line", "path", "rect", "circle"}


class Page(HTMLParser):
    """Checks that tags close in order, and keeps tags, ids and attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.handlers: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href", "xlink:href", "action", "data"):
                self.links.append(value or "")
            if name.startswith("on"):
                self.handlers.append(name)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


@pytest.fixture(scope="module")
def text(tiny_run: Path) -> str:
    return (tiny_run / "report.html").read_text(encoding="utf-8")


def tiny_arms(tiny_run: Path) -> list[str]:
    return list(read_results(tiny_run)["arms"])


def test_a_run_leaves_a_page_that_needs_nothing_else(text: str) -> None:
    page = Page(text)
    assert not page.open
    assert not page.links
    assert not page.handlers
    assert page.tags["script"] == page.tags["link"] == page.tags["iframe"] == page.tags["img"] == 0
    assert not re.search(r"https?://|@import|url\(", text)
    assert len(text.encode()) < 1_000_000
    assert len(set(page.ids)) == len(page.ids)


def test_every_section_every_arm_and_every_chart_is_there(tiny_run: Path, text: str) -> None:
    for heading in (
        "Scorecard",
        "Retention",
        "Engagement, diversity and who comes back",
        "Learning over the run",
        "Coverage and exposure",
        "What each arm would show the same user",
        "Predicted effective sample size",
        "Regret to the oracle",
        "Drift",
        "Data and settings",
    ):
        assert heading in text
    page = Page(text)
    arms = tiny_arms(tiny_run)
    for arm in arms:
        assert text.count(arm) > 10
        assert read_results(tiny_run)["arm_runs"][arm]["log_hash"] in text
    # Two of retention, two of trade-off, three of learning, exposure, regret, drift; a strip for
    # each arm.
    assert text.count('role="img"') == 10 + len(arms)
    # Five of the analysis: gates, primary metrics, guardrails, others, retention.
    assert text.count("<caption>") == page.tags["table"] == 16
    assert "This is a simulation, not your users" in text
    assert "nan" not in re.sub(r"[a-z_]*nan[a-z_]+|[a-z_]+nan", "", text.lower())


def test_the_cost_of_optimism_is_a_dash_with_the_reason(text: str) -> None:
    rows = re.findall(r'<th scope="row">[^\n]*?lin_ucb.*?</tr>', text)
    reason = "its values are upper bounds: what optimism costs is not a draw"
    assert sum(f"<td>\N{EN DASH}<small>{reason}</small></td>" in row for row in rows) == 1
    assert text.count(reason) == 1


def test_the_same_run_gives_the_same_page(tiny_run: Path, text: str, tmp_path: Path) -> None:
    out = tmp_path / "again.html"
    done = CliRunner().invoke(app, ["report", str(tiny_run), "--out", str(out)])
    assert done.exit_code == 0
    assert out.read_text(encoding="utf-8") == text
    assert list(tmp_path.iterdir()) == [out]


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert done.exit_code != 0
    assert "no finished run" in str(done.exception)
    assert not list(tmp_path.iterdir())


def test_a_bad_place_for_the_file_is_refused(tiny_run: Path, tmp_path: Path) -> None:
    for out in (tmp_path, tmp_path / "missing" / "report.html"):
        done = CliRunner().invoke(app, ["report", str(tiny_run), "--out", str(out)])
        assert "--out must name a file" in str(done.exception)


def test_hostile_titles_stay_text(tiny_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    path = run / "model" / "catalogue.npz"
    catalogue = load_serving_model(run / "model").catalogue
    replace(catalogue, titles=(HOSTILE,) * len(catalogue)).save(path)
    page = Page(write_report(run, read_results(run)).read_text(encoding="utf-8"))
    assert not page.open
    assert page.tags["script"] == page.tags["img"] == 0
    assert not page.handlers
    assert "&lt;script&gt;" in (run / "report.html").read_text(encoding="utf-8")


def test_examples_show_what_a_fixed_policy_did_show(tiny_run: Path) -> None:
    model = load_serving_model(tiny_run / "model")
    sample = read_sample(tiny_run, "mf_order", contexts=model.contexts("mf_order"), size=5_000)
    assert sample is not None
    arms = [
        ArmPolicy(
            name, "popularity" if name == "popularity" else "mf", policy, model.contexts(name)
        )
        for name, policy in ((arm, last_policy(tiny_run, arm)) for arm in tiny_arms(tiny_run))
    ]
    pages = slate_examples(
        sample,
        [*arms, ArmPolicy("oracle", "mf", None, model.contexts("oracle"))],
        source="mf",
        sources=model.sources,
        count=4,
    )
    assert len({page.unit for page in pages}) == 4
    for page in pages:
        row = np.flatnonzero(
            (sample.unit == np.uint64(page.unit))
            & (sample.day == page.day)
            & (sample.page == page.page)
        )[0]
        logged = np.take(sample.contexts.candidates[row], sample.positions[row])
        shown = {slate.arm: slate for slate in page.slates}
        np.testing.assert_array_equal(shown["mf_order"].items, logged)
        assert (shown["mf_order"].propensities == 1.0).all()
        assert np.isin(shown["lin_ucb"].items, sample.contexts.candidates[row]).all()
        # Popularity has no scores in this log, but the same ones for everyone.
        offset = np.asarray(getattr(model.sources["popularity"], "item_offset"))  # noqa: B009
        best = np.sort(offset[sample.contexts.candidates[row]])[::-1][: logged.size]
        np.testing.assert_array_equal(offset[shown["popularity"].items], best)
        assert shown["oracle"].items.size == 0
        assert "truth" in shown["oracle"].note


def test_a_policy_that_never_changed_keeps_its_whole_log(tiny_run: Path) -> None:
    model = load_serving_model(tiny_run / "model")
    for arm in ("mf_order", "mf_explored"):
        sample = read_sample(tiny_run, arm, contexts=model.contexts(arm), size=300)
        assert sample is not None
        assert 150 < len(sample) <= 300
        found = predict_overlap(sample, last_policy(tiny_run, arm))
        assert found.slate_share == 1.0
        assert (found.slot_mean == 1.0).all()


def tiny_oracle(**changes: Any) -> Any:
    return parse_settings(
        {
            "name": "regret",
            "seed": 5,
            "users": 300,
            "days": 4,
            "slots": 4,
            "candidates": 25,
            "control": "uniform",
            "world": {"arrival_days": 1, "click_redundancy": 0.0},
            "arms": [
                {"name": "uniform", "weight": 0.5, "policy": {"kind": "uniform"}},
                {"name": "oracle", "weight": 0.5, "policy": {"kind": "click_oracle"}},
            ],
            **changes,
        }
    )


def test_regret_is_zero_for_the_oracle_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "with"
    with_regret = run_experiment(tiny_oracle(), run, workers=1)
    oracle = read_regret(run, "oracle", days=4, window=4)
    uniform = read_regret(run, "uniform", days=4, window=4)
    assert oracle is not None
    assert uniform is not None
    # The oracle's scores are float32, so that near ties may fall either way.
    assert oracle.mean_high < 1e-6
    assert uniform.mean_low - uniform.mean_low_half > 0.05
    # Without redundancy both bounds are the best page.
    assert uniform.mean_low == pytest.approx(uniform.mean_high, rel=1e-9)
    text = (run / "report.html").read_text(encoding="utf-8")
    assert "oracle (reference)" in text
    assert "Reference (oracle)" in text

    monkeypatch.setattr(RegretLog, "append", lambda *_: None)
    without = run_experiment(tiny_oracle(), tmp_path / "without", workers=1)
    for arm in ("uniform", "oracle"):
        assert without["arm_runs"][arm]["log_hash"] == with_regret["arm_runs"][arm]["log_hash"]
    assert "This run noted no regret" in (tmp_path / "without" / "report.html").read_text("utf-8")


def test_a_single_arm_for_one_day_has_a_page_too(tmp_path: Path) -> None:
    arms = [{"name": "only", "weight": 1.0, "policy": {"kind": "uniform"}}]
    run = tmp_path / "one"
    run_experiment(tiny_oracle(arms=arms, control="only", users=12, days=1), run, workers=1)
    page = Page((run / "report.html").read_text(encoding="utf-8"))
    assert not page.open
    assert json.loads((run / "results.json").read_text(encoding="utf-8"))["arms"].keys() == {"only"}
