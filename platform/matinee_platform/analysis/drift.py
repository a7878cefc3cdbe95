"""Whether the users of an arm changed from what its policy had learned of them.

Drift shows in residuals: what pages earned beyond what was predicted departs from its level, over
all items or over those of one genre. A level that a policy merely predicts badly is no drift.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from matinee_platform.analysis.residuals import DailyResiduals, read_residuals
from matinee_platform.drift_detector import DriftConfig, detect
from matinee_platform.serving_model import ServingModel
from matinee_platform.settings import ArmSettings, RewardSettings
from matinee_policies.arrays import FloatArray

ALL_ITEMS = "all items"
"""Name of the figure over all items, beside the names of the genres."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm: `what` changed its level, and it was noticed on `day`, counted from 0.

    Attributes:
        day: of the run.
        what: `ALL_ITEMS` or a genre.
        departure: of that day from the level before, in standard errors.
    """

    day: int
    what: str
    departure: float


@dataclass(frozen=True, slots=True)
class Drift:
    """What was found in the residuals of one arm over `n` days.

    Attributes:
        predicted: whether the policy predicts rewards; else the engagement itself was looked at.
        mean: mean residual of a slot, over all items, `float64 [n]`.
        error: its standard error over users, `float64 [n]`.
        departure: from the level before, in standard errors, NaN where not looked at.
        alarms: by day.
    """

    predicted: bool
    mean: FloatArray
    error: FloatArray
    departure: FloatArray
    alarms: tuple[Alarm, ...]

    def to_json(self) -> dict[str, Any]:
        """JSON values; days count from 0, None where nothing is known."""
        return {
            "residual_of": "prediction" if self.predicted else "engagement",
            "mean": _numbers(self.mean),
            "standard_error": _numbers(self.error),
            "departure": _numbers(self.departure),
            "alarms": [
                {"day": alarm.day, "what": alarm.what, "departure": alarm.departure}
                for alarm in self.alarms
            ],
        }


def settled(config: DriftConfig, rewards: RewardSettings) -> DriftConfig:
    """The same parameters, with days to settle until the first return visits were learned."""
    wait = rewards.return_visit.window_days if rewards.return_visit.weight > 0.0 else 0
    return replace(config, settle_days=config.settle_days + wait)


def read_drift(
    run: Path,
    arm: ArmSettings,
    *,
    days: int,
    model: ServingModel,
    rewards: RewardSettings,
    config: DriftConfig,
) -> Drift:
    """Read the log of an arm and look for drift.

    Args:
        run: folder of the run.
        arm: settings of the arm.
        days: length of the run.
        model: of the run.
        rewards: components and weights.
        config: of the detection.

    Raises:
        DataError: if a part of the log, or a snapshot, cannot be read.
    """
    policy: Mapping[str, Any] = arm.policy
    if arm.reference:
        policy = {**arm.policy, "kind": "score_order"}
    found = read_residuals(
        run,
        arm.name,
        days=days,
        contexts=model.contexts(arm.name),
        policy=policy,
        engagement=rewards.engagement,
    )
    return drift_of(found, genres=model.catalogue.genre_names, config=settled(config, rewards))


def drift_of(residuals: DailyResiduals, *, genres: tuple[str, ...], config: DriftConfig) -> Drift:
    """Look for drift in daily residuals, in all and genre by genre."""
    alarms = []
    departure = np.full(len(residuals.mean), np.nan)
    for column, what in enumerate((ALL_ITEMS, *genres)):
        found = detect(
            residuals.mean[:, column],
            residuals.error[:, column],
            residuals.slots[:, column],
            config=config,
            threshold=config.threshold if column == 0 else config.genre_threshold,
        )
        if column == 0:
            departure = found.departure
        alarms += [
            Alarm(int(day), what, float(found.departure[day]))
            for day in np.flatnonzero(found.alarm)
        ]
    alarms.sort(key=lambda alarm: alarm.day)
    return Drift(
        residuals.predicted, residuals.mean[:, 0], residuals.error[:, 0], departure, tuple(alarms)
    )


def _numbers(values: FloatArray) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]
