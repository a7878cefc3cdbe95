"""Write the rows of all programs as a page for people."""

import datetime as dt
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numba
import numpy as np

from harness import Row

ROOT = Path(__file__).resolve().parents[1]

HEAD = (
    "| what, at which size | ours | peer | ours / peer | limit | ours / limit | bars met |",
    "|---|--:|--:|--:|--:|--:|---|",
)


@dataclass(frozen=True, slots=True)
class Report:
    """What came of one program.

    Attributes:
        program: name of its file.
        about: first line of its docstring.
        rows: of its table.
        failure: why there are none; empty if there are.
        figure: name of a picture beside the page; empty if there is none.
    """

    program: str
    about: str
    rows: tuple[Row, ...] = ()
    failure: str = ""
    figure: str = ""


def page(reports: Sequence[Report], *, forms: str) -> str:
    """The whole page, in Markdown; `forms` says how the programs were run."""
    parts = [_introduction(forms)]
    for report in reports:
        parts.append(f"## `{report.program}`\n\n{report.about}\n")
        parts.append(_section(report))
    return "\n".join(parts)


def machine() -> str:
    """Processor, cores, system and the versions that count."""
    cores = "1 core" if _cores() == 1 else f"{_cores()} cores"
    return (
        f"{_processor()}, {cores}; {platform.system()}, Python {platform.python_version()}, "
        f"numpy {np.__version__}, numba {numba.__version__}"
    )


def _introduction(forms: str) -> str:
    when = dt.datetime.now(tz=dt.UTC).date().isoformat()
    return f"""# Benchmarks

Written by `make bench` on {when}; {forms}. Machine: {machine()}.

Rates are per CPU second of one thread (BLAS on one thread as well), the best of several turns;
ours, the peer and the limit are measured by turns in one run. Times are medians of wall-clock time.
Rates move between machines and with what else runs; the ratios are the claim. A bar is what a row
must reach, a goal what would be better still.

To reproduce: `make bench-peers` installs the peers, pinned, each in its own environment under
`.peers/` (Python 3.11; minutes; contextualbandits compiles); `make bench` measures and rewrites
this page. One program alone: `python benchmarks/NAME.py [--quick] [--json]`. A peer that is not
installed is named with the command that installs it, and its ratio is left out.
"""


def _section(report: Report) -> str:
    if report.failure:
        return f"Failed: {_plain(report.failure)}\n"
    notes = [f"- {note}" for note in dict.fromkeys(row.note for row in report.rows) if note]
    lines = [*HEAD, *(_line(row) for row in report.rows)]
    picture = ["", f"![{report.about}]({report.figure})"] if report.figure else []
    return "\n".join([*lines, *([""] if notes else []), *notes, *picture, ""])


def _line(row: Row) -> str:
    cells = [
        f"{row.name}, {row.size}" if row.size else row.name,
        f"{number(row.ours)} {row.unit}",
        *_peer(row),
        *_limit(row),
        {True: "yes", False: "**no**", None: ""}[row.met],
    ]
    if row.bars.at_most is not None:
        cells[1] += f" (bar: at most {number(row.bars.at_most)})"
    return "| " + " | ".join(cells) + " |"


def _peer(row: Row) -> tuple[str, str]:
    if row.peer is None:
        return "", ""
    bars = _bars(row.bars.peer, row.bars.peer_goal, sign="x")
    if row.over_peer is None:
        return f"{row.peer.name}: {_plain(row.peer.missing)}", bars
    rate = f"{number(row.peer.rate)}, {row.peer.name} {row.peer.version}"
    return rate, f"{number(row.over_peer)}x {bars}".strip()


def _limit(row: Row) -> tuple[str, str]:
    if row.limit is None or row.of_limit is None:
        return "", ""
    rate = f"{number(row.limit.rate)}, {row.limit.definition}"
    bars = _bars(row.bars.limit, row.bars.limit_goal, sign="")
    return rate, f"{row.of_limit:.2f} {bars}".strip()


def _bars(bar: float | None, goal: float | None, *, sign: str) -> str:
    asked = [f"bar {bar:g}{sign}"] if bar is not None else []
    asked += [f"goal {goal:g}{sign}"] if goal is not None else []
    return f"({', '.join(asked)})" if asked else ""


def number(value: float) -> str:
    """Three digits that count, thousands apart.

    Example:
        >>> number(12345.6), number(45.67), number(0.01234)
        ('12,300', '45.7', '0.0123')
    """
    if abs(value) >= 1_000.0:
        digits = len(str(int(abs(value)))) - 3
        return f"{round(value, -digits):,.0f}"
    return f"{value:.3g}"


def _plain(text: str) -> str:
    """Text that does not end a cell, nor tells where things lie on this machine."""
    for folder in (ROOT, Path.home()):
        if len(folder.parts) > 1:
            text = text.replace(str(folder), "...")
    return text.replace("|", "/")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _cores() -> int:
    return os.cpu_count() or 1
