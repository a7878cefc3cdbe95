"""The tables of a report: what stands beside each chart."""

from dataclasses import dataclass

import numpy as np

from matinee_platform.analysis.exposure import most_shown, top_share
from matinee_platform.analysis.overlap import Overlap
from matinee_platform.report.facts import ArmFacts, Facts
from matinee_platform.report.formats import NONE, number, percent, signed, small
from matinee_platform.report.headline import excludes_zero

_MARKED_DAYS = (1, 2, 3, 5, 7, 14, 21, 28, 42, 56, 84)
_TOP_TITLES = 5
_DIFFERENCES = (
    ("engagement_per_user", "engagement/user", 1.0),
    ("sessions_per_user", "sessions/user", 1.0),
    ("ctr", "CTR, pp", 100.0),
    ("d1", "D1, pp", 100.0),
    ("d7", "D7, pp", 100.0),
    ("d28", "D28, pp", 100.0),
)


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell.

    Attributes:
        text: what it says.
        tone: `""`, or a class of the style sheet: `"up"`, `"down"`, `"good"`, `"thin"`, `"blind"`.
        detail: a second line in small print.
    """

    text: str
    tone: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A row: the arm it speaks of (None for no arm), its name, and its cells."""

    arm: int | None
    head: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table with its caption; the first column names the rows."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def arm_title(facts: Facts, arm: ArmFacts) -> str:
    """Name of an arm with its role."""
    role = " (control)" if arm.name == facts.settings.control else ""
    return arm.name + role + (" (reference)" if arm.settings.reference else "")


def scorecard_table(facts: Facts) -> Table:
    """What each arm did."""
    return Table(
        "What each arm did",
        (
            "arm",
            "users",
            "CTR",
            "engagement/user",
            "sessions/user",
            "D1",
            "D7",
            "D28",
            "diversity (ILD)",
            "novelty, bits",
            "coverage",
        ),
        tuple(
            _row(
                facts,
                arm,
                number(arm.results["users"], 0),
                percent(arm.results["ctr"], 2),
                number(arm.results["engagement_per_user"]),
                number(arm.results["sessions_per_user"]),
                *(_retention(arm, day) for day in ("d1", "d7", "d28")),
                number(arm.results["ild"], 3),
                number(arm.results["novelty"]),
                percent(arm.results["coverage"]),
            )
            for arm in facts.arms
        ),
    )


def difference_table(facts: Facts) -> Table | None:
    """Differences to control; None for a single arm."""
    rows = [
        Row(
            arm.number,
            arm_title(facts, arm),
            tuple(
                _difference(arm.results["difference"][metric], scale)
                for metric, _, scale in _DIFFERENCES
            ),
        )
        for arm in facts.arms
        if arm.results["difference"] is not None
    ]
    level = f"{100 * facts.results['confidence']:g} %"
    caption = (
        f"Difference to {facts.settings.control}, with {level} intervals by user; * excludes 0"
    )
    columns = ("arm", *(header for _, header, _ in _DIFFERENCES))
    return Table(caption, columns, tuple(rows)) if rows else None


def retention_table(facts: Facts) -> Table:
    """Retention with its intervals and denominators."""
    last = max((int(arm.curve.day.max(initial=0)) for arm in facts.arms), default=0)
    days = [day for day in _MARKED_DAYS if day <= last]
    return Table(
        "Share active on day k, 95 % interval, users counted",
        ("arm", *(f"D{day}" for day in days)),
        tuple(
            Row(arm.number, arm_title(facts, arm), tuple(_retention_cell(arm, day) for day in days))
            for arm in facts.arms
        ),
    )


def learning_table(facts: Facts) -> Table:
    """Engagement per page by window of days."""
    curve = facts.arms[0].learning
    spans = [
        f"{first + 1}" if first == last else f"{first + 1}\N{EN DASH}{last + 1}"
        for first, last in zip(curve.first, curve.last, strict=True)
    ]
    return Table(
        "Watched films per page (CTR; explored) by days of the run",
        ("arm", *spans),
        tuple(
            Row(
                arm.number,
                arm_title(facts, arm),
                tuple(
                    Cell(number(engagement), "", f"{percent(ctr)}; {percent(explored)}")
                    for engagement, ctr, explored in zip(
                        arm.learning.engagement.value,
                        arm.learning.ctr.value,
                        arm.learning.explored.value,
                        strict=True,
                    )
                ),
            )
            for arm in facts.arms
        ),
    )


def exposure_table(facts: Facts) -> Table:
    """How impressions are spread, and who got most."""
    return Table(
        f"Exposure over {len(facts.catalogue):,} films",
        ("arm", "films shown", "coverage", "Gini", "to the top 1 %", "to the top 10 %"),
        tuple(
            _row(
                facts,
                arm,
                number(int((arm.counts > 0).sum()), 0),
                percent(arm.results["coverage"]),
                number(arm.results["gini"], 3),
                percent(top_share(arm.counts, 0.01)),
                percent(top_share(arm.counts, 0.1)),
            )
            for arm in facts.arms
        ),
    )


def top_titles_table(facts: Facts) -> Table:
    """The most shown titles of each arm."""
    return Table(
        "Most shown films, with their share of the arm's impressions",
        ("arm", *(f"{place + 1}." for place in range(_TOP_TITLES))),
        tuple(_top_titles(facts, arm) for arm in facts.arms),
    )


def propensity_table(facts: Facts) -> Table:
    """Quantiles of logged propensities."""
    shares = list(facts.arms[0].propensities.quantiles)
    return Table(
        "Logged propensities of slots",
        (
            "arm",
            "smallest",
            *(f"{100 * share:g} % quantile" for share in shares),
            "certain (p = 1)",
            "at the floor",
            "value given up per page",
        ),
        tuple(
            _row(
                facts,
                arm,
                small(arm.propensities.smallest),
                *(small(value) for value in arm.propensities.quantiles.values()),
                percent(arm.propensities.certain),
                percent(arm.propensities.at_floor),
                _exploration_cost(arm),
            )
            for arm in facts.arms
        ),
    )


def overlap_table(facts: Facts) -> Table:
    """Predicted effective sample size for each ordered pair."""
    return Table(
        "Could the log of the row's arm value the column's final policy?",
        ("log of", *(arm.name for arm in facts.arms)),
        tuple(
            Row(
                arm.number,
                arm_title(facts, arm),
                tuple(_overlap(facts.overlaps[arm.name, other.name]) for other in facts.arms),
            )
            for arm in facts.arms
        ),
    )


def regret_table(facts: Facts) -> Table:
    """Regret over the whole run."""
    return Table(
        "Expected clicks per page, whole run",
        ("arm", "pages compared", "shown", "regret, at least", "regret, at most"),
        tuple(
            _row(
                facts,
                arm,
                number(int(arm.regret.pages.sum()), 0),
                number(arm.regret.mean_expected, 3),
                f"{number(arm.regret.mean_low, 3)} ± {number(arm.regret.mean_low_half, 3)}",
                number(arm.regret.mean_high, 3),
            )
            if arm.regret is not None
            else _row(facts, arm, "0", NONE, NONE, NONE)
            for arm in facts.arms
        ),
    )


def _row(facts: Facts, arm: ArmFacts, *texts: str | Cell) -> Row:
    cells = (Cell(text) if isinstance(text, str) else text for text in texts)
    return Row(arm.number, arm_title(facts, arm), tuple(cells))


def _retention(arm: ArmFacts, day: str) -> str:
    rate = arm.results[day]
    matured = rate["matured"] or 0.0
    shown = percent(rate["rate"])
    return shown if matured == 1.0 or rate["rate"] is None else f"{shown} ({matured:.0%} matured)"


def _exploration_cost(arm: ArmFacts) -> Cell:
    found = arm.results.get("exploration_cost")
    if found is None:
        # Results from before reasons were given have none.
        return Cell(NONE, "", arm.results.get("exploration_cost_reason") or "")
    error = found["standard_error"]
    return Cell(small(found["mean"]) + ("" if error is None else f" ± {small(1.96 * error)}"))


def _difference(found: dict[str, float | None], scale: float) -> Cell:
    difference, low, high = found["difference"], found["low"], found["high"]
    if difference is None or low is None or high is None:
        return Cell(NONE)
    clear = excludes_zero(found)
    tone = ("up" if difference > 0 else "down") if clear else ""
    half = number(scale * (high - low) / 2)
    return Cell(f"{signed(scale * difference)} ± {half}{'*' if clear else ''}", tone)


def _retention_cell(arm: ArmFacts, day: int) -> Cell:
    curve = arm.curve
    if day >= curve.day.size:
        return Cell(NONE)
    low, high = number(100 * float(curve.low[day]), 1), percent(float(curve.high[day]))
    return Cell(
        percent(float(curve.rate[day])),
        "",
        f"{low}\N{EN DASH}{high}; n = {int(curve.eligible[day]):,}",
    )


def _top_titles(facts: Facts, arm: ArmFacts) -> Row:
    total = int(arm.counts.sum())
    cells = [
        Cell(facts.catalogue.titles[item], "", percent(int(arm.counts[item]) / total))
        for item in most_shown(arm.counts, _TOP_TITLES).tolist()
    ]
    cells += [Cell(NONE)] * (_TOP_TITLES - len(cells))
    return Row(arm.number, arm_title(facts, arm), tuple(cells))


def _overlap(found: Overlap | str) -> Cell:
    if isinstance(found, str):
        return Cell(NONE, "", found)
    if not found.covered:
        mean = float(np.min(found.slot_mean))
        return Cell("blind", "blind", f"not covered: mean weight {small(mean)}, should be 1")
    slate, slot = (_share(value) for value in (found.slate_share, found.worst_slot_share))
    return Cell(found.verdict, found.verdict, f"ESS: slate {slate}, slot {slot}")


def _share(share: float) -> str:
    return percent(share) if share >= 0.001 else "< 0.1 %"
