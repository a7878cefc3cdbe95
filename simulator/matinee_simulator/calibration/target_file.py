"""Read a list of targets: those that come with the package, or a file of one's own."""

import functools
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from matinee_policies.errors import ConfigError, DataError
from matinee_simulator.calibration.target import Target, check_targets


@functools.cache
def literature_targets() -> tuple[Target, ...]:
    """What published figures say of a service of films; their sources stand with them.

    Example:
        >>> [target.value for target in literature_targets() if target.name == "return_day_28"]
        [0.12]
    """
    file = resources.files("matinee_simulator.calibration") / "targets" / "films.yaml"
    return _parsed(yaml.safe_load(file.read_text(encoding="utf-8")), "films.yaml")


def read_targets(path: Path) -> tuple[Target, ...]:
    """Targets of a YAML file: a list of mappings with the fields of `Target`.

    Raises:
        DataError: the file cannot be read, or is no such list.
        ConfigError: a target breaks a rule, naming it.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(path, rule=f"must be there to read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise DataError(path, rule="text must be UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = None if mark is None else mark.line + 1
        raise DataError(path, rule="must be valid YAML", line=line) from None
    return _parsed(values, str(path))


def _parsed(values: Any, origin: str) -> tuple[Target, ...]:
    if not isinstance(values, list):
        raise ConfigError(f"{origin}: must be a list of targets, got {type(values).__name__}")
    try:
        targets = tuple(Target.from_plain(value) for value in values)
        check_targets(targets)
    except ConfigError as error:
        raise ConfigError(f"{origin}: {error}") from None
    return targets
