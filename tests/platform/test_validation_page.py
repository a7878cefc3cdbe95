"""The page and the table of a validation, from its JSON alone."""

import json
import re
import shutil
import subprocess
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matinee_platform.report.validation import (
    BEGIN,
    END,
    headline,
    markdown_table,
    render_page,
    replace_table,
)
from matinee_platform.report.validation_figures import range_strip, validation_chart
from matinee_policies.errors import DataError
from matinee_simulator.stylised_facts import Figure, Finding, Line, Plot, Verdict, fact, judge

HOSTILE = '<script>alert("x")</script>'
VOID = {"meta", "br", "line", "path", "rect", "circle"}


class Page(HTMLParser):
    """Checks that tags close in order; keeps tags, ids, links and handlers."""

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
            if name in ("src", "href", "action", "data"):
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


def finding(number: int, value: float, *, log: bool = False) -> Finding:
    x = np.array([1.0, 10.0, 100.0])
    return fact(number).finding(
        [
            Figure(
                name="slope",
                value=value,
                standard_error=0.01,
                reference=0.5,
                source=HOSTILE,
                low=0.4,
                high=0.6,
            ),
            Figure(name="told", value=float("nan"), gated=False),
        ],
        plot=Plot(
            x_title="rank",
            y_title="share",
            x_log=log,
            y_log=log,
            lines=(
                Line(name="simulated", role="simulated", x=x, y=1 / x, low=0.9 / x, high=1.1 / x),
                Line(name=HOSTILE, role="data", x=x, y=np.array([1.0, 0.0, np.nan]), dots=True),
            ),
        ),
        explain="Because.",
    )


def results(*findings: Finding) -> dict[str, Any]:
    content = {
        "data": f"some data {HOSTILE}",
        "seed": 1,
        "size": "quick",
        "parameters": {"click_base": -3.6},
        "seconds": 12.3,
        "counts": {},
        "passed": True,
        "findings": [{**one.to_json(), "seconds": 0.1} for one in findings],
    }
    return dict(json.loads(json.dumps(content, allow_nan=False)))


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return results(
        finding(1, 0.5),
        finding(2, 0.9, log=True),
        fact(10).without(Verdict.NOT_APPLICABLE, "No clock."),
    )


@pytest.fixture(scope="module")
def text(found: dict[str, Any]) -> str:
    return render_page(found)


def test_the_page_stands_alone_and_carries_hostile_text_safely(text: str) -> None:
    page = Page(text)
    assert not page.open
    assert not page.handlers
    assert page.links == ["#fact-1", "#fact-2", "#fact-10"]
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)
    assert page.tags["script"] == page.tags["link"] == page.tags["img"] == page.tags["iframe"] == 0
    assert not re.search(r"https?://|@import|url\(", text)
    assert len(set(page.ids)) == len(page.ids)
    assert 'name="viewport"' in text
    assert "@media print" in text


def test_each_check_has_its_plot_its_verdict_and_its_reason(text: str) -> None:
    assert text.count('<article class="check"') == 3
    # A chart for each fact with figures, and a strip for each gated figure.
    assert text.count('role="img"') == 2 + 2
    assert "slope is 0.900, above 0.600" in text
    assert "Because." in text
    assert "No clock." in text
    assert "not applicable, not gated" in text
    assert ">nan<" not in text
    assert "None" not in text


def test_the_headline_counts_gated_checks(found: dict[str, Any]) -> None:
    assert headline(found) == "1 of 2 gated checks pass, 1 fail: fact 2."
    assert headline(results(finding(1, 0.5))) == "1 of 1 gated checks pass."
    silent = results(fact(3).without(Verdict.NOT_RUN, "later"))
    assert headline(silent) == "0 of 1 gated checks pass. 1 could not be judged."


def test_the_same_results_give_the_same_page(found: dict[str, Any], text: str) -> None:
    assert render_page(found) == text


def test_a_strip_says_within_or_outside() -> None:
    inside, outside = (finding(1, value).to_json()["figures"][0] for value in (0.5, 0.9))
    assert "within the accepted range" in str(range_strip(inside, name="a"))
    assert "outside the accepted range" in str(range_strip(outside, name="a"))
    assert range_strip({**inside, "gated": False}, name="a") is None
    assert range_strip({**inside, "value": None}, name="a") is None
    assert range_strip({**inside, "low": None, "high": None}, name="a") is None


def test_charts_leave_out_what_has_no_logarithm() -> None:
    plot = finding(1, 0.5, log=True).to_json()["plot"]
    drawing = str(validation_chart(plot, label="a", name="b").drawing)
    assert drawing.count("<circle") == 1
    assert "nan" not in drawing


def test_the_table_names_what_is_outside_and_escapes_bars(found: dict[str, Any]) -> None:
    found = json.loads(json.dumps(found))
    found["findings"][0]["title"] = "a|b"
    lines = markdown_table(found).splitlines()
    assert len(lines) == 5
    assert lines[2].startswith("| fact 1 | a\\|b | slope 0.500 ± 0.010 [0.500")
    assert lines[3].endswith("| FAILS |")
    assert lines[4].endswith("| No clock. | not applicable |")


def test_the_table_replaces_what_is_between_the_marks(
    found: dict[str, Any], tmp_path: Path
) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    for _ in range(2):
        replace_table(page, found, command="matinee validate")
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert text.count(BEGIN) == text.count(END) == 1
    assert "old" not in text
    assert "- **fact 2**: slope is 0.900" in text
    page.write_text("no marks", encoding="utf-8")
    with pytest.raises(DataError, match="must hold the lines"):
        replace_table(page, found, command="matinee validate")


def test_a_browser_opens_the_page(text: str, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        # Without a browser the page is at least whole; its parts are checked above.
        assert Page(text).tags["html"] == 1
        return
    page = tmp_path / "validation.html"
    page.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--window-size=360,800",
            "--virtual-time-budget=1000",
            "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen = Page(done.stdout)
    assert seen.tags["article"] == 3
    assert seen.tags["svg"] == text.count("<svg")


def test_judging_is_what_the_page_says() -> None:
    verdict, reason = judge(finding(2, 0.9).figures)
    assert verdict is Verdict.FAIL
    assert reason in render_page(results(finding(2, 0.9))).replace("&lt;", "<").replace(
        "&gt;", ">"
    ).replace("&#34;", '"')
