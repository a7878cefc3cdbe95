"""Options of commands that work on a service's data, and how they open it."""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from matinee_policies.errors import ConfigError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from matinee_platform.service.secrets import Secrets

DataDir = Annotated[
    Path, typer.Option("--data-dir", metavar="DIR", help="The service's data folder.")
]
Database = Annotated[
    str,
    typer.Option(
        "--database",
        metavar="URL",
        envvar="MATINEE_SERVICE_DATABASE",
        help="'sqlite', in the data folder, or 'postgresql://USER@HOST/NAME'.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@contextmanager
def control_engine(data_dir: Path, database: str) -> "Iterator[Engine]":
    """The control database of a service, its tables up to date.

    Raises:
        ConfigError: there is no such folder.
    """
    from matinee_platform.storage.control_database import control_url, open_engine, upgrade

    if not data_dir.is_dir():
        raise ConfigError(f"data folder must be there, got {data_dir}")
    url = control_url(data_dir, database)
    upgrade(url)
    engine = open_engine(url)
    try:
        yield engine
    finally:
        engine.dispose()


def service_secrets(data_dir: Path, database: str) -> "Secrets":
    """The secrets of a service; made if it never started."""
    from matinee_platform.service.secrets import Secrets
    from matinee_platform.service.settings import ServiceSettings

    return Secrets.load(ServiceSettings(data_dir=data_dir, database=database, experiments=[]))


def whoever() -> str:
    """Who runs the command line, for the audit."""
    return f"command line, {getpass.getuser()}"
