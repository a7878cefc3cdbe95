"""Read the settings of a run back from its folder."""

from pathlib import Path

from matinee_platform.json_file import read_json
from matinee_platform.settings import ExperimentSettings, parse_settings
from matinee_policies.errors import ConfigError, DataError


def run_settings(run: Path) -> ExperimentSettings:
    """The settings of a run.

    Args:
        run: its folder.

    Raises:
        DataError: if there are none that can be read.
    """
    path = run / "settings.json"
    values = read_json(path)
    try:
        return parse_settings(values, origin=str(path))
    except ConfigError as error:
        raise DataError(path, rule=f"must hold the settings of a run ({error})") from None
