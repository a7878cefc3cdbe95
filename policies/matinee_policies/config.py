"""Typed configuration that round-trips through JSON.

A policy, a candidate source and a scenario each declare a frozen dataclass that derives from
`Config`. Values are checked in `__post_init__` with the helpers below; unknown keys are refused.
Numbers of numpy count as numbers, and are stored as Python's own, so that they go through JSON.
"""

import dataclasses
import functools
import math
import operator
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, Self

import numpy as np

from matinee_policies.errors import ConfigError

# Types that are no static types of int and float.
_REAL: type = Real
_WHOLE: type = Integral


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Base of every config type; fields are JSON scalars, lists of them or other configs."""

    def __init_subclass__(cls) -> None:
        """Have numbers made plain before a subclass checks them, whatever its checks call."""
        super(Config, cls).__init_subclass__()
        check = cls.__dict__.get("__post_init__")
        # A class with slots is made twice, of one body.
        if check is None or hasattr(check, "__wrapped__"):
            return

        @functools.wraps(check)
        def plain_then_checked(self: Config) -> None:
            Config.__post_init__(self)
            check(self)

        cls.__post_init__ = plain_then_checked  # type: ignore[method-assign]

    def __post_init__(self) -> None:
        """Store numbers of other types, numpy's above all, as Python's own."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            stored = plain(value)
            if stored is not value:
                object.__setattr__(self, field.name, stored)

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return dataclasses.asdict(self)

    def get_params(self, *, deep: bool = True) -> dict[str, Any]:
        """The fields by name, after scikit-learn's convention.

        Args:
            deep: whether configs inside this one show as `outer__inner` too.

        Example:
            >>> from matinee_policies.diversity import Caps
            >>> Caps(aspect=2).get_params()
            {'aspect': 2, 'creator': 0}
        """
        params: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            params[field.name] = value
            if deep and isinstance(value, Config):
                params.update({f"{field.name}__{key}": v for key, v in value.get_params().items()})
        return params

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Build from JSON values.

        Args:
            values: field names to values; missing fields keep their defaults.

        Raises:
            ConfigError: on an unknown key, or a value that breaks a rule.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ConfigError(
                f"{cls.__name__} has no setting {unknown[0]!r}; it has {', '.join(known)}"
            )
        try:
            return cls(**values)
        except TypeError as error:
            raise ConfigError(f"{cls.__name__}: {error}") from None


def check_range(
    name: str,
    value: float,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    low_open: bool = False,
    high_open: bool = False,
) -> None:
    """Refuse a number outside its range, or one that is no finite number.

    Args:
        name: the setting, as the user wrote it.
        value: what the user gave.
        low: least allowed value; `low_open` excludes it.
        high: largest allowed value; `high_open` excludes it.
        low_open: whether `low` itself is refused.
        high_open: whether `high` itself is refused.

    Raises:
        ConfigError: with the value and the rule.

    Example:
        >>> check_range("epsilon", 0.1, low=0, high=1)
        >>> check_range("alpha", -1.0, low=0)
        Traceback (most recent call last):
        matinee_policies.errors.ConfigError: alpha must be >= 0, got -1.0
    """
    if isinstance(value, bool) or not isinstance(value, _REAL) or not _is_finite(value):
        raise ConfigError(f"{name} must be a finite number, got {value!r}")
    if value < low or (low_open and value == low):
        raise ConfigError(f"{name} must be {'>' if low_open else '>='} {low:g}, got {value!r}")
    if value > high or (high_open and value == high):
        raise ConfigError(f"{name} must be {'<' if high_open else '<='} {high:g}, got {value!r}")


def check_seed(name: str, value: int) -> None:
    """Refuse anything but a whole number in [0, 2^63 - 1]."""
    check_whole(name, value, low=0, high=2**63 - 1)


def check_whole(name: str, value: int, *, low: int, high: int | None = None) -> None:
    """Refuse anything but a whole number within `[low, high]`; arguments as `check_range`."""
    if isinstance(value, bool) or not isinstance(value, _WHOLE):
        raise ConfigError(f"{name} must be a whole number, got {value!r}")
    check_range(name, value, low=low, high=math.inf if high is None else high)


def plain(value: Any) -> Any:
    """The same value with Python's own numbers; what is no number stays as it is.

    Example:
        >>> plain(np.float32(0.5)), plain([np.int64(2), "a"])
        (0.5, [2, 'a'])
    """
    if type(value) in (bool, int, float, str):
        return value
    if type(value) in (list, tuple):
        parts = type(value)(plain(part) for part in value)
        return value if all(map(operator.is_, parts, value)) else parts
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, Integral):
        return int(value)
    # What is too large for a float is for the checks to refuse.
    return float(value) if isinstance(value, Real) and _is_finite(value) else value


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        # A whole number that is too large for a float.
        return False
