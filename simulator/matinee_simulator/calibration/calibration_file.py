"""Write and read calibration files: JSON with a version and a checksum of its own content."""

import hashlib
import json
from importlib import resources
from pathlib import Path
from typing import Any

from matinee_policies.config import check_range
from matinee_policies.errors import ConfigError, DataError
from matinee_simulator.calibration.free import FREE
from matinee_simulator.calibration.record import (
    Calibration,
    Curve,
    FittedMoment,
    FittedParameter,
)
from matinee_simulator.calibration.target import Target
from matinee_simulator.parameters import Parameters
from matinee_simulator.rollout.estimate import Estimate

KIND = "matinee-calibration"
VERSION = 1

SHIPPED = ("films",)
"""Names of the calibrations that come with the package."""


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Write a file that appears whole or not at all."""
    content = calibration.to_json()
    values = {"kind": KIND, "version": VERSION, "sha256": checksum(content), **content}
    partial = path.with_name(f"{path.name}.partial")
    text = json.dumps(values, indent=1, allow_nan=False, ensure_ascii=False)
    partial.write_text(text + "\n", encoding="utf-8")
    partial.replace(path)


def read_calibration(path: Path) -> Calibration:
    """Read what `write_calibration` wrote.

    Raises:
        DataError: the file is missing, is none of this version, was changed by hand or damaged, or
            holds a value out of its range.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(path, rule=f"must be there to read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise DataError(path, rule="text must be UTF-8") from None
    return _parsed(text, path)


def load_calibration(name: str) -> Calibration:
    """A calibration that comes with the package, by name, or else the file at a path.

    Raises:
        DataError: as `read_calibration`.
    """
    if name in SHIPPED:
        file = resources.files("matinee_simulator") / "calibrations" / f"{name}.json"
        return _parsed(file.read_text(encoding="utf-8"), Path(f"{name}.json"))
    return read_calibration(Path(name))


def film_parameters() -> Parameters:
    """Parameters of the calibration that comes with the package: films, published figures."""
    return load_calibration("films").parameters


def checksum(content: dict[str, Any]) -> str:
    """SHA-256 of JSON values, whatever the order of their keys and the white space.

    Example:
        >>> checksum({"a": 1, "b": 2}) == checksum({"b": 2, "a": 1}) != checksum({"a": 1, "b": 3})
        True
    """
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _parsed(text: str, path: Path) -> Calibration:
    try:
        values = json.loads(text)
    except ValueError as error:
        raise DataError(path, rule=f"must be JSON ({error})") from None
    if not isinstance(values, dict) or values.pop("kind", None) != KIND:
        raise DataError(path, rule="must be a calibration file of matinee calibrate")
    version = values.pop("version", None)
    if version != VERSION:
        raise DataError(path, rule=f"version must be {VERSION}", value=version)
    stated = values.pop("sha256", None)
    if stated != checksum(values):
        raise DataError(
            path,
            rule="sha256 must be that of the content; it was damaged, or changed by hand (put "
            "changes under world: instead)",
            value=stated,
        )
    try:
        return _calibration(values)
    except (ConfigError, KeyError, TypeError, AttributeError) as error:
        raise DataError(path, rule=f"must hold a valid calibration ({error})") from None


def _calibration(values: dict[str, Any]) -> Calibration:
    parameters = Parameters.from_json(values["parameters"])
    bounds = {free.name for free in FREE}
    fitted = tuple(FittedParameter(**entry) for entry in values["fitted"])
    for entry in fitted:
        if entry.name not in bounds:
            raise ConfigError(f"fitted must be parameters that can be fitted, got {entry.name!r}")
        check_range(entry.name, entry.value, low=entry.low, high=entry.high)
        if getattr(parameters, entry.name) != entry.value:
            raise ConfigError(
                f"{entry.name} must be the fitted value {entry.value!r}, "
                f"got {getattr(parameters, entry.name)!r}"
            )
    return Calibration(
        parameters=parameters,
        fitted=fitted,
        moments=tuple(_moment(entry) for entry in values["moments"]),
        depth_curve=tuple(
            Curve(entry["depth"], _estimate(entry["before"]), _estimate(entry["fresh"]))
            for entry in values["depth_curve"]
        ),
        rating_check=tuple(values["rating_check"]),
        observed=tuple(Target.from_plain(entry) for entry in values["observed"]),
        stages=tuple(values["stages"]),
        search=values["search"],
        data=values["data"],
        versions=values["versions"],
    )


def _moment(entry: dict[str, Any]) -> FittedMoment:
    return FittedMoment(
        target=Target.from_plain(entry["target"]),
        before=_estimate(entry["before"]),
        training=_estimate(entry["training"]),
        fresh=_estimate(entry["fresh"]),
    )


def _estimate(entry: dict[str, Any]) -> Estimate:
    value, error = entry["value"], entry["standard_error"]
    return Estimate(*(float("nan") if part is None else float(part) for part in (value, error)))
