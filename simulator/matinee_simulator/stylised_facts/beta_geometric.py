"""The shifted beta-geometric model of customers who leave for good.

Each customer leaves with the same probability p after every period, and p differs between them by a
Beta(a, b) law, so the hazard of those who are left falls with tenure:

    P(left in period t) = B(a + 1, b + t - 1) / B(a, b),    S(t) = B(a, b + t) / B(a, b)

Source: Fader and Hardie 2007, "How to project customer retention", equations 5 and 6.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import betaln

from matinee_policies.arrays import AnyArray, FloatArray
from matinee_policies.errors import ContextError

_LARGEST_LOG = 12.0


@dataclass(frozen=True, slots=True)
class BetaGeometric:
    """A fitted model.

    Attributes:
        a: first parameter of the beta law, > 0.
        b: second parameter, > 0.
        r_squared: share of the variance of the observed survival that the fitted one explains.
    """

    a: float
    b: float
    r_squared: float

    def survival(self, periods: AnyArray) -> FloatArray:
        """S(t), `float64 [n]`."""
        return survival(self.a, self.b, periods)


def survival(a: float, b: float, periods: AnyArray) -> FloatArray:
    """Share still there after each number of periods.

    Example:
        >>> survival(1.0, 1.0, np.array([0, 1, 2])).round(3).tolist()
        [1.0, 0.5, 0.333]
    """
    return np.asarray(np.exp(betaln(a, b + np.asarray(periods, dtype=np.float64)) - betaln(a, b)))


def fit_beta_geometric(left: AnyArray, stayed: int) -> BetaGeometric:
    """Maximum likelihood.

    Args:
        left: customers who left in period 1, 2, ..., whole numbers, `[T]`, at least two periods.
        stayed: customers who were still there after the last.

    Raises:
        ContextError: nobody left, or there are fewer than two periods.
    """
    lost = np.asarray(left, dtype=np.float64)
    if lost.size < 2 or not lost.sum() > 0:
        raise ContextError(f"left must count losses in at least 2 periods, got {lost.tolist()}")
    periods = np.arange(1, lost.size + 1)

    def cost(logs: FloatArray) -> float:
        a, b = np.exp(np.clip(logs, -_LARGEST_LOG, _LARGEST_LOG))
        leaving = betaln(a + 1.0, b + periods - 1.0) - betaln(a, b)
        staying = betaln(a, b + lost.size) - betaln(a, b)
        return -float((lost @ leaving + stayed * staying) / (lost.sum() + stayed))

    found = minimize(
        cost,
        np.zeros(2),
        method="Nelder-Mead",
        options={"xatol": 1e-8, "fatol": 1e-12, "maxiter": 5_000},
    )
    a, b = (float(value) for value in np.exp(np.clip(found.x, -_LARGEST_LOG, _LARGEST_LOG)))
    observed = 1.0 - np.cumsum(lost) / (lost.sum() + stayed)
    return BetaGeometric(a, b, _r_squared(observed, survival(a, b, periods)))


def _r_squared(observed: FloatArray, fitted: FloatArray) -> float:
    spread = float(np.sum((observed - observed.mean()) ** 2))
    if not spread > 0:
        return float("nan")
    return 1.0 - float(np.sum((observed - fitted) ** 2)) / spread
