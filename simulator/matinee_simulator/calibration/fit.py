"""Fit parameters to targets by the simulated method of moments, in stages.

    loss(p) = sum over targets of ((m(p) - t) / max(se, tolerance))^2 + pull |p - start|^2

with p in the unit cube of the parameters' bounds. Every evaluation meets the same users with the
same luck (common random numbers), so that the loss is a function of p alone. The weak pull towards
the start decides between parameters that the targets do not tell apart. CMA-ES finds the basin;
damped Gauss-Newton steps finish, and their derivatives give the errors of the parameters.

Source: McFadden 1989, Econometrica 57(5); Gourieroux and Monfort 1996, "Simulation-Based
Econometric Methods", chapter 2.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from matinee_policies.arrays import FloatArray
from matinee_policies.config import Config, check_range, check_seed, check_whole
from matinee_policies.errors import ConfigError
from matinee_simulator.calibration.free import Box, Free
from matinee_simulator.calibration.moment_names import GROUPS, days_needed
from matinee_simulator.calibration.search import minimise
from matinee_simulator.calibration.target import Target, check_targets
from matinee_simulator.parameters import Parameters
from matinee_simulator.rollout.estimate import Estimate

Simulator = Callable[[Parameters, Sequence[str], int], Mapping[str, Estimate]]
"""From parameters, names of moments and a number of days to those moments."""

_WORST = 20.0
_DIFFERENCE = 0.08
_DAMPING = (0.01, 0.1, 1.0)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FitSettings(Config):
    """How to search.

    Raises:
        ConfigError: on a number out of its range, naming it.
    """

    budget: int = 700
    """Evaluations of all stages together."""
    restarts: int = 1
    """Restarts from random points in every stage but the last."""
    step: float = 0.15
    """First steps, as a share of the bounds; a third of it in the last stage."""
    pull: float = 0.5
    """Weight of the squared distance from the start, as a share of the bounds."""
    polish: int = 2
    """Most rounds of damped Gauss-Newton steps after the search, on top of the budget."""
    search_seed: int = 1
    """Of the optimiser."""

    def __post_init__(self) -> None:
        check_whole("budget", self.budget, low=1, high=1_000_000)
        check_whole("restarts", self.restarts, low=0, high=100)
        check_range("step", self.step, low=0.0, high=1.0, low_open=True)
        check_range("pull", self.pull, low=0.0, high=1e6)
        check_whole("polish", self.polish, low=0, high=100)
        check_seed("search_seed", self.search_seed)


class Stage(NamedTuple):
    """One stage of a fit.

    Attributes:
        name: its group of moments, or `joint`.
        fitted: the parameters that it moved.
        evaluations: simulations.
        before: loss at its start, over its own targets.
        after: loss at its end.
    """

    name: str
    fitted: tuple[str, ...]
    evaluations: int
    before: float
    after: float


class Fit(NamedTuple):
    """What a fit found.

    Attributes:
        parameters: all of them.
        start: all parameters before.
        free: those that were fitted.
        errors: standard error of each fitted one, in its own unit, `float64 [k]`: how far the
            targets, taken to be as uncertain as their scales, leave it open.
        stages: in their order.
        loss: over all targets, pull included.
    """

    parameters: Parameters
    start: Parameters
    free: tuple[Free, ...]
    errors: FloatArray
    stages: tuple[Stage, ...]
    loss: float


Report = Callable[[str, int, int, float], None]
"""Told after every evaluation: stage, evaluations of it so far, of how many, least loss so far."""


def fit(
    simulate: Simulator,
    targets: Sequence[Target],
    *,
    start: Parameters,
    settings: FitSettings,
    report: Report = lambda stage, done, budget, loss: None,
) -> Fit:
    """Fit the parameters of every group of moments that has targets.

    One stage for each of clicks, sessions and returns moves that group's parameters towards its own
    targets; then a joint one moves all towards all, and the polish finishes.

    Args:
        simulate: the model.
        targets: at least one; distinct moments.
        start: parameters before, and those that are not fitted.
        settings: of the search.
        report: told of progress.

    Raises:
        ConfigError: the targets are empty or doubled, or a parameter starts out of its bounds.
    """
    check_targets(targets)
    groups = [group for group in GROUPS if any(target.group == group for target in targets)]
    anchor = start
    now, stages = start, []
    plans: list[tuple[str, tuple[str, ...]]] = [(group, (group,)) for group in groups]
    if len(groups) > 1:
        plans.append(("joint", tuple(groups)))
    for place, (name, parts) in enumerate(plans):
        last = place == len(plans) - 1
        budget = _share(settings.budget, place, plans)
        now, stage = _run_stage(
            simulate,
            [target for target in targets if target.group in parts],
            name=name,
            box=Box.of(parts, now),
            anchor=anchor,
            settings=dataclasses.replace(
                settings,
                budget=budget,
                restarts=0 if last and len(plans) > 1 else settings.restarts,
                step=settings.step / 3.0 if last and len(plans) > 1 else settings.step,
                search_seed=settings.search_seed + place,
            ),
            report=report,
        )
        stages.append(stage)
    box = Box.of(groups, now)
    point, errors, stage = _polish(
        simulate, targets, box=box, anchor=anchor, settings=settings, report=report
    )
    stages.append(stage)
    return Fit(box.parameters(point), start, box.free, errors, tuple(stages), stage.after)


def residuals(moments: Mapping[str, Estimate], targets: Sequence[Target]) -> FloatArray:
    """Distances from the targets in units of their scales; what is missing counts as far off."""
    found = [(moments[target.name].value - target.value) / target.scale for target in targets]
    return np.asarray(np.nan_to_num(np.array(found), nan=_WORST), dtype=np.float64)


def _polish(
    simulate: Simulator,
    targets: Sequence[Target],
    *,
    box: Box,
    anchor: Parameters,
    settings: FitSettings,
    report: Report,
) -> tuple[FloatArray, FloatArray, Stage]:
    """Damped Gauss-Newton steps from `box.base`, and standard errors at the end of them.

    Source: Levenberg 1944, Marquardt 1963. The errors are the root of the diagonal of
    (J'J + pull)^-1, in the parameters' own units.
    """
    names, days = _names(targets), _days(targets)
    home, best = box.point(anchor), box.corner()
    pull = settings.pull
    tried = 0
    planned = settings.polish * (2 * best.size + len(_DAMPING)) + 2 * best.size + 1

    def scaled(point: FloatArray) -> FloatArray:
        nonlocal tried
        tried += 1
        distances = residuals(simulate(box.parameters(point), names, days), targets)
        return np.append(distances, np.sqrt(pull) * (point - home))

    now = scaled(best)
    before = float(now @ now)
    slopes = _slopes(scaled, best)
    for _ in range(settings.polish):
        old = float(now @ now)
        for damping in _DAMPING:
            normal = slopes.T @ slopes
            lifted = normal + damping * np.diag(np.diag(normal)) + 1e-9 * np.eye(best.size)
            point = np.clip(best - np.linalg.solve(lifted, slopes.T @ now), 0.0, 1.0)
            moved = scaled(point)
            report("polish", tried, planned, min(float(now @ now), float(moved @ moved)))
            if moved @ moved < now @ now:
                best, now = point, moved
        if not float(now @ now) < old:
            break
        slopes = _slopes(scaled, best)
    normal = slopes.T @ slopes + 1e-9 * np.eye(best.size)
    widths = np.array([free.high - free.low for free in box.free])
    errors = np.sqrt(np.diag(np.linalg.inv(normal))) * widths
    fitted = tuple(free.name for free in box.free)
    return best, errors, Stage("polish", fitted, tried, before, float(now @ now))


def _slopes(function: Callable[[FloatArray], FloatArray], centre: FloatArray) -> FloatArray:
    """Derivatives of `function` at `centre` by central differences within the cube, `[m, k]`."""
    columns = []
    for axis in range(centre.size):
        low, high = centre.copy(), centre.copy()
        low[axis] = max(centre[axis] - _DIFFERENCE, 0.0)
        high[axis] = min(centre[axis] + _DIFFERENCE, 1.0)
        columns.append((function(high) - function(low)) / (high[axis] - low[axis]))
    return np.column_stack(columns)


def _run_stage(
    simulate: Simulator,
    targets: Sequence[Target],
    *,
    name: str,
    box: Box,
    anchor: Parameters,
    settings: FitSettings,
    report: Report,
) -> tuple[Parameters, Stage]:
    names, days = _names(targets), _days(targets)
    home = box.point(anchor)
    losses: list[float] = []

    def loss(point: FloatArray) -> float:
        moments = simulate(box.parameters(point), names, days)
        away = settings.pull * float(((point - home) ** 2).sum())
        losses.append(float((residuals(moments, targets) ** 2).sum()) + away)
        report(name, len(losses), settings.budget, min(losses))
        return losses[-1]

    found = minimise(
        loss,
        start=box.corner(),
        step=settings.step,
        budget=settings.budget,
        restarts=settings.restarts,
        seed=settings.search_seed,
    )
    fitted = tuple(free.name for free in box.free)
    stage = Stage(name, fitted, len(losses), losses[0], found.loss)
    return box.parameters(found.point), stage


def _share(budget: int, place: int, plans: Sequence[tuple[str, tuple[str, ...]]]) -> int:
    """Evaluations of one stage: half of them for the joint one, the others by their parameters."""
    name = plans[place][0]
    if len(plans) == 1:
        return budget
    if name == "joint":
        return max(1, budget // 2)
    sizes = {plan[0]: len(Box.of(plan[1], Parameters()).free) for plan in plans[:-1]}
    return max(1, budget // 2 * sizes[name] // sum(sizes.values()))


def _names(targets: Sequence[Target]) -> tuple[str, ...]:
    return tuple(target.name for target in targets)


def _days(targets: Sequence[Target]) -> int:
    return max(days_needed(target.name) for target in targets)


def check_start(start: Parameters) -> None:
    """Refuse parameters that a fit cannot begin from.

    Raises:
        ConfigError: naming the parameter.
    """
    Box.of(GROUPS, start).corner()
    moving = (start.taste_drift, start.shock_rate, start.season_amplitude)
    if start.catalogue_moves or any(value > 0 for value in moving):
        raise ConfigError("calibration needs a world that stands still, got one that moves")
