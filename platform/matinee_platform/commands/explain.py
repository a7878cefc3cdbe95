"""`matinee explain`: why one logged decision of a run, or of a service, fell as it did."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from matinee_platform.explain import ExplainedDecision
    from matinee_platform.learning.explain_live import LiveExplanation
    from matinee_platform.offline.explain_run import RunExplanation
    from matinee_policies.explain import Explanation


def explain(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="FOLDER", help="Folder of a run, or data folder of a service (or --config)."
        ),
    ] = None,
    decision_id: Annotated[
        str | None,
        typer.Argument(
            metavar="DECISION_ID",
            help="16 hexadecimal digits; of a run also the number as the log has it, of a service "
            "also the caller's own text.",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Settings of a service, in YAML."),
    ] = None,
    latest: Annotated[bool, typer.Option("--latest", help="The decision decided last.")] = False,
    arms: Annotated[
        list[str] | None,
        typer.Option(
            "--arm",
            metavar="ARM",
            help="Look into this arm only, of a service also EXPERIMENT/ARM; repeatable.",
        ),
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

    Exit status 1 if the logged slate does not follow. Examples: matinee explain runs/demo --latest;
    matinee explain --config examples/serve.yaml "visit 4711, page 1"
    """
    from matinee_policies.errors import ConfigError

    if config is not None:
        # With the settings of a service no folder is named: what stands first is the decision.
        if decision_id is not None:
            raise ConfigError("give either the folder of a service or --config FILE")
        run, decision_id = None, run
    elif run is None:
        raise ConfigError("explain needs a folder, or the settings of a service: --config FILE")
    if (decision_id is None) != latest:
        raise ConfigError("give a decision id, or --latest")
    told, explanation, printed = _found(run, config, decision_id, arms or [])
    slots = len(explanation.slots)
    if slot is not None and slot >= slots:
        raise ConfigError(f"slot must be below {slots}, got {slot}")
    if as_json:
        print(json.dumps(told(), indent=2))
    else:
        printed(slot, top)
    if not explanation.follows:
        raise typer.Exit(1)


def _found(
    folder: str | None, config: Path | None, decision_id: str | None, arms: list[str]
) -> "tuple[Callable[[], dict[str, object]], Explanation, Callable[[int | None, int], None]]":
    """What there is to tell: as JSON, as it is, and as text."""
    from matinee_platform.service.settings_file import (
        is_service_folder,
        load_service_settings,
        settings_of_folder,
    )

    if config is None and not is_service_folder(Path(str(folder))):
        from matinee_platform.explain import parse_decision_id
        from matinee_platform.offline.explain_run import explain_logged

        wanted = None if decision_id is None else parse_decision_id(decision_id)
        run = explain_logged(Path(str(folder)), wanted, arms=arms)
        return partial(_json, run), run.decision.explanation, partial(_print, run)
    from matinee_platform.learning.explain_service import explain_service

    settings = (
        settings_of_folder(Path(str(folder))) if config is None else load_service_settings(config)
    )
    live = explain_service(settings, decision_id, arms=arms)
    return live.to_json, live.explanation, partial(_print_live, live)


def _json(found: "RunExplanation") -> dict[str, object]:
    told = found.decision.to_json()
    for candidate in told["candidates"]:
        item = candidate["item"]
        candidate["title"] = None if item < 0 else found.catalogue.titles[item]
    return told


def _print(found: "RunExplanation", slot: int | None, top: int) -> None:
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


def _print_live(found: "LiveExplanation", slot: int | None, top: int) -> None:
    from matinee_platform.report.explanation_text import Labels, print_explanation

    aspect = found.aspects.__getitem__ if found.aspects else "aspect {}".format
    print_explanation(
        found.explanation,
        heading=[_live_heading(found)],
        labels=Labels(item=found.label, aspect=aspect),
        slot=slot,
        top=top,
    )


def _live_heading(found: "LiveExplanation") -> str:
    record = found.logged.record
    when = datetime.fromtimestamp(record.decided_at / 1000, UTC)
    return (
        f"Decision {record.decision_id:016x} of {record.experiment}/{record.arm}, "
        f"page {record.page} of its visit, {when:%Y-%m-%d %H:%M:%S} UTC, "
        f"snapshot {record.snapshot}, served by {record.served_by.name.lower()}"
    )


def _heading(decision: "ExplainedDecision") -> str:
    when = datetime.fromtimestamp(decision.decided_at / 1000, UTC)
    return (
        f"Decision {decision.decision_id:016x} of arm {decision.arm}, day {decision.day}, "
        f"page {decision.page}, {when:%Y-%m-%d %H:%M:%S} UTC, snapshot {decision.snapshot}, "
        f"served by {decision.served_by.name.lower()}"
    )
