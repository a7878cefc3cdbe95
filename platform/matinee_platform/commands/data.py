"""`matinee data`: fetch known data sets, list them, and look at any data before a run."""

import json
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from matinee_platform.commands.data_options import (
    Feedback,
    ItemsColumn,
    Metadata,
    RatingsColumn,
    TimestampsColumn,
    UsersColumn,
    data_changes,
)

if TYPE_CHECKING:
    from matinee_platform.data_info import DataInfo

app = typer.Typer(help="Data: fetch, list, look at.", no_args_is_help=True)

OFFLINE = "MATINEE_OFFLINE"
"""Environment variable that forbids the network, for tests and closed machines."""

_FIRST_BYTE_SECONDS = 4.0
_IF_POSSIBLE_SECONDS = 30.0

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Directory = Annotated[
    Path | None,
    typer.Option(
        "--dir",
        metavar="DIR",
        help="Folder that keeps data; default MATINEE_HOME/data or ~/.local/share/matinee/data.",
    ),
]


@app.command("list")
def list_data(directory: Directory = None, as_json: AsJson = False) -> None:
    """Print the data sets that can be fetched by name, and where they are."""
    from matinee_platform.known_data import KNOWN_DATA, data_home, is_present

    home = directory or data_home()
    rows = [
        {
            "name": known.name,
            "summary": known.summary,
            "folder": str(home / known.name),
            "present": is_present(home / known.name),
        }
        for known in KNOWN_DATA
    ]
    named = os.environ.get("MATINEE_DATA")
    if as_json:
        print(json.dumps({"sets": rows, "MATINEE_DATA": named}, indent=2))
        return
    for row in rows:
        where = row["folder"] if row["present"] else "not fetched"
        print(f"{row['name']}: {row['summary']}; {where}")
    if named:
        print(f"MATINEE_DATA: {named}")


@app.command()
def fetch(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A name that `matinee data list` prints.")
    ] = "ml-latest-small",
    directory: Directory = None,
    base_url: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="URL",
            envvar="MATINEE_DATA_URL",
            help="Folder of the zip files, for a mirror of your own.",
        ),
    ] = None,
    if_possible: Annotated[
        bool,
        typer.Option(
            "--if-possible", help="Without a network say so within seconds, exit status 0."
        ),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress, only the folder.")] = False,
) -> None:
    """Download a data set from its publisher, check it, and print the folder it is in.

    Example: matinee data fetch ml-25m
    """
    from matinee_platform.download import FetchError
    from matinee_platform.known_data import data_home, is_present, known_data

    known = known_data(name)
    home = directory or data_home()
    if is_present(home / known.name):
        print(home / known.name)
        return
    try:
        if os.environ.get(OFFLINE):
            raise FetchError(f"{OFFLINE} is set, so {known.name} is not fetched")
        folder = (
            _fetch_within(known.name, home, base_url)
            if if_possible
            else _fetch(known.name, home, base_url, quiet=quiet)
        )
    except FetchError as error:
        if not if_possible:
            raise
        print(f"note: {error}", file=sys.stderr)
        return
    print(f"{known.terms}; in full: {folder / 'README.txt'}", file=sys.stderr)
    print(folder)


@app.command()
def info(
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="DATA", help="A path, or the name of a fetched set; default that of --config."
        ),
    ] = None,
    users: UsersColumn = None,
    items: ItemsColumn = None,
    ratings: RatingsColumn = None,
    timestamps: TimestampsColumn = None,
    feedback: Feedback = None,
    metadata: Metadata = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="Experiment whose `data:` section says the rest, such as delimiter and time_unit.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Load data as a run would, with every value checked, and print what they hold.

    Example: matinee data info plays.csv --users customer --items sku --feedback plays
    """
    from matinee_platform.data_info import describe_data
    from matinee_platform.data_settings import parse_data
    from matinee_platform.data_source import open_data
    from matinee_platform.settings import load_settings
    from matinee_policies.errors import ConfigError

    changes = data_changes(
        path=data,
        users=users,
        items=items,
        ratings=ratings,
        timestamps=timestamps,
        feedback=feedback,
        metadata=metadata,
    )
    settings = parse_data(changes) if config is None else load_settings(config, data=changes).data
    if settings is None:
        raise ConfigError(f"{config}: must have a section `data`, or name DATA")
    has_times = not settings.is_table or settings.timestamps is not None
    described = describe_data(open_data(settings), has_times=has_times)
    if as_json:
        print(json.dumps(described.to_json(), indent=2))
    else:
        print("\n".join(_lines(described)))


def _fetch(name: str, home: Path, base_url: str | None, *, quiet: bool) -> Path:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

    from matinee_platform.data_fetch import fetch_data
    from matinee_platform.known_data import PUBLISHER, known_data

    console = Console(stderr=True, quiet=quiet)
    bar = Progress(
        BarColumn(), DownloadColumn(), TransferSpeedColumn(), console=console, transient=True,
        disable=not console.is_terminal,
    )  # fmt: skip
    with bar:
        task = bar.add_task("", total=None)
        return fetch_data(
            known_data(name),
            home,
            base_url=base_url or PUBLISHER,
            announce=lambda line: console.print(
                line, highlight=False, markup=False, soft_wrap=True
            ),
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )


def _fetch_within(name: str, home: Path, base_url: str | None) -> Path:
    """Fetch, but give up when nothing arrives within seconds.

    In a thread, since looking up a host's address heeds no time limit.
    """
    from matinee_platform.data_fetch import fetch_data
    from matinee_platform.download import FetchError, Patience
    from matinee_platform.known_data import PUBLISHER, known_data
    from matinee_policies.errors import MatineeError

    begun, ended = threading.Event(), threading.Event()
    outcome: list[Path | str] = []

    def work() -> None:
        try:
            outcome.append(
                fetch_data(
                    known_data(name),
                    home,
                    base_url=base_url or PUBLISHER,
                    patience=Patience(
                        attempts=2, connect=3.0, read=5.0, total=_IF_POSSIBLE_SECONDS
                    ),
                    progress=lambda done, total: begun.set(),
                )
            )
        except MatineeError as error:
            outcome.append(str(error))
        begun.set()
        ended.set()

    threading.Thread(target=work, daemon=True).start()
    if not begun.wait(_FIRST_BYTE_SECONDS):
        raise FetchError(f"{name} is not fetched: no answer within {_FIRST_BYTE_SECONDS:g} s")
    if not ended.wait(_IF_POSSIBLE_SECONDS):
        raise FetchError(f"{name} is not fetched: it takes longer than {_IF_POSSIBLE_SECONDS:g} s")
    if isinstance(outcome[0], str):
        raise FetchError(f"{name} is not fetched: {outcome[0]}")
    return outcome[0]


def _lines(info: "DataInfo") -> list[str]:
    scale, fields = info.ratings, info.catalogue
    times: dict[str, Any] = info.times or {}
    when = (
        f"{times['first']} to {times['last']}, {times['days']:,.0f} days" if times else "not known"
    )
    return [
        info.description,
        f"users          {info.users:,}, {info.singleton_users:.1%} with a single rating, "
        f"Gini {info.gini_users:.3f}",
        f"items          {info.items:,}, {info.singleton_items:.1%} with a single rating, "
        f"Gini {info.gini_items:.3f}, {info.usable_items:,} usable in a simulated world",
        f"ratings        {info.interactions:,}, density {info.density:.3%}",
        f"stars          {scale['least']:g} to {scale['largest']:g}, mean {scale['mean']:.2f}, "
        f"{scale['levels']:g} levels",
        f"times          {when}",
        f"items with     year {fields['year']:.0%}, genres {fields['genres']:.0%} "
        f"({fields['genre_names']:g} names), people {fields['people']:.0%}, "
        f"keywords {fields['keywords']:.0%}",
        *(f"note           {problem}" for problem in info.problems),
    ]
