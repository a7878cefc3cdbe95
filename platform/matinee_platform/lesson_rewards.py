"""What a lesson says of every slot: a pure function of the joined events of its pages.

The learner of an offline run and that of the service both ask here.
"""

from dataclasses import dataclass

import numpy as np

from matinee_platform.join import rating_values
from matinee_platform.lessons import Lesson
from matinee_platform.reward_settings import RewardSettings
from matinee_policies.arrays import BoolArray, Float32Array, FloatArray

RATING, RETURN_VISIT = "rating", "return_visit"


@dataclass(frozen=True, slots=True)
class JoinedEvents:
    """What came of `n` pages; `None` for a component that is not part of the lesson.

    Attributes:
        engagement: weighted engagement of each slot, `float64 [n, L]`.
        stars: rating of each slot, NaN without one, `float32 [n, L]`.
        returned: 1 where the unit came back, else 0, `float64 [n]`.
    """

    engagement: FloatArray | None = None
    stars: Float32Array | None = None
    returned: FloatArray | None = None


def lesson_rewards(
    lesson: Lesson,
    events: JoinedEvents,
    shown: BoolArray,
    *,
    settings: RewardSettings,
    examined: FloatArray,
) -> tuple[FloatArray, BoolArray]:
    """Reward of each slot, and the slots that the lesson speaks of.

    Args:
        lesson: components that are learned together.
        events: joined to the pages.
        shown: which slots held an item, `bool [n, L]`.
        settings: weights of the components.
        examined: how often each slot is examined, `float64 [L]`; what was earned at a slot is taken
            over this, and what the whole page earned is not.

    Returns:
        `float64 [n, L]` in value units, and `bool [n, L]`: in a lesson of ratings alone an item
        that nobody rated is not known, and no lesson.

    Example:
        >>> settings = RewardSettings.model_validate({"return_visit": {"weight": 0.5}})
        >>> events = JoinedEvents(returned=np.array([1.0, 0.0]))
        >>> lesson = Lesson(("return_visit",), 7, first=False)
        >>> shown = np.ones((2, 1), dtype=np.bool_)
        >>> lesson_rewards(lesson, events, shown, settings=settings, examined=np.ones(1))[0]
        array([[0.5],
               [0. ]])
    """
    rewards = np.zeros(shown.shape)
    if events.engagement is not None:
        rewards += events.engagement / examined
    if events.stars is not None:
        rated = ~np.isnan(events.stars)
        value = rating_values(np.where(rated, events.stars, np.float32(0.0)), settings.rating)
        rewards += np.where(rated, value, 0.0) / examined
        shown = rated if lesson.names == (RATING,) else shown
    if events.returned is not None:
        rewards += settings.return_visit.weight * events.returned[:, None]
    return rewards, shown
