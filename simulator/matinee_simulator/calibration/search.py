"""Minimise a function on the unit cube by CMA-ES.

Source: Hansen 2016, "The CMA Evolution Strategy: A Tutorial" (arXiv:1604.00772), in the
implementation of the package `cmaes`. The search is a pure function of its arguments.
"""

import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from matinee_policies.arrays import FloatArray
from matinee_policies.config import check_range, check_seed, check_whole
from matinee_policies.errors import ConfigError

_LARGE = 1e9


class Found(NamedTuple):
    """The best point of a search.

    Attributes:
        point: in the unit cube, `float64 [k]`.
        loss: there.
        evaluations: of the function.
    """

    point: FloatArray
    loss: float
    evaluations: int


def minimise(
    loss: Callable[[FloatArray], float],
    *,
    start: FloatArray,
    step: float,
    budget: int,
    restarts: int,
    seed: int,
) -> Found:
    """Search the unit cube from `start`, then again from random points.

    Args:
        loss: a function of `float64 [k]`, each within 0 and 1; what is not finite counts as large.
        start: first point, `float64 [k]`.
        step: standard deviation of the first steps, in (0, 1].
        budget: evaluations of the first search and of all restarts together; the start is one.
        restarts: how often to begin again from a random point, with an equal part of the budget.
        seed: of the steps.

    Returns:
        The best point that was tried, never worse than `start`.

    Raises:
        ConfigError: on a number out of its range.

    Example:
        >>> found = minimise(
        ...     lambda x: float(((x - 0.3) ** 2).sum()),
        ...     start=np.array([0.9, 0.9]), step=0.2, budget=300, restarts=0, seed=1,
        ... )
        >>> found.point.round(2).tolist()
        [0.3, 0.3]
    """
    check_range("step", step, low=0.0, high=1.0, low_open=True)
    check_whole("budget", budget, low=1)
    check_whole("restarts", restarts, low=0)
    check_seed("seed", seed)
    if start.ndim != 1 or not start.size or not ((start >= 0.0) & (start <= 1.0)).all():
        raise ConfigError(f"start must be a point within 0 and 1, got {start!r}")
    best = Found(start, _finite(loss(start)), 1)
    shares = np.diff(np.linspace(1, budget, restarts + 2).astype(int)).tolist()
    generator = np.random.Generator(np.random.Philox(seed))
    for place, share in enumerate(shares):
        origin = start if place == 0 else generator.random(start.size)
        found = _search(loss, origin, step=step, budget=share, seed=int(generator.integers(2**31)))
        if found is not None:
            evaluations = best.evaluations + found.evaluations
            better = found if found.loss < best.loss else best
            best = Found(better.point, better.loss, evaluations)
    return best


def _search(
    loss: Callable[[FloatArray], float],
    origin: FloatArray,
    *,
    step: float,
    budget: int,
    seed: int,
) -> Found | None:
    """One run of whole generations; None if the budget is too small for any."""
    if origin.size == 1:
        # CMA-ES needs two axes: the second one does nothing.
        return _unpadded(
            _search(
                lambda x: loss(x[:1]), np.append(origin, 0.5), step=step, budget=budget, seed=seed
            )
        )
    # It brings scipy.stats, half of what a process that runs arms would load.
    from cmaes import CMA

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        strategy = CMA(
            mean=origin.copy(),
            sigma=step,
            bounds=np.tile([0.0, 1.0], (origin.size, 1)),
            seed=seed,
        )
    best: Found | None = None
    used = 0
    while used + strategy.population_size <= budget and not strategy.should_stop():
        tried = []
        for _ in range(strategy.population_size):
            point = np.clip(strategy.ask(), 0.0, 1.0)
            value = _finite(loss(point))
            tried.append((point, value))
            if best is None or value < best.loss:
                best = Found(point, value, 0)
        strategy.tell(tried)
        used += len(tried)
    return None if best is None else best._replace(evaluations=used)


def _unpadded(found: Found | None) -> Found | None:
    return None if found is None else found._replace(point=found.point[:1])


def _finite(value: float) -> float:
    return float(value) if np.isfinite(value) else _LARGE
