"""Whether the users of an arm respond otherwise than they did.

Drift shows in residuals: what slots earned beyond what slots with the same features earned before
(`expected_reward.py`) departs from its level, over all items or over those of one genre. Nothing of
it depends on what the arm's policy predicts, which changes as the policy learns.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from matinee_platform.analysis.expected_reward import ExpectedReward
from matinee_platform.analysis.shown_slots import ShownSlots, read_shown_slots
from matinee_platform.drift_detector import DriftConfig, DriftTests
from matinee_platform.reward_settings import EngagementSettings
from matinee_platform.serving_model import ServingModel
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
        mean: mean residual of a slot over all items, less its level, NaN where not looked at,
            `float64 [n]`.
        error: its standard error over users, `float64 [n]`.
        departure: from the level, in standard errors, `float64 [n]`.
        alarms: by day.
    """

    mean: FloatArray
    error: FloatArray
    departure: FloatArray
    alarms: tuple[Alarm, ...]

    def to_json(self) -> dict[str, Any]:
        """JSON values; days count from 0, None where nothing is known."""
        return {
            "mean": _numbers(self.mean),
            "standard_error": _numbers(self.error),
            "departure": _numbers(self.departure),
            "alarms": [
                {"day": alarm.day, "what": alarm.what, "departure": alarm.departure}
                for alarm in self.alarms
            ],
        }


def read_drift(
    run: Path,
    arm: str,
    *,
    days: int,
    model: ServingModel,
    engagement: EngagementSettings,
    config: DriftConfig,
) -> Drift:
    """Read the log of an arm, a day at a time, and look for drift.

    Args:
        run: folder of the run.
        arm: its name.
        days: length of the run.
        model: of the run.
        engagement: weights of clicks and watching.
        config: of the detection.

    Raises:
        DataError: if a part of the log cannot be read.
    """
    contexts = model.contexts(arm)

    def looked_at() -> Iterator[tuple[int, ShownSlots]]:
        for day in range(config.settle_days, days):
            slots = read_shown_slots(run, arm, day, contexts=contexts, engagement=engagement)
            if slots is not None:
                yield day, slots

    # Sums by several threads differ in their last digits with the number of threads.
    with threadpool_limits(limits=1, user_api="blas"):
        return drift_of(looked_at(), days=days, genres=model.catalogue.genre_names, config=config)


def drift_of(
    looked_at: Iterable[tuple[int, ShownSlots]],
    *,
    days: int,
    genres: tuple[str, ...],
    config: DriftConfig,
) -> Drift:
    """Look for drift in what was shown day by day, in all and genre by genre.

    Args:
        looked_at: days, rising, and their slots.
        days: length of the run.
        genres: their names.
        config: of the detection; its days to settle are taken to be left out already.
    """
    names = (ALL_ITEMS, *genres)
    tests = DriftTests(
        [config.threshold, *[config.genre_threshold] * len(genres)],
        config=config,
    )
    expected: ExpectedReward | None = None
    mean, error, departure = np.full((3, days), np.nan)
    alarms = []
    for day, slots in looked_at:
        if expected is None:
            expected = ExpectedReward(features=slots.features.shape[1], genres=len(genres))
        found = expected.take(slots)
        raised = tests.take(found.departure)
        expected.restart(raised)
        mean[day], error[day] = found.gap[0], found.error[0]
        departure[day] = found.departure[0]
        alarms += [
            Alarm(day, names[figure], float(found.departure[figure]))
            for figure in np.flatnonzero(raised)
        ]
    return Drift(mean, error, departure, tuple(alarms))


def _numbers(values: FloatArray) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]
