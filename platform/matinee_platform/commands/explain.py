"""`matinee explain`: why one logged decision of a run fell as it did."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from matinee_platform.explain import ExplainedDecision
    from matinee_platform.offline.explain_run import RunExplanation


def explain(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")],
    decision_id: Annotated[
        str | None,
        typer.Argument(
            metavar="DECISION_ID", help="16 hexadecimal digits, or the number as the log has it."
        ),
    ] = None,
    latest: Annotated[bool, typer.Option("--latest", help="The decision decided last.")] = False,
    arms: Annotated[
        list[str] | None,
        typer.Option("--arm", metavar="ARM", help="Look into this arm only; repeatable."),
    ] = None,
    slot: Annotated[
        int | None,
        typer.Option("--slot", metavar="N", min=0, help="Only this slot, from 0."),
    ] = None,
    top: Annotated[
        int,
        typer.Option("--top", metavar="N", min=1, help="Likeliest candidates of each slot."),
    ] = 5,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON for machines, with all candidates and slots.")
    ] = False,
) -> None:
    """Print candidates, values, diversity, probabilities and draw of every slot of one decision.

    Exit status 1 if the logged slate does not follow. Example: matinee explain runs/demo --latest
    """
    from matinee_platform.explain import parse_decision_id
    from matinee_platform.offline.explain_run import explain_logged
    from matinee_policies.errors import ConfigError

    if (decision_id is None) != latest:
        raise ConfigError("give a decision id, or --latest")
    wanted = None if decision_id is None else parse_decision_id(decision_id)
    found = explain_logged(run, wanted, arms=arms or [])
    slots = len(found.decision.explanation.slots)
    if slot is not None and slot >= slots:
        raise ConfigError(f"slot must be below {slots}, got {slot}")
    if as_json:
        print(json.dumps(_json(found), indent=2))
    else:
        _print(found, slot=slot, top=top)
    if not found.decision.explanation.follows:
        raise typer.Exit(1)


def _json(found: "RunExplanation") -> dict[str, object]:
    told = found.decision.to_json()
    for candidate in told["candidates"]:
        item = candidate["item"]
        candidate["title"] = None if item < 0 else found.catalogue.titles[item]
    return told


def _print(found: "RunExplanation", *, slot: int | None, top: int) -> None:
    from matinee_platform.report.explanation_text import Labels, print_explanation

    catalogue = found.catalogue
    print_explanation(
        found.decision.explanation,
        heading=[_heading(found.decision)],
        labels=Labels(
            item=catalogue.titles.__getitem__,
            aspect=lambda number: str(catalogue.genre_names[number]),
        ),
        slot=slot,
        top=top,
    )


def _heading(decision: "ExplainedDecision") -> str:
    when = datetime.fromtimestamp(decision.decided_at / 1000, UTC)
    return (
        f"Decision {decision.decision_id:016x} of arm {decision.arm}, day {decision.day}, "
        f"page {decision.page}, {when:%Y-%m-%d %H:%M:%S} UTC, snapshot {decision.snapshot}, "
        f"served by {decision.served_by.name.lower()}"
    )
