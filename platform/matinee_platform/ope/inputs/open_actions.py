"""Find out what form a log of actions has, and open it.

| form | path | options |
|---|---|---|
| `open-bandit` | CSV of the dataset, or a folder of them | behaviour, campaign, propensities |
| `obp` | `.npz` of obp's `bandit_feedback`, or a folder of parts | propensities, distinct |
| `dsjson` | `.json` or `.dsjson`, or a folder of them | |
| `exported` | `.parquet` that `write_parquet` wrote | |
| `table` | any CSV or Parquet file, or a folder of parts | columns and those of `table_log` |
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matinee_platform.ope.inputs.action_log import ActionLog
from matinee_platform.ope.inputs.dsjson import dsjson_log, is_dsjson
from matinee_platform.ope.inputs.obp_parts import is_obp, obp_file_log
from matinee_platform.ope.inputs.open_bandit import is_open_bandit, open_bandit_log
from matinee_platform.ope.inputs.parquet_export import is_exported, parquet_log
from matinee_platform.ope.inputs.table import table_log
from matinee_policies.datasets.table_file import is_table
from matinee_policies.errors import ConfigError, DataError


@dataclass(frozen=True, slots=True)
class LogForm:
    """One form of logs.

    Attributes:
        is_one: whether a path that exists is a log of this form.
        open: opens it.
        options: names of those that it takes.
    """

    is_one: Callable[[Path], bool]
    open: Callable[..., ActionLog]
    options: tuple[str, ...] = ()


def _is_table(path: Path) -> bool:
    if path.is_dir():
        return any(is_table(child) for child in path.iterdir())
    return is_table(path)


LOG_FORMS: dict[str, LogForm] = {
    "open-bandit": LogForm(
        is_open_bandit, open_bandit_log, ("behaviour", "campaign", "propensities")
    ),
    "obp": LogForm(is_obp, obp_file_log, ("propensities", "distinct")),
    "dsjson": LogForm(is_dsjson, dsjson_log),
    "exported": LogForm(is_exported, parquet_log),
    "table": LogForm(
        _is_table,
        table_log,
        ("columns", "propensities", "items", "positions", "distinct", "time_unit", "delimiter"),
    ),
}
"""The forms by name, in the order in which they are tried; the first that fits is taken."""


def log_form(path: Path) -> str:
    """The form of a log.

    Raises:
        DataError: if there is nothing, or it has none of the forms.
    """
    if not path.exists():
        raise DataError(path, rule="must be a log that exists")
    for name, form in LOG_FORMS.items():
        if form.is_one(path):
            return name
    raise DataError(path, rule=f"must be a log of a form that is known: {', '.join(LOG_FORMS)}")


def open_actions(path: Path | str, *, form: str | None = None, **options: Any) -> ActionLog:
    """Open a log of actions.

    Args:
        path: a file or a folder.
        form: one of `LOG_FORMS`; found out by default.
        options: of the form; those that are None count as not given.

    Raises:
        ConfigError: on an unknown form, an option that it does not take, or a table whose columns
            are not named.
        DataError: if the log cannot be read, or breaks a rule.
        ContextError: likewise, of arrays.
    """
    if form is None:
        form = log_form(Path(path))
    if form not in LOG_FORMS:
        raise ConfigError(f"format must be one of {', '.join(LOG_FORMS)}, got {form!r}")
    given = {name: value for name, value in options.items() if value is not None}
    known = LOG_FORMS[form].options
    for name in given:
        if name not in known:
            words = f"takes {', '.join(known)}" if known else "takes no options"
            raise ConfigError(f"a log of form {form} {words}, got {name}")
    if form == "table" and "columns" not in given:
        raise ConfigError(
            f"{path} is a table: name its columns (action=COLUMN, reward=COLUMN, "
            "propensity=COLUMN and, as they are there, position, unit, time, context)"
        )
    return LOG_FORMS[form].open(path, **given)
