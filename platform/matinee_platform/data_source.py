"""From the settings of data to the data: a table, MovieLens files, a fetched set, or drawn data."""

import os
from pathlib import Path
from typing import Any

from matinee_platform.data_settings import DataSettings, name_the_columns, parse_data
from matinee_platform.known_data import KNOWN_DATA, data_home, is_present
from matinee_policies.datasets.dataset import Dataset
from matinee_policies.datasets.locate import open_dataset
from matinee_policies.datasets.table import load_table
from matinee_policies.datasets.table_file import open_tables
from matinee_policies.errors import ConfigError, DataError

VARIABLE = "MATINEE_DATA"
"""Environment variable that names the data where no setting does."""


def open_data(data: DataSettings | None) -> Dataset:
    """Load the data that the settings name, else those of `MATINEE_DATA`, else draw some.

    Raises:
        MatineeError: there are no such data, or they break a rule.
    """
    if data is None:
        named = os.environ.get(VARIABLE)
        if not named:
            return open_dataset(None)
        data = parse_data({"path": named})
    if data.is_table:
        return load_table(data.table())
    given = data.model_fields_set - {"path"}
    lone = sorted(name for name in given if getattr(data, name) != _DEFAULTS[name].default)
    if lone:
        raise ConfigError(
            f"data.{lone[0]} goes with data.users and data.items (--users COL --items COL), "
            f"got {getattr(data, lone[0])!r} alone"
        )
    path = resolved(data.path)
    if path.is_file():
        table = open_tables(path)[0]
        raise DataError(path, rule=f"{name_the_columns()}; there are {table.shown_names()}")
    return open_dataset(path)


def data_identity(data: DataSettings | None) -> dict[str, Any]:
    """What tells the data of a run from others: where they are, and the size of each file."""
    named = os.environ.get(VARIABLE) if data is None else data.path
    if not named:
        return {"path": None}
    path = resolved(named)
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return {
        "path": str(path.resolve()),
        "files": {file.name: file.stat().st_size for file in files if file.is_file()},
    }


_DEFAULTS = DataSettings.model_fields


def resolved(name: str) -> Path:
    """The path itself, or the folder of the fetched set that is called so.

    Raises:
        ConfigError: it is the name of a set that is not fetched.
    """
    path = Path(name).expanduser()
    if path.exists():
        return path
    for known in KNOWN_DATA:
        if name.lower() in (known.name, *known.aliases):
            folder = data_home() / known.name
            if not is_present(folder):
                raise ConfigError(
                    f"{known.name} is not in {folder.parent}; fetch it: "
                    f"matinee data fetch {known.name}"
                )
            return folder
    return path
