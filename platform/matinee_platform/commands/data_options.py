"""Options that say what the columns of a table mean, shared by the commands that read data."""

from typing import Annotated, Any

import typer

_PANEL = "Your own table"

_DATA = (
    "MovieLens folder, name of a fetched set, CSV or Parquet table; default MATINEE_DATA, else a "
    "synthetic catalogue."
)

DataArgument = Annotated[
    str | None, typer.Argument(metavar="[DATA]", show_default=False, help=_DATA)
]
DataOption = Annotated[str | None, typer.Option("--data", metavar="DATA", help=_DATA)]
UsersColumn = Annotated[
    str | None,
    typer.Option("--users", metavar="COL", help="Column of user ids.", rich_help_panel=_PANEL),
]
ItemsColumn = Annotated[
    str | None,
    typer.Option("--items", metavar="COL", help="Column of item ids.", rich_help_panel=_PANEL),
]
RatingsColumn = Annotated[
    str | None,
    typer.Option(
        "--ratings",
        metavar="COL",
        help="Column of ratings, numbers of plays or watched fractions.",
        rich_help_panel=_PANEL,
    ),
]
TimestampsColumn = Annotated[
    str | None,
    typer.Option(
        "--timestamps",
        metavar="COL",
        help="Column of times; without it rows count as oldest first.",
        rich_help_panel=_PANEL,
    ),
]
Feedback = Annotated[
    str | None,
    typer.Option(
        "--feedback",
        metavar="KIND",
        help="What the values are: ratings (default), plays or watched.",
        rich_help_panel=_PANEL,
    ),
]
Metadata = Annotated[
    str | None,
    typer.Option(
        "--metadata",
        metavar="FILE",
        help="Table of items: id, and any of title, genres, year, people, keywords.",
        rich_help_panel=_PANEL,
    ),
]


def data_changes(**options: Any) -> dict[str, Any]:
    """The options that were given, as settings of `data`."""
    return {name: value for name, value in options.items() if value is not None}
