"""One experiment over a grid of retention sensitivities: what it finds, and what holds throughout.

How strongly goodwill moves returns cannot be measured on past data. A finding is worth as much as
the range of assumptions under which it stays true; this module says over which range that is.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from matinee_platform.analysis.tradeoff import Estimate, combine
from matinee_policies.errors import ContextError

GRID_METRICS = ("ctr", "engagement_per_user", "sessions_per_user", "d7", "d28")
"""Metrics compared over a grid, by their names in the scorecard."""

_ALPHA = 0.01


@dataclass(frozen=True, slots=True)
class GridValue:
    """One metric of one arm at one sensitivity.

    Attributes:
        value: of the arm; NaN where there is none.
        standard_error: of the value, by user.
        difference: paired, to the control at the same sensitivity; NaN for the control itself.
        difference_error: its standard error, by user.
        sign: 1 or -1 if the difference has a sign (p < .01), else 0.
    """

    value: float
    standard_error: float
    difference: float
    difference_error: float
    sign: int


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What a metric of an arm does against the control over the whole grid.

    Attributes:
        arm: name.
        metric: name.
        signs: of the difference at each sensitivity, by rising sensitivity.
        holds: whether all are the same and none is 0.
    """

    arm: str
    metric: str
    signs: tuple[int, ...]
    holds: bool


@dataclass(frozen=True, slots=True)
class SensitivityGrid:
    """An experiment over a grid.

    Attributes:
        control: name of the arm that differences are to.
        references: arms that know the simulator's truth.
        values: by sensitivity (rising), arm and metric.
    """

    control: str
    references: frozenset[str]
    values: dict[float, dict[str, dict[str, GridValue]]]

    @property
    def arms(self) -> tuple[str, ...]:
        """Names of the arms, as the experiment orders them."""
        return tuple(next(iter(self.values.values())))

    def conclusions(self) -> list[Conclusion]:
        """One per arm, other than the control, and metric."""
        found = []
        for arm in self.arms:
            if arm == self.control:
                continue
            for metric in GRID_METRICS:
                signs = tuple(point[arm][metric].sign for point in self.values.values())
                holds = abs(sum(signs)) == len(signs)
                found.append(Conclusion(arm, metric, signs, holds))
        return found

    def to_json(self) -> dict[str, Any]:
        """JSON values; numbers that do not exist are null."""
        return {
            "control": self.control,
            "references": sorted(self.references),
            "points": [
                {
                    "retention_sensitivity": sensitivity,
                    "arms": {
                        arm: {name: _without_nan(asdict(one)) for name, one in metrics.items()}
                        for arm, metrics in arms.items()
                    },
                }
                for sensitivity, arms in self.values.items()
            ],
            "conclusions": [asdict(conclusion) for conclusion in self.conclusions()],
        }


def sensitivity_grid(runs: Mapping[float, Mapping[str, Any]]) -> SensitivityGrid:
    """Put the results of a paired experiment at several sensitivities together.

    Args:
        runs: content of `results.json` by sensitivity.

    Raises:
        ContextError: if there is none, or they are not paired or have other arms.
    """
    if not runs:
        raise ContextError("runs must hold at least one sensitivity, got none")
    first = next(iter(runs.values()))
    for run in runs.values():
        if list(run["arms"]) != list(first["arms"]) or run["control"] != first["control"]:
            raise ContextError(
                f"runs must have the same arms and control, got {list(first['arms'])} and "
                f"{list(run['arms'])}"
            )
    return SensitivityGrid(
        control=first["control"],
        references=frozenset(name for name, arm in first["arms"].items() if arm["reference"]),
        values={sensitivity: run_values(runs[sensitivity]) for sensitivity in sorted(runs)},
    )


def run_values(run: Mapping[str, Any]) -> dict[str, dict[str, GridValue]]:
    """Values of a paired run by arm and metric, with their errors."""
    estimates = combine([run])
    return {
        arm: {
            metric: _value(estimates[arm][metric], card["standard_errors"][metric])
            for metric in GRID_METRICS
        }
        for arm, card in run["arms"].items()
    }


def _value(found: Estimate, error: float | None) -> GridValue:
    p_value = found.p_value
    clear = not math.isnan(p_value) and p_value < _ALPHA
    return GridValue(
        value=found.value,
        standard_error=math.nan if error is None else error,
        difference=found.difference,
        difference_error=found.standard_error,
        sign=int(math.copysign(1, found.difference)) if clear else 0,
    )


def _without_nan(values: dict[str, Any]) -> dict[str, Any]:
    return {name: None if value != value else value for name, value in values.items()}
