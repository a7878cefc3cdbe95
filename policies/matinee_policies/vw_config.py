"""The parameters that every policy over Vowpal Wabbit shares."""

from dataclasses import dataclass

from matinee_policies.config import check_range
from matinee_policies.diversity import SlateConfig
from matinee_policies.errors import ConfigError
from matinee_policies.vw_checks import check_columns


@dataclass(frozen=True, slots=True, kw_only=True)
class VowpalWabbitSettings(SlateConfig):
    """Simple explorations, Vowpal Wabbit's updates, and what a row is made of."""

    epsilon: float = 0.1
    """Of `epsilon`: probability that a full slate holds at least one uniform draw, in [0, 1]."""

    gamma_scale: float = 10.0
    """Of `squarecb`: gamma = gamma_scale * rows learned ^ gamma_exponent, at least 0."""

    gamma_exponent: float = 0.5
    """Of `squarecb`, in [0, 1]."""

    temperature: float = 0.1
    """Of `softmax`: difference in value that makes an item e times as likely, above 0."""

    floor: float = 0.0
    """Least weight of the uniform law at each of `L` slots, in [0, 1]; of `epsilon` at most
    1 - (1 - epsilon)^(1/L)."""

    learning_rate: float = 0.5
    """Of Vowpal Wabbit's adaptive, normalized and importance-invariant updates, above 0."""

    least_propensity: float = 1e-4
    """Smaller logged propensities count as this one, in (0, 1]; bounds the weights."""

    context_features: tuple[int, ...] = ()
    """Columns that describe unit or session; they form namespace `c`, the others `a`."""

    def __post_init__(self) -> None:
        SlateConfig.__post_init__(self)
        for name in ("epsilon", "gamma_exponent", "floor"):
            check_range(name, getattr(self, name), low=0, high=1)
        check_range("gamma_scale", self.gamma_scale, low=0)
        for name in ("temperature", "learning_rate"):
            check_range(name, getattr(self, name), low=0, high=1e6, low_open=True)
        check_range("least_propensity", self.least_propensity, low=1e-9, high=1)
        object.__setattr__(
            self, "context_features", listed("context_features", self.context_features)
        )
        check_columns(self.context_features)


def listed(name: str, values: object) -> tuple[object, ...]:
    """A setting that is a list, as a tuple: JSON has lists only.

    Raises:
        ConfigError: if it is neither.
    """
    if not isinstance(values, list | tuple):
        raise ConfigError(f"{name} must be a list, got {values!r}")
    return tuple(values)


def check_flag(name: str, value: object) -> None:
    """Refuse anything but true or false."""
    if not isinstance(value, bool):
        raise ConfigError(f"{name} must be true or false, got {value!r}")
