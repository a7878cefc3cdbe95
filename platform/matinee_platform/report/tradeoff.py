"""The trade-off of clicks, variety and visits: a table with standard errors and a plot."""

import math
from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from matinee_platform.analysis.tradeoff import Estimate
from matinee_policies.errors import DataError

BEGIN = "<!-- tradeoff: begin, written by make tradeoff -->"
END = "<!-- tradeoff: end -->"

Estimates = Mapping[str, Mapping[str, Estimate]]

_COLUMNS = (
    ("ctr", "CTR, %", 100.0, 2),
    ("engagement_per_user", "engagement/user", 1.0, 2),
    ("sessions_per_user", "sessions/user", 1.0, 2),
    ("d7", "D7, %", 100.0, 1),
    ("d28", "D28, %", 100.0, 1),
    ("d28_smoothed", "D28 (27-29), %", 100.0, 2),
)
_PLAIN = (("ild", "diversity (ILD)", 3), ("coverage", "coverage", 3))


def markdown_table(estimates: Estimates, *, control: str, references: frozenset[str]) -> str:
    """One row per arm: values, and in brackets the paired difference to control with its error.

    Args:
        estimates: by arm and metric.
        control: name of the control.
        references: arms that know the simulator's truth.
    """
    headers = ["arm", *(title for _, title, _, _ in _COLUMNS), *(title for _, title, _ in _PLAIN)]
    lines = [
        "| " + " | ".join(headers) + " |",
        "|" + "---|" * len(headers),
    ]
    for arm, metrics in estimates.items():
        mark = " (control)" if arm == control else " (reference)" if arm in references else ""
        cells = [arm + mark]
        cells += [_cell(metrics[name], scale, digits) for name, _, scale, digits in _COLUMNS]
        cells += [f"{metrics[name].value:.{digits}f}" for name, _, digits in _PLAIN]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def replace_section(page: Path, *, table: str, facts: str) -> None:
    """Put a new table between the two marks of a Markdown page; the rest stays as it is.

    Args:
        page: the page.
        table: as `markdown_table` gives it.
        facts: one line that says what was run.

    Raises:
        DataError: if the page cannot be read or lacks the marks.
    """
    try:
        text = page.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(page, rule=f"must be a page to write into ({error.strerror})") from None
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise DataError(page, rule=f"must hold the lines {BEGIN} and {END}")
    section = f"{begin}\n{facts}\n\n{table}\n![Engagement against D28](tradeoff.svg)\n\n{end}"
    page.write_text(before + section + after, encoding="utf-8")


def save_tradeoff_plot(
    estimates: Estimates, path: Path, *, control: str, references: frozenset[str]
) -> None:
    """Plot engagement against D28, each arm a dot with its errors, sized by its variety.

    Args:
        estimates: by arm and metric.
        path: file ending in `.svg`.
        control: name of the control, drawn filled.
        references: arms that know the truth, drawn hollow.
    """
    figure = Figure(figsize=(8.4, 5.2), layout="constrained")
    axes = figure.add_subplot()
    for arm, metrics in estimates.items():
        x, y = metrics["engagement_per_user"], metrics["d28_smoothed"]
        colour = "#0072B2" if arm == control else "#777777" if arm in references else "#D55E00"
        axes.errorbar(
            x.value,
            100 * y.value,
            xerr=_finite(x.standard_error),
            yerr=100 * _finite(y.standard_error),
            fmt="o",
            color=colour,
            markerfacecolor="white" if arm in references else colour,
            markersize=4 + 10 * max(metrics["ild"].value - 0.5, 0.0),
            linewidth=1,
        )
        axes.annotate(
            arm, (x.value, 100 * y.value), xytext=(7, 5), textcoords="offset points", fontsize=8.5
        )
    axes.set_xlabel("engagement per user (sum of watched fractions)")
    axes.set_ylabel("D28, mean of days 27-29, %")
    axes.set_title(
        "Engagement against retention; hollow: reference arms, larger: more varied slates",
        loc="left",
        fontsize=10,
    )
    axes.grid(visible=True, color="#E6E6E6")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    with mpl.rc_context({"svg.hashsalt": "matinee", "svg.fonttype": "none"}):
        figure.savefig(path, format="svg", metadata={"Date": None})


def _cell(found: Estimate, scale: float, digits: int) -> str:
    shown = f"{scale * found.value:.{digits}f}"
    if math.isnan(found.standard_error):
        return shown
    star = "*" if found.p_value < 0.01 and not abs(found.difference) < 2 * found.seed_error else ""
    precision = digits + 1
    return (
        f"{shown} ({scale * found.difference:+.{precision}f} "
        f"± {scale * found.standard_error:.{precision}f}{star})"
    )


def _finite(value: float) -> float:
    return 0.0 if math.isnan(value) else value
