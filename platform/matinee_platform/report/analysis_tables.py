"""The tables of an analysis: gates, metrics by role, retention, survival, segments."""

from collections.abc import Mapping, Sequence
from typing import Any

from matinee_platform.analysis.experiment.words import amount, change, probability, span
from matinee_platform.report.formats import NONE, number, percent
from matinee_platform.report.tables import Cell, Row, Table

_GATES = {
    "passed": ("passed", "good"),
    "warned": ("warning", "thin"),
    "failed": ("failed", "blind"),
}
_GUARDRAILS = {"safe": "good", "unclear": "thin", "harmed": "blind"}

Document = Mapping[str, Any]


def gates_table(document: Document) -> Table:
    """What must hold before a metric is believed."""
    rows = []
    for gate in document["gates"]:
        word, tone = _GATES[gate["outcome"]]
        rows.append(Row(None, gate["name"], (Cell(word, tone), Cell(gate["words"]))))
    return Table("Gates", ("gate", "outcome", "in words"), tuple(rows))


def metrics_table(document: Document, role: str, *, caption: str) -> Table | None:
    """Values and differences of the metrics of one role; None without any."""
    chosen = [one for one in document["metrics"].values() if one["role"] == role]
    level = f"{100 * document['confidence']:g} % interval"
    columns = ["metric, arm", "value", "difference", "relative", level, "corrected p", "covariates"]
    if role == "guardrail":
        columns.append("guardrail")
    rows = [
        Row(
            _number(document, arm),
            f"{metric['title']}: {arm}",
            tuple(_cells(metric, arm, value, guardrail=role == "guardrail")),
        )
        for metric in chosen
        for arm, value in metric["arms"].items()
    ]
    return Table(caption, tuple(columns), tuple(rows)) if rows else None


def family_table(document: Document) -> Table:
    """The retention family with its denominators."""
    family = document["retention"]["metrics"]
    arms = next(iter(family.values()))["arms"]
    return Table(
        "Retention: rate, units counted, share of the exposed that have matured",
        ("arm", *(one["title"] for one in family.values())),
        tuple(
            Row(
                _number(document, arm),
                arm,
                tuple(_rate(one, one["arms"][arm]) for one in family.values()),
            )
            for arm in arms
        ),
    )


def survival_table(document: Document) -> Table | None:
    """Restricted mean days and the log-rank test; None where nobody was followed."""
    survival = document["survival"]
    if survival["mean_over_days"] is None:
        return None
    days = survival["mean_over_days"]
    rows = []
    for arm, one in survival["arms"].items():
        found = one["difference"]
        told = [number(one["units"], 0), number(one["left"], 0), number(one["mean_days"])]
        if found is None:
            told += [NONE, NONE]
        else:
            mean = found["mean_days"]
            told += [
                _bare(mean["difference"])
                if mean["low"] is None
                else f"{mean['difference']:+.3g} ({mean['low']:+.3g} to {mean['high']:+.3g})",
                probability(found["log_rank_p_value"]),
            ]
        rows.append(Row(_number(document, arm), arm, tuple(Cell(text) for text in told)))
    return Table(
        f"Mean days before falling silent, of the first {days}",
        ("arm", "units", "fell silent", "mean days", "difference", "log-rank p"),
        tuple(rows),
    )


def _bare(difference: float | None) -> str:
    return NONE if difference is None else f"{difference:+.3g}"


def segments_table(document: Document) -> Table | None:
    """Primary metrics within segments; None without any."""
    rows = []
    for name, segment in document["segments"].items():
        for label, group in segment["labels"].items():
            for key, arms in group["metrics"].items():
                metric = document["metrics"][key]
                for arm, found in arms.items():
                    head = f"{name}, {label}: {metric['title']}, {arm}"
                    cells = _segment(metric, found, group["units"])
                    rows.append(Row(_number(document, arm), head, cells))
    caption = "Within segments; p corrected over all of them (Benjamini and Hochberg)"
    columns = ("segment, metric, arm", "units", "difference", "interval", "corrected p")
    return Table(caption, columns, tuple(rows)) if rows else None


def _number(document: Document, arm: str) -> int:
    return list(document["arms"]).index(arm)


def _cells(metric: Document, arm: str, value: Document, *, guardrail: bool) -> Sequence[Cell]:
    shown = NONE if value["value"] is None else amount(value["value"], metric)
    found = metric["effects"].get(arm)
    first = Cell(shown, "", f"n = {value['units']:,}")
    if found is None:
        return [first, *([Cell("control")] + [Cell("")] * (5 if guardrail else 4))]
    judged = found["judged"]
    relative = judged["relative"]
    told = [
        first,
        _change(metric, judged),
        Cell(NONE if relative is None else f"{100 * relative:+.1f} %"),
        Cell(span(judged, metric), "", judged["reason"]),
        Cell(probability(judged["corrected_p_value"])),
        _covariates(found["cuped"]),
    ]
    if guardrail:
        outcome = found["guardrail"]["outcome"]
        detail = f"margin {100 * metric['margin']:g} %"
        told.append(Cell(outcome, _GUARDRAILS[outcome], detail))
    return told


def _change(metric: Document, judged: Document) -> Cell:
    difference = judged["difference"]
    if difference is None:
        return Cell(NONE)
    better = difference * metric["direction"] > 0
    tone = ("up" if better else "down") if judged["significant"] else ""
    return Cell(change(difference, metric) + ("*" if judged["significant"] else ""), tone)


def _covariates(cuped: Document | None) -> Cell:
    if cuped is None:
        return Cell("not used")
    return Cell("used", "", f"variance \N{MINUS SIGN}{percent(cuped['variance_reduction'], 0)}")


def _rate(metric: Document, arm: Document) -> Cell:
    if arm["rate"] is None:
        return Cell(NONE, "", "none has matured")
    detail = f"n = {arm['eligible']:,}; {percent(arm['matured'], 0)} matured"
    return Cell(amount(arm["rate"], metric), "", detail)


def _segment(metric: Document, found: Document, units: Mapping[str, int]) -> tuple[Cell, ...]:
    return (
        Cell(number(sum(units.values()), 0)),
        _change(metric, found),
        Cell(span(found, metric), "", found["reason"]),
        Cell(probability(found["corrected_p_value"])),
    )
