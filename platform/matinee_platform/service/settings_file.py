"""Where the settings of a service come from: the one place for every command.

A file, the environment and the command line, in rising order; a data folder, of which the defaults
hold; or the line of JSON that a supervisor writes.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from matinee_platform.service.injected import injected
from matinee_platform.service.settings import ServiceSettings
from matinee_policies.errors import ConfigError

PREFIX = "MATINEE_SERVICE_"
"""`MATINEE_SERVICE_PORT=9000` replaces `port`, `MATINEE_SERVICE_LIMITS__BURST` a part of it. What
a platform sets by itself is left out (`injected.py`)."""


def load_service_settings(
    path: Path,
    *,
    changes: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
) -> ServiceSettings:
    """Settings from a YAML file.

    Args:
        path: of the file.
        changes: values that come before all others.
        environment: variables; those of this process if not given.

    Raises:
        ConfigError: naming the origin, the setting and the rule; never a value.
    """
    values = _read(path)
    given = {name: value for name, value in (changes or {}).items() if value is not None}
    variables: dict[tuple[str, ...], str] = {}
    every = os.environ if environment is None else environment
    not_ours = injected(every)
    for name, text in sorted(every.items()):
        if name.startswith(PREFIX) and name not in not_ours:
            where = name.removeprefix(PREFIX).lower().split("__")
            _put(values, where, _value(text), name)
            if where[0] not in given:
                variables[tuple(where)] = name
    values.update(given)
    try:
        return ServiceSettings.model_validate(values)
    except ValidationError as error:
        raise _complaint(error, str(path), variables) from None


def is_service_folder(data_dir: Path) -> bool:
    """Whether a folder is the data folder of a service that has started once."""
    return (data_dir / "control.sqlite").is_file()


def settings_of_folder(data_dir: Path) -> ServiceSettings:
    """Settings of a service of the SQLite tier that lies in a folder.

    Raises:
        ConfigError: if there is none.
    """
    if not is_service_folder(data_dir):
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


def _complaint(
    error: ValidationError, origin: str, variables: Mapping[tuple[str, ...], str] | None = None
) -> ConfigError:
    """What is wrong first, without the value.

    Args:
        error: of the settings.
        origin: of all that no variable of the environment gave.
        variables: name of the variable that gave a setting, by the setting's place.
    """
    first = error.errors(include_input=False, include_url=False)[0]
    parts = tuple(str(part) for part in first["loc"])
    for place, name in (variables or {}).items():
        if parts[: len(place)] == place:
            origin = name
    where = ".".join(parts)
    return ConfigError(f"{origin}: {where}: {first['msg'].removeprefix('Value error, ')}")


def _read(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, yaml.YAMLError):
        raise ConfigError(f"{path}: must be YAML in UTF-8") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: must hold settings by name")
    return values


def _put(values: dict[str, Any], path: list[str], value: Any, name: str) -> None:
    for part in path[:-1]:
        values = values.setdefault(part, {})
        if not isinstance(values, dict):
            raise ConfigError(f"{name}: there are no settings within {part!r}")
    values[path[-1]] = value


def _value(text: str) -> Any:
    """Numbers, truth values and lists as JSON; anything else is text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
