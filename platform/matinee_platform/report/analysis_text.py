"""An analysis as text for people: the verdict first, then gates, metrics and retention."""

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from matinee_platform.analysis.experiment.words import amount, change, probability, span

_WIDTH = 118
_MARKS = {"passed": "ok", "warned": "WARNING", "failed": "FAILED"}
_ROLES = {
    "primary": "Primary metrics (p corrected over metrics and arms, Holm)",
    "guardrail": "Guardrails (safe: the loss is shown to be below the margin)",
    "other": "Other metrics (p corrected together, Benjamini and Hochberg)",
}

_SEGMENTS = "Within segments (p corrected over all of them, Benjamini and Hochberg)"

Document = Mapping[str, Any]


def print_analysis(document: Document, *, every: bool = False) -> None:
    """Print an analysis to standard output.

    Args:
        document: as `analyse_experiment` gives it, with its source.
        every: whether comparisons of other metrics and segments are told that show nothing.
    """
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    _render(document, console, every=every)


def analysis_text(document: Document, *, every: bool = False) -> str:
    """An analysis as plain text."""
    buffer = io.StringIO()
    _render(document, Console(file=buffer, width=_WIDTH, no_color=True), every=every)
    return buffer.getvalue()


def _render(document: Document, console: Console, *, every: bool) -> None:
    verdict = document["verdict"]
    _say(console, f"{document['experiment']}: {_state(document)}")
    _say(console, verdict["headline"])
    for arm in verdict["arms"].values():
        _say(console, f"  {arm['sentence']}")
    _say(console, "")
    _say(console, "Gates")
    for gate in document["gates"]:
        _say(console, f"  {_MARKS[gate['outcome']]:<8}{gate['name']}: {gate['words']}")
    for line in verdict["cautions"]:
        _say(console, f"  note    {line}")
    parts: list[Table | str] = [
        one for role in _ROLES for one in _metrics(document, role, every=every)
    ]
    for part in [*parts, _retention(document), *_segments(document, every=every)]:
        if isinstance(part, str):
            _say(console, part)
        else:
            console.print(part)


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def _state(document: Document) -> str:
    state = "running" if document["running"] else "not running"
    if document["source"]["kind"] == "run":
        state = "offline run"
    units = sum(arm["units"] for arm in document["arms"].values())
    return (
        f"{state}, {document['full_days']} full days, {units:,} units, "
        f"control {document['control']}"
    )


def _metrics(document: Document, role: str, *, every: bool) -> Iterator[Table | str]:
    """A table of the metrics of a role; of other ones only clear differences, unless all."""
    chosen = {n: one for n, one in document["metrics"].items() if one["role"] == role}
    if not chosen:
        return
    level = f"{100 * document['confidence']:g} % interval"
    kind = "at the end" if document["at_declared_end"] else "at every look"
    headers = ["value", "difference", "relative", f"{level}\n{kind}"]
    headers += ["margin", "outcome"] if role == "guardrail" else ["p"]
    table = _table(_ROLES[role], ["metric", "arm"], headers)
    left_out = 0
    for metric in chosen.values():
        title = metric["title"]
        for arm, value in metric["arms"].items():
            found = metric["effects"].get(arm)
            if role == "other" and not every and not (found and found["judged"]["significant"]):
                left_out += found is not None
                continue
            shown = "-" if value["value"] is None else amount(value["value"], metric)
            name = arm + (" (control)" if arm == document["control"] else "")
            cells = [] if found is None else _effect(metric, found, role)
            table.add_row(title, name, shown, *cells)
            title = ""
    if table.row_count:
        yield table
    if left_out:
        yield f"Without a clear difference: {left_out} comparisons of other metrics (--all)."


def _effect(metric: Document, found: Document, role: str) -> list[str]:
    judged = found["judged"]
    mark = "*" if judged["significant"] else ""
    told = [
        "-" if judged["difference"] is None else change(judged["difference"], metric) + mark,
        _relative(judged["relative"]),
        span(judged, metric),
    ]
    if role == "guardrail":
        return [*told, f"-{100 * metric['margin']:g} %", found["guardrail"]["outcome"]]
    return [*told, probability(judged["corrected_p_value"])]


def _table(title: str, names: Sequence[str], numbers: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left")
    # Where room is short names give way, by a second line: numbers and verdicts are never cut.
    for header in names:
        table.add_column(header, overflow="fold")
    for header in numbers:
        table.add_column(header, justify="right", no_wrap=True)
    return table


def _relative(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:+.1f} %"


def _retention(document: Document) -> Table:
    family = document["retention"]["metrics"]
    table = Table(
        title="Retention: matured units alone; in brackets the share of exposed units that have",
        title_justify="left",
    )
    table.add_column("arm", overflow="fold")
    for one in family.values():
        table.add_column(one["title"], justify="right")
    for arm in next(iter(family.values()))["arms"]:
        table.add_row(arm, *(_rate(one, one["arms"][arm]) for one in family.values()))
    return table


def _rate(metric: Document, arm: Document) -> str:
    if arm["rate"] is None:
        return "-"
    told = amount(arm["rate"], metric)
    return told if arm["matured"] == 1.0 else f"{told} ({100 * arm['matured']:.0f} %)"


def _segments(document: Document, *, every: bool) -> Iterator[Table | str]:
    """Differences within segments: those that are clear, unless all."""
    headers = ["difference", "interval", "p"]
    table = _table(_SEGMENTS, ["segment", "group", "metric", "arm"], headers)
    left_out = 0
    for name, segment in document["segments"].items():
        if segment["missing"]:
            yield f"Segment {name}: the log does not know it."
        for label, group in segment["labels"].items():
            for metric_name, arms in group["metrics"].items():
                metric = document["metrics"][metric_name]
                for arm, found in arms.items():
                    if not every and not found["significant"]:
                        left_out += 1
                        continue
                    difference = found["difference"]
                    table.add_row(
                        name,
                        label,
                        metric["title"],
                        arm,
                        "-" if difference is None else change(difference, metric),
                        span(found, metric),
                        probability(found["corrected_p_value"]),
                    )
    if table.row_count:
        yield table
    if left_out:
        yield f"Without a clear difference: {left_out} comparisons within segments (--all)."
