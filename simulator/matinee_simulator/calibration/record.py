"""A calibration: what was fitted to what, how well it fits on fresh seeds, and all it came from."""

import dataclasses
import math
from typing import Any, NamedTuple

from matinee_simulator.calibration.free import NEVER_FITTED
from matinee_simulator.calibration.target import Target
from matinee_simulator.parameters import Parameters
from matinee_simulator.rollout.estimate import Estimate


class FittedParameter(NamedTuple):
    """One parameter that was fitted.

    Attributes:
        name: field of `Parameters`.
        symbol: in the equations.
        start: value before.
        value: value after.
        error: standard error by the delta method, see `fit.Fit`.
        low: least value that was allowed.
        high: largest value that was allowed.
    """

    name: str
    symbol: str
    start: float
    value: float
    error: float
    low: float
    high: float


class FittedMoment(NamedTuple):
    """One moment with its target.

    Attributes:
        target: what it should be.
        before: of the parameters before, on the fresh seeds.
        training: of the fitted ones, on the seeds they were fitted on.
        fresh: of the fitted ones, on the fresh seeds.
    """

    target: Target
    before: Estimate
    training: Estimate
    fresh: Estimate

    @property
    def distance(self) -> float:
        """Held-out distance from the target in units of its scale."""
        return (self.fresh.value - self.target.value) / self.target.scale


class Curve(NamedTuple):
    """Share back within three days by the depth of the first session, on the fresh seeds.

    Attributes:
        depth: 2, 3, ... 8 and more.
        before: of the parameters before.
        fresh: of the fitted ones.
    """

    depth: int
    before: Estimate
    fresh: Estimate


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Calibration:
    """What a calibration file holds.

    Attributes:
        parameters: all of them, those that were not fitted too: the fit holds beside these alone.
        fitted: those that were fitted.
        moments: with their targets.
        depth_curve: diagnosis of `return_slope`.
        rating_check: moments of ratings, checked and not fitted.
        observed: targets of the data that were not used, such as returns by times of ratings.
        stages: of the search.
        search: its settings, users and seeds.
        data: description and SHA-256 of everything that was read.
        versions: of packages.
    """

    parameters: Parameters
    fitted: tuple[FittedParameter, ...]
    moments: tuple[FittedMoment, ...]
    depth_curve: tuple[Curve, ...] = ()
    rating_check: tuple[dict[str, Any], ...] = ()
    observed: tuple[Target, ...] = ()
    stages: tuple[dict[str, Any], ...] = ()
    search: dict[str, Any] = dataclasses.field(default_factory=dict)
    data: dict[str, Any] = dataclasses.field(default_factory=dict)
    versions: dict[str, str] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """JSON values; figures that are not known are null."""
        return {
            "parameters": self.parameters.to_json(),
            "fitted": [fitted._asdict() for fitted in self.fitted],
            "never_fitted": dict(NEVER_FITTED),
            "moments": [
                {
                    "target": moment.target.to_json(),
                    "before": _plain(moment.before),
                    "training": _plain(moment.training),
                    "fresh": _plain(moment.fresh),
                }
                for moment in self.moments
            ],
            "depth_curve": [
                {"depth": c.depth, "before": _plain(c.before), "fresh": _plain(c.fresh)}
                for c in self.depth_curve
            ],
            "rating_check": list(self.rating_check),
            "observed": [target.to_json() for target in self.observed],
            "stages": list(self.stages),
            "search": self.search,
            "data": self.data,
            "versions": self.versions,
        }


def _plain(estimate: Estimate) -> dict[str, float | None]:
    return {
        "value": estimate.value if math.isfinite(estimate.value) else None,
        "standard_error": estimate.error if math.isfinite(estimate.error) else None,
    }
