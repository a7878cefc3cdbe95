"""Run every benchmark of this folder and write docs/benchmarks.md.

    python benchmarks/run_all.py [--quick] [--tiny] [--without-peers] [--only NAME ...]
        [--page PATH]

Each program is a process of its own. One that fails is told on the page and by the exit status.
"""

import argparse
import ast
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from harness import Row
from peer_process import ONE_THREAD, WITHOUT_PEERS
from table import Report, page

PROGRAMS = Path(__file__).resolve().parent
PAGE = PROGRAMS.parent / "docs" / "benchmarks.md"
PATIENCE_SECONDS = 1_800

FIRST = (
    "disjoint_lin_ucb.py",
    "disjoint_batch.py",
    "shared_lin_ucb.py",
    "hybrid_lin_ucb.py",
    "epsilon_greedy.py",
    "thompson.py",
    "mmr.py",
    "dpp.py",
    "decision.py",
    "growth.py",
)
"""Their order on the page; others follow by name."""


def programs() -> list[Path]:
    """All programs that measure, in the order of the page."""
    found = [path for path in PROGRAMS.glob("*.py") if path != Path(__file__) and _runs(path)]
    order = {name: place for place, name in enumerate(FIRST)}
    return sorted(found, key=lambda path: (order.get(path.name, len(FIRST)), path.name))


def run_program(path: Path, options: Sequence[str]) -> Report:
    """Run one program; what it printed, or why it failed."""
    about = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n\n")[0]
    about = about.replace("\n", " ")
    try:
        done = subprocess.run(
            [sys.executable, str(path), "--json", *options],
            env=_environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Report(path.name, about, failure=f"it took longer than {PATIENCE_SECONDS} s")
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        return Report(path.name, about, failure=said[-1] if said else "no message")
    rows = json.loads(done.stdout)["rows"]
    figure = PAGE.with_name(f"{PAGE.stem}_{path.stem}.svg")
    return Report(
        path.name,
        about,
        rows=tuple(Row.from_json(row) for row in rows),
        figure=figure.name if figure.exists() else "",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run, write the page, and tell how many bars are met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--quick", action="store_true", help="shorter turns")
    length.add_argument("--tiny", action="store_true", help="smallest sizes; figures mean nothing")
    parser.add_argument("--without-peers", action="store_true", help="start none of them")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="programs, without .py")
    parser.add_argument("--page", type=Path, default=PAGE, help="where to write")
    arguments = parser.parse_args(argv)
    if arguments.without_peers:
        os.environ[WITHOUT_PEERS] = "1"
    options, forms = [], "full forms"
    if arguments.quick:
        options, forms = ["--quick"], "`--quick` forms"
    elif arguments.tiny:
        options, forms = ["--tiny"], "`--tiny` forms, **whose figures mean nothing**"
    chosen = [path for path in programs() if not arguments.only or path.stem in arguments.only]
    reports = []
    for path in chosen:
        start = time.monotonic()
        reports.append(run_program(path, options))
        print(f"{path.name:<24}{_told(reports[-1])}   {time.monotonic() - start:.0f} s", flush=True)
    arguments.page.write_text(page(reports, forms=forms), encoding="utf-8")
    print(f"wrote {arguments.page.name}")
    return int(any(report.failure for report in reports))


def _environment() -> dict[str, str]:
    return os.environ | ONE_THREAD


def _runs(path: Path) -> bool:
    return '\nif __name__ == "__main__":' in path.read_text(encoding="utf-8")


def _told(report: Report) -> str:
    if report.failure:
        return f"failed: {report.failure}"
    judged = [row.met for row in report.rows if row.met is not None]
    absent = sum(row.peer is not None and bool(row.peer.missing) for row in report.rows)
    told = f"{sum(judged)} of {len(judged)} rows at their bars"
    return told + (f", {absent} without their peer" if absent else "")


if __name__ == "__main__":
    raise SystemExit(main())
