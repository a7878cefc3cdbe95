"""Ratings on their way: users rate days after the page, and the platform learns of it then."""

from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from matinee_platform.reward_rows import LateRatings
from matinee_policies.arrays import AnyArray, IndexArray, UInt64Array
from matinee_simulator.feedback import PageFeedback


class RatingQueue:
    """Holds ratings until their day."""

    def __init__(self) -> None:
        self._due: defaultdict[int, list[LateRatings]] = defaultdict(list)

    def hold(
        self,
        units: IndexArray,
        *,
        ids: UInt64Array,
        slates: IndexArray,
        feedback: PageFeedback,
        day: int,
    ) -> None:
        """Take in the ratings of one page per unit.

        Args:
            units: units of the pages, `int32 [n]`.
            ids: of the decisions, `uint64 [n]`.
            slates: catalogue rows shown, `int32 [n, L]`.
            feedback: how the users responded.
            day: today.
        """
        rows, slots = np.nonzero(~np.isnan(feedback.ratings))
        due = day + np.floor(feedback.rating_delay[rows, slots]).astype(np.int64)
        for arrival in np.unique(due):
            here = due == arrival
            self._due[int(arrival)].append(
                LateRatings(
                    ids=ids[rows[here]],
                    units=units[rows[here]],
                    items=slates[rows[here], slots[here]],
                    slots=slots[here].astype(np.int16),
                    stars=feedback.ratings[rows[here], slots[here]],
                    days=np.full(int(here.sum()), day, dtype=np.int64),
                )
            )

    def deliver(self, day: int) -> LateRatings:
        """The ratings that arrive on `day`, in the order of their pages."""
        return _joined(self._due.pop(day, []))

    def units_due(self, day: int) -> IndexArray:
        """Units of which a rating arrives on `day` already, distinct and rising."""
        due: IndexArray = np.unique(_joined(self._due.get(day, [])).units)
        return due

    def arrays(self) -> dict[str, AnyArray]:
        """Everything held, for a checkpoint."""
        days = sorted(self._due)
        held = _joined([ratings for day in days for ratings in self._due[day]])
        counts = [sum(ratings.ids.size for ratings in self._due[day]) for day in days]
        due = np.repeat(np.array(days, dtype=np.int64), counts)
        return {
            "due": due,
            **{name: getattr(held, name) for name in LateRatings.__dataclass_fields__},
        }

    def restore(self, arrays: Mapping[str, AnyArray]) -> None:
        """Take over what `arrays` gave."""
        self._due.clear()
        for day in np.unique(arrays["due"]):
            here = arrays["due"] == day
            self._due[int(day)] = [
                LateRatings(
                    **{name: arrays[name][here] for name in LateRatings.__dataclass_fields__}
                )
            ]


def _joined(parts: list[LateRatings]) -> LateRatings:
    empty = LateRatings(
        ids=np.empty(0, dtype=np.uint64),
        units=np.empty(0, dtype=np.int32),
        items=np.empty(0, dtype=np.int32),
        slots=np.empty(0, dtype=np.int16),
        stars=np.empty(0, dtype=np.float32),
        days=np.empty(0, dtype=np.int64),
    )
    return LateRatings(
        **{
            name: np.concatenate([getattr(part, name) for part in [empty, *parts]])
            for name in LateRatings.__dataclass_fields__
        }
    )
