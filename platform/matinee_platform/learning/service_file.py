"""Where commands of learning find the settings of a service: a file, a data folder, or a line."""

from pathlib import Path

import yaml
from pydantic import ValidationError

from matinee_platform.learning.service_arms import service_files
from matinee_platform.service.settings import ServiceSettings
from matinee_policies.errors import ConfigError


def settings_of_file(path: Path) -> ServiceSettings:
    """Settings from a YAML file.

    Raises:
        ConfigError: naming the file, the setting and the rule.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: must be YAML in UTF-8: {error}") from None
    try:
        return ServiceSettings.model_validate(values)
    except ValidationError as error:
        raise _complaint(error, str(path)) from None


def settings_of_folder(data_dir: Path) -> ServiceSettings:
    """Settings of a service of the SQLite tier that lies in a folder.

    Raises:
        ConfigError: if there is none.
    """
    if not service_files(data_dir):
        raise ConfigError(f"{data_dir} must hold the data of a service, got none")
    return ServiceSettings.model_validate({"data_dir": data_dir})


def settings_of_line(line: str) -> ServiceSettings:
    """Settings from the line of JSON that a supervisor writes.

    Raises:
        ConfigError: on anything else.
    """
    try:
        return ServiceSettings.model_validate_json(line)
    except ValidationError as error:
        raise _complaint(error, "standard input") from None


def _complaint(error: ValidationError, origin: str) -> ConfigError:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return ConfigError(f"{origin}: {where}: {first['msg'].removeprefix('Value error, ')}")
