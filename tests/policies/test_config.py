import dataclasses
import json
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from matinee_policies.config import Config, check_range, check_seed, check_whole
from matinee_policies.errors import ConfigError
from matinee_policies.lin_ucb import LinUCB, LinUCBConfig


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ExampleConfig(Config):
    rate: float = 0.5
    size: int

    def __post_init__(self) -> None:
        check_range("rate", self.rate, low=0, high=1)
        check_whole("size", self.size, low=1, high=9)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Corners(Config):
    """No checks of its own."""

    corners: tuple[float, ...] = ()


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
        ({"size": 1, "rate": 10**400}, "rate must be a finite number, got 10000"),
        ({"size": 1, "rate": False}, "rate must be a finite number, got False"),
    ],
)
def test_bad_settings_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ExampleConfig.from_json(values)


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        ExampleConfig(size=1).rate = 0.2  # type: ignore[misc]


@pytest.mark.parametrize("number", [np.float64, np.float32, np.int64, np.uint8, Fraction])
def test_numbers_of_other_types_are_stored_as_python_has_them(number: Any) -> None:
    config = ExampleConfig(rate=number(1), size=np.int32(3))  # type: ignore[arg-type]
    assert json.loads(json.dumps(config.to_json())) == {"rate": 1, "size": 3}
    assert type(config.rate) in (int, float)
    assert config == ExampleConfig(rate=1, size=3)
    assert LinUCBConfig(diversity=number(1)).to_json()["diversity"] == 1
    assert json.dumps(Corners(corners=(number(1), 0.5)).to_json()) in (
        '{"corners": [1, 0.5]}',
        '{"corners": [1.0, 0.5]}',
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": np.float64(2.0)}, r"size must be a whole number, got 2\.0"),
        ({"size": np.bool_(True)}, "size must be a whole number, got True"),
        ({"size": 1, "rate": np.float32(np.nan)}, "rate must be a finite number, got"),
        ({"size": 1, "rate": Fraction(10**400)}, "rate must be a finite number, got"),
        ({"size": 1, "rate": np.array([0.5])}, "rate must be a finite number, got"),
        ({"size": 1, "rate": 0.5 + 0j}, "rate must be a finite number, got"),
    ],
)
def test_what_is_no_real_number_is_still_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ExampleConfig.from_json(values)


def test_numbers_of_other_types_go_through_snapshots() -> None:
    policy = LinUCB(dimension=np.int64(4))  # type: ignore[arg-type]
    assert json.dumps(policy.snapshot().manifest["dimension"]) == "4"


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


def test_a_seed_is_a_word_of_63_bits() -> None:
    check_seed("seed", 2**63 - 1)
    for bad in (2**63, 10**400, -1, 0.5):
        with pytest.raises(ConfigError, match="seed must be"):
            check_seed("seed", bad)  # type: ignore[arg-type]
