import dataclasses
import json
import math

import pytest

from matinee_policies.config import Config, check_range, check_whole
from matinee_policies.errors import ConfigError


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ExampleConfig(Config):
    rate: float = 0.5
    size: int

    def __post_init__(self) -> None:
        check_range("rate", self.rate, low=0, high=1)
        check_whole("size", self.size, low=1, high=9)


def test_a_config_survives_json_bit_for_bit() -> None:
    config = ExampleConfig(rate=0.1 + 0.2, size=3)
    assert ExampleConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    assert ExampleConfig.from_json({"size": 2}) == ExampleConfig(size=2)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": 1, "sise": 2}, "ExampleConfig has no setting 'sise'; it has rate, size"),
        ({}, "missing 1 required keyword-only argument: 'size'"),
        ({"size": 1, "rate": 1.5}, r"rate must be <= 1, got 1\.5"),
        ({"size": 10}, "size must be <= 9, got 10"),
        ({"size": 2.0}, r"size must be a whole number, got 2\.0"),
        ({"size": True}, "size must be a whole number, got True"),
        ({"size": 1, "rate": "0.5"}, r"rate must be a finite number, got '0\.5'"),
        ({"size": 1, "rate": False}, "rate must be a finite number, got False"),
    ],
)
def test_bad_settings_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ExampleConfig.from_json(values)


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        ExampleConfig(size=1).rate = 0.2  # type: ignore[misc]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_range_admits_numbers_that_are_not_finite(value: float) -> None:
    with pytest.raises(ConfigError, match="must be a finite number"):
        check_range("x", value)


def test_edges_are_inside_unless_open() -> None:
    check_range("x", 0, low=0, high=1)
    check_range("x", 1, low=0, high=1)
    with pytest.raises(ConfigError, match="x must be > 0, got 0"):
        check_range("x", 0, low=0, low_open=True)
    with pytest.raises(ConfigError, match="x must be < 1, got 1"):
        check_range("x", 1, high=1, high_open=True)
