"""`matinee replay`: from the log of a run to its snapshots, from the first one on."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from matinee_platform.replay import ArmReplay


def replay(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
    arms: Annotated[
        list[str] | None, typer.Option("--arm", metavar="ARM", help="Only this arm; repeatable.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Learn every arm anew from its log alone: each snapshot must be the one that the run kept.

    Exit status 1 if any snapshot or decision differs, or the log is not whole.
    Example: matinee replay runs/demo
    """
    from matinee_platform.offline.replay_run import replay_run

    found = []
    for one in replay_run(run, arms or []):
        found.append(one)
        if not as_json:
            print(_line(one), flush=True)
    if as_json:
        print(json.dumps([{**asdict(one), "passed": one.passed} for one in found], indent=2))
    if not all(one.passed for one in found):
        raise typer.Exit(1)


def _line(found: "ArmReplay") -> str:
    words = [
        f"{found.arm}: {'ok' if found.passed else 'FAILED'}: "
        f"{found.equal} of {found.snapshots} snapshots equal",
        f"{found.decisions:,} decisions replayed, {found.unequal_decisions:,} unequal",
    ]
    if not found.complete:
        words.append("the log is not the one whose length and content hash the results name")
    if found.unmatched_events:
        words.append(f"{found.unmatched_events:,} events of no decision within its window")
    if found.first_unequal is not None:
        words.append(f"first unequal: version {found.first_unequal} ({found.reason})")
    return "; ".join(words)
