"""Which parameters are fitted, within which bounds, and which never are.

r1, k1 and eta are causal: they say what would happen if users were shown something else. No log of
what happened can tell them from selection, so they stay assumptions (`retention_sensitivity`).
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np

from matinee_policies.arrays import FloatArray
from matinee_policies.errors import ConfigError
from matinee_simulator.parameters import Parameters


class Free(NamedTuple):
    """A fitted parameter.

    Attributes:
        name: field of `Parameters`.
        symbol: in the equations.
        group: moments by which it is fitted, one of `moment_names.GROUPS`.
        low: least value tried.
        high: largest value tried.
    """

    name: str
    symbol: str
    group: str
    low: float
    high: float


FREE = (
    Free("click_base", "a0", "click", -6.0, -1.0),
    Free("examination_persistence", "gamma", "click", 0.5, 0.98),
    Free("leave_base", "l0", "session", -2.0, 4.0),
    Free("leave_frailty_sd", "lf", "session", 0.0, 3.0),
    Free("leave_no_click", "l2", "session", 0.0, 1.5),
    Free("leave_depth", "l3", "session", 0.0, 1.0),
    Free("return_base", "r0", "return", -3.0, 3.0),
    Free("return_frailty_sd", "rf", "return", 0.0, 3.0),
    Free("return_absence", "r2", "return", 0.0, 2.5),
    Free("churn_base", "k0", "return", -6.0, 0.0),
    Free("churn_tenure", "k2", "return", 0.0, 2.0),
    Free("frailty_correlation", "corr(f, phi)", "return", -0.95, 0.5),
)
"""Every parameter that can be fitted."""

NEVER_FITTED = {
    "return_goodwill": "r1 is causal: what goodwill does to returns cannot be read from a log",
    "churn_goodwill": "k1 is causal: what goodwill does to churn cannot be read from a log",
    "goodwill_step": "eta is causal: how fast goodwill follows what is shown cannot be read either",
}
"""Parameters that no observation tells, with the reason."""


@dataclasses.dataclass(frozen=True, slots=True)
class Box:
    """Some free parameters as the unit cube.

    Attributes:
        free: the parameters, in the order of the cube's axes.
        base: every other parameter.
    """

    free: tuple[Free, ...]
    base: Parameters

    @classmethod
    def of(cls, groups: Sequence[str], base: Parameters) -> Self:
        """The free parameters of some groups of moments."""
        return cls(tuple(free for free in FREE if free.group in groups), base)

    def corner(self) -> FloatArray:
        """`base` as a point of the cube, `float64 [k]`.

        Raises:
            ConfigError: a parameter of it is out of its bounds.
        """
        return self.point(self.base)

    def point(self, parameters: Parameters) -> FloatArray:
        """Parameters as a point of the cube, `float64 [k]`; raises as `corner`."""
        values = []
        for free in self.free:
            value = getattr(parameters, free.name)
            if not free.low <= value <= free.high:
                raise ConfigError(
                    f"{free.name} must be within {free.low:g} and {free.high:g} to be fitted, "
                    f"got {value!r}"
                )
            values.append((value - free.low) / (free.high - free.low))
        return np.array(values)

    def parameters(self, point: FloatArray) -> Parameters:
        """The parameters of a point of the cube, `float64 [k]`."""
        changes = {
            free.name: free.low + (free.high - free.low) * min(max(value, 0.0), 1.0)
            for free, value in zip(self.free, point.tolist(), strict=True)
        }
        return dataclasses.replace(self.base, **changes)
