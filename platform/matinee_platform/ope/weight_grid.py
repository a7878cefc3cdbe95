"""Forms that tame large weights, each a factor `f(w)` in [0, 1] on the weight, and grids of them.

With a weight `w`, a reward `r`, its prediction `q` and the expectation `e` of the predictions under
the target, a row's term is `f(w) w r` (forms without a model) or `e + f(w) w (r - q)`.

| name | factor | term | source |
|---|---|---|---|
| `clipped` | min(1, c / w) | f w r | Ionides 2008; Bottou et al. 2013 |
| `clipped_dr` | min(1, c / w) | e + f w (r - q) | Su et al. 2020, pessimistic shrinkage |
| `switch_dr` | 1 if w <= tau, else 0 | e + f w (r - q) | Wang, Agarwal and Dudik 2017 |
| `dros` | c / (w^2 + c) | e + f w (r - q) | Su et al. 2020, optimistic shrinkage |
| `subgaussian` | 1 / (1 - c + c w) | f w r | Metelli, Russo and Restelli 2021, harmonic form |
| `subgaussian_dr` | 1 / (1 - c + c w) | e + f w (r - q) | the same with a control variate |
"""

from dataclasses import dataclass

import numpy as np

from matinee_policies.arrays import FloatArray, Int64Array
from matinee_policies.compiled import kernel
from matinee_policies.errors import ConfigError

CLIP, SWITCH, SHRINK, HARMONIC = 0, 1, 2, 3

_FORMS = {
    "clipped": (CLIP, False),
    "clipped_dr": (CLIP, True),
    "switch_dr": (SWITCH, True),
    "dros": (SHRINK, True),
    "subgaussian": (HARMONIC, False),
    "subgaussian_dr": (HARMONIC, True),
}

GRID_NAMES = tuple(_FORMS)
"""Names of the estimators that have a hyper-parameter."""


@dataclass(frozen=True, slots=True)
class GridPoint:
    """One estimator at one value of its hyper-parameter.

    Attributes:
        name: one of `GRID_NAMES`.
        value: above 0 for `clipped`, `clipped_dr` and `switch_dr`, at least 0 for `dros`, in [0, 1)
            for the subgaussian forms.

    Raises:
        ConfigError: on an unknown name or a value out of its range.
    """

    name: str
    value: float

    def __post_init__(self) -> None:
        if self.name not in _FORMS:
            raise ConfigError(f"estimator must be one of {', '.join(_FORMS)}, got {self.name!r}")
        low_ok = self.value >= 0.0 if self.form in (SHRINK, HARMONIC) else self.value > 0.0
        if not low_ok or not np.isfinite(self.value):
            raise ConfigError(f"{self.name} must be finite and positive, got {self.value}")
        if self.form == HARMONIC and self.value >= 1.0:
            raise ConfigError(f"{self.name} must lie in [0, 1), got {self.value}")

    @property
    def form(self) -> int:
        """Number of the factor's form, for the kernel."""
        return _FORMS[self.name][0]

    @property
    def needs_model(self) -> bool:
        """Whether the term holds predictions."""
        return _FORMS[self.name][1]


def default_grid(*, model: bool) -> tuple[GridPoint, ...]:
    """Grids to choose from, from the most biased to the least of each estimator.

    Args:
        model: whether the log carries predictions.
    """
    clips = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
    bends = (0.9, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
    grid = [GridPoint("clipped", c) for c in clips] + [GridPoint("subgaussian", c) for c in bends]
    if model:
        grid += [GridPoint("switch_dr", c) for c in clips]
        grid += [GridPoint("dros", c) for c in (0.0, 1.0, 5.0, 20.0, 100.0, 500.0, 1e4)]
        grid += [GridPoint("subgaussian_dr", c) for c in bends]
    return tuple(grid)


def grid_codes(grid: tuple[GridPoint, ...]) -> tuple[Int64Array, Int64Array, FloatArray]:
    """Forms, 1 where predictions are in the term, and values, each `[H]`, for the kernels."""
    forms = np.array([point.form for point in grid], dtype=np.int64)
    models = np.array([point.needs_model for point in grid], dtype=np.int64)
    return forms, models, np.array([point.value for point in grid], dtype=np.float64)


@kernel
def factor(form: int, weight: float, value: float) -> float:
    """`f(w)` of one weight, at least 0; see the table of the module."""
    if form == CLIP:
        return value / weight if weight > value else 1.0
    if form == SWITCH:
        return 1.0 if weight <= value else 0.0
    if form == SHRINK:
        return value / (weight * weight + value) if value > 0.0 else 0.0
    return 1.0 / (1.0 - value + value * weight)


def factor_reference(form: int, weights: FloatArray, value: float) -> FloatArray:
    """The plain twin of `factor`, on an array.

    Example:
        >>> factor_reference(CLIP, np.array([0.0, 2.0, 8.0]), 4.0).tolist()
        [1.0, 1.0, 0.5]
    """
    with np.errstate(divide="ignore", over="ignore"):
        if form == CLIP:
            return np.minimum(1.0, value / weights)
        if form == SWITCH:
            return (weights <= value).astype(np.float64)
        if form == SHRINK:
            return value / (weights**2 + value) if value > 0.0 else np.zeros_like(weights)
        return 1.0 / (1.0 - value + value * weights)
