"""The statistical promises in their quick form: small sizes, bars widened by four errors."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from promises import Promise
from stats import any_time, coverage, fair_arms, false_alarms, lost_exposure, stated_power
from stats.effort import FULL, QUICK, Effort
from stats.made_up_units import made_up_log
from stats.results_page import BEGIN, END, write_results

ROOT = Path(__file__).parents[1]


def _broken(promises: list[Promise]) -> list[str]:
    assert promises
    return [f"{one.name}: {one.measured}" for one in promises if not one.kept]


@pytest.mark.parametrize(
    "measure",
    [coverage.measure, stated_power.measure, lost_exposure.measure, fair_arms.measure],
    ids=["S3", "S4", "S5", "S6"],
)
def test_made_up_experiments_keep_the_promises(measure: Callable[[Effort], list[Promise]]) -> None:
    assert _broken(measure(QUICK)) == []


def test_a_log_assigned_anew_keeps_the_promises() -> None:
    log = made_up_log(1, units=QUICK.users)
    assert _broken(false_alarms.measure(log, QUICK)) == []
    found = any_time.measure(log, QUICK)
    assert _broken(found) == []
    # What the view replaces would be alarmed in vain, or nothing was shown.
    assert all(float(one.measured.split()[-1].rstrip("%")) > 15 for one in found)


def test_bars_are_the_promise_itself_in_the_full_form() -> None:
    assert FULL.at_most(0.05, 0.05, trials=1_000)
    assert not FULL.at_most(0.051, 0.05, trials=1_000)
    assert QUICK.at_most(0.1, 0.05, trials=100)
    assert not QUICK.at_least(0.6, 0.8, trials=100)


def test_the_table_stands_between_its_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    kept = Promise(name="S1 ctr", measured="5.1 %", asked="5 %", kept=True)
    write_results(page, [kept, replace(kept, kept=False)], facts="Quick form.")
    assert page.read_text(encoding="utf-8").splitlines() == [
        "before",
        BEGIN,
        "Quick form.",
        "",
        "| promise | measured | asked | kept |",
        "|---|---|---|---|",
        "| S1 ctr | 5.1 % | 5 % | yes |",
        "| S1 ctr | 5.1 % | 5 % | **no** |",
        "",
        END,
        "after",
    ]
    assert BEGIN in (ROOT / "docs" / "statistics.md").read_text(encoding="utf-8")
    page.write_text("none", encoding="utf-8")
    with pytest.raises(ValueError, match="must hold the lines"):
        write_results(page, [kept], facts="")
