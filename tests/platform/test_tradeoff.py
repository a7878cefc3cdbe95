"""Paired runs put together: means, standard errors and p-values against closed forms."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from matinee_platform.analysis.compare import paired_difference
from matinee_platform.analysis.tradeoff import METRICS, combine
from matinee_platform.report.tradeoff import (
    BEGIN,
    END,
    markdown_table,
    replace_section,
    save_tradeoff_plot,
)
from matinee_policies.errors import ContextError, DataError


def _card(control: np.ndarray, arm: np.ndarray) -> dict[str, Any]:
    found = paired_difference(arm, control)
    difference = {"difference": found.difference, "low": found.low, "high": found.high}

    def values(sample: np.ndarray) -> dict[str, Any]:
        mean = float(sample.mean())
        rates = {name: {"rate": mean} for name in METRICS if name.startswith("d")}
        plain = {"ctr": mean, "engagement_per_user": mean, "sessions_per_user": mean}
        return {**plain, **rates, "ild": 0.7, "coverage": 0.2, "gini": 0.5}

    return {
        "paired": True,
        "data": "drawn",
        "control": "control",
        "confidence": 0.95,
        "arms": {
            "control": {**values(control), "difference": None},
            "arm": {**values(arm), "difference": dict.fromkeys(METRICS, difference)},
        },
    }


def _samples(seed: int, n: int = 4_000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    control = rng.normal(2.0, 1.0, n)
    return control, control + rng.normal(0.05, 0.5, n)


def test_one_seed_is_the_paired_test() -> None:
    control, arm = _samples(1)
    found = combine([_card(control, arm)])["arm"]["d28"]
    oracle = stats.ttest_rel(arm, control)
    assert found.value == pytest.approx(arm.mean())
    assert found.difference == pytest.approx((arm - control).mean())
    assert found.standard_error == pytest.approx(stats.sem(arm - control), rel=1e-3)
    assert found.difference / found.standard_error == pytest.approx(oracle.statistic, rel=1e-3)
    assert found.p_value == pytest.approx(2 * stats.norm.sf(abs(oracle.statistic)), rel=0.02)


def test_errors_of_independent_seeds_add_in_squares() -> None:
    samples = [_samples(seed) for seed in range(4)]
    found = combine([_card(*pair) for pair in samples])["arm"]["ctr"]
    errors = [stats.sem(arm - control) for control, arm in samples]
    assert found.standard_error == pytest.approx(math.hypot(*errors) / 4, rel=1e-3)
    assert found.difference == pytest.approx(np.mean([(a - c).mean() for c, a in samples]))


def test_the_spread_of_seeds_is_told() -> None:
    samples = [_samples(seed) for seed in range(5)]
    found = combine([_card(*pair) for pair in samples])["arm"]["ctr"]
    assert found.seed_error == pytest.approx(stats.sem([(a - c).mean() for c, a in samples]))
    assert math.isnan(combine([_card(*samples[0])])["arm"]["ctr"].seed_error)


def test_the_control_has_no_difference_to_itself() -> None:
    found = combine([_card(*_samples(1))])["control"]["d7"]
    assert math.isnan(found.difference)
    assert math.isnan(found.p_value)


def test_false_positives_are_as_rare_as_stated() -> None:
    rng = np.random.default_rng(7)
    n = 2_000
    rejected = 0
    for _ in range(n):
        control = rng.normal(size=200)
        cards = [_card(control, control + rng.normal(size=200)) for _ in range(2)]
        rejected += combine(cards)["arm"]["d28"].p_value < 0.05
    # Within four standard errors of 5 %.
    assert abs(rejected / n - 0.05) < 4 * math.sqrt(0.05 * 0.95 / n)


@pytest.mark.parametrize(
    "change", [{"paired": False}, {"arms": {}}, {"control": "arm"}, {"data": "other"}]
)
def test_runs_that_do_not_belong_together_are_refused(change: dict[str, Any]) -> None:
    card = _card(*_samples(1))
    with pytest.raises(ContextError):
        combine([card, {**card, **change}])
    with pytest.raises(ContextError):
        combine([])


def test_table_and_plot_show_every_arm(tmp_path: Path) -> None:
    estimates = combine([_card(*_samples(seed)) for seed in range(2)])
    table = markdown_table(estimates, control="control", references=frozenset({"arm"}))
    assert "| control (control) |" in table
    assert "| arm (reference) |" in table
    assert len({line.count("|") for line in table.splitlines()}) == 1
    path = tmp_path / "tradeoff.svg"
    save_tradeoff_plot(estimates, path, control="control", references=frozenset({"arm"}))
    assert "control" in path.read_text(encoding="utf-8")


def test_only_the_section_of_a_page_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "results.md"
    page.write_text(f"# Top\n{BEGIN}\nold\n{END}\nbelow\n", encoding="utf-8")
    for table in ("| first |\n", "| second |\n"):
        replace_section(page, table=table, facts="what was run")
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# Top\n{BEGIN}\nwhat was run\n\n| second |\n")
    assert text.endswith(f"{END}\nbelow\n")
    assert "old" not in text
    assert "first" not in text


def test_a_page_without_marks_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "notes.md"
    page.write_text("my notes", encoding="utf-8")
    with pytest.raises(DataError, match="must hold the lines"):
        replace_section(page, table="", facts="")
    with pytest.raises(DataError, match="absent"):
        replace_section(tmp_path / "absent.md", table="", facts="")
    assert page.read_text(encoding="utf-8") == "my notes"
