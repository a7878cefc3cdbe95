"""`matinee candidates`: how good the candidate sources are before any policy reranks them."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from matinee_platform.commands.data_options import (
    DataOption,
    Feedback,
    ItemsColumn,
    Metadata,
    RatingsColumn,
    TimestampsColumn,
    UsersColumn,
    data_changes,
)

app = typer.Typer(help="Candidate sources: how good are they?", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Candidate sources: how good are they?"""


@app.command()
def evaluate(
    data: DataOption = None,
    users: UsersColumn = None,
    items: ItemsColumn = None,
    ratings: RatingsColumn = None,
    timestamps: TimestampsColumn = None,
    feedback: Feedback = None,
    metadata: Metadata = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Also evaluate the sources of this file."),
    ] = None,
    sources: Annotated[
        str | None,
        typer.Option(
            "--sources", metavar="A,B", help="Only these: kinds, or names of the file's sources."
        ),
    ] = None,
    ks: Annotated[
        str, typer.Option("--k", metavar="K,K", help="Numbers of candidates to score.")
    ] = "10,100",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the fits.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Do not say what is being fitted.")
    ] = False,
) -> None:
    """Fit every source to earlier ratings; score it on each user's last ones.

    Example: matinee candidates evaluate --sources implicit_als,popularity --k 10,100
    """
    from matinee_platform.candidate_evaluation import (
        chosen_sources,
        evaluate_candidates,
        fitted_sources,
    )
    from matinee_platform.data_settings import parse_data
    from matinee_platform.data_source import open_data
    from matinee_platform.report.candidate_table import print_evaluation
    from matinee_platform.settings import load_settings

    columns = data_changes(
        path=data,
        users=users,
        items=items,
        ratings=ratings,
        timestamps=timestamps,
        feedback=feedback,
        metadata=metadata,
    )
    every = fitted_sources()
    if config is not None:
        settings = load_settings(config, data=columns)
        every = {**every, **settings.sources}
        named = settings.data
    else:
        named = parse_data(columns) if columns else None
    chosen = chosen_sources(every, _names(sources))
    numbers = _numbers(ks)
    record = evaluate_candidates(
        open_data(named),
        chosen,
        ks=numbers,
        seed=seed,
        report=(lambda name: None) if quiet else _say,
    )
    if as_json:
        print(json.dumps(record, indent=2, allow_nan=False))
    else:
        print_evaluation(record)


def _say(name: str) -> None:
    print(f"evaluating {name}", file=sys.stderr)


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()] if text else []


def _numbers(text: str) -> list[int]:
    from matinee_policies.errors import ConfigError

    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise ConfigError(f"--k takes whole numbers such as 10,100, got {text!r}") from None
