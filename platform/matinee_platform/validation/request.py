"""From what a user typed to what is validated."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from matinee_platform.data_settings import parse_data
from matinee_platform.validation.evidence import Request
from matinee_platform.validation.size import FULL, QUICK
from matinee_policies.errors import ConfigError
from matinee_simulator.calibration import load_calibration
from matinee_simulator.scenarios import scenario_parameters


def make_request(
    *,
    data: Mapping[str, Any],
    scenario: str | None,
    calibration: str | None,
    changes: Sequence[str],
    seed: int,
    quick: bool,
) -> Request:
    """Check the settings of a validation.

    Args:
        data: settings of the data that were given; none for those of the environment.
        scenario: name of the scenario whose users are taken, or None.
        calibration: name or file of a calibration that the scenario changes, or None.
        changes: parameters of the users as `KEY=VALUE`.
        seed: of world and populations.
        quick: whether the quick form is wanted.

    Raises:
        MatineeError: naming the setting or file that breaks a rule.
    """
    if data and "path" not in data:
        raise ConfigError(f"{next(iter(data))} says what a column means: name the DATA too")
    base = load_calibration(calibration).parameters if calibration else None
    values = dict(_parsed(change) for change in changes)
    return Request(
        data=parse_data(dict(data)) if data else None,
        parameters=scenario_parameters(scenario, values, base=base),
        seed=seed,
        size=QUICK if quick else FULL,
    )


def _parsed(change: str) -> tuple[str, Any]:
    key, equals, value = change.partition("=")
    if not (equals and key):
        raise ConfigError(f"--set takes key=value, got {change!r}")
    try:
        return key, yaml.safe_load(value)
    except yaml.YAMLError:
        raise ConfigError(f"--set {key} takes a plain value, got {value!r}") from None
