"""What was known of each unit before its exposure: covariates and pre-declared segments.

All of it comes from the state that the log keeps with the unit's first decision
(`log_schema.pack_state`), hence from before anything that an arm did.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from matinee_policies.arrays import AnyArray, BoolArray, Float32Array, FloatArray

KNOWN = ("known", "new")
TERTILES = ("low", "middle", "high")


class _Seen(NamedTuple):
    """What the first states of some units say, by unit, and of how many genres."""

    genres: int
    units: AnyArray
    history: FloatArray
    activity: FloatArray
    taste: AnyArray


class FirstStates:
    """States of units at their first decisions.

    Covariates: `history`, the weight of what the unit had watched, summed over genres, and
    `activity`, its visits before; both NaN for a unit of which nothing was known. A covariate that
    no unit has is left out. Segments: `new` (known, new), `activity` (tertiles of `history` among
    known units: low, middle, high), `taste` (the genre of the largest history).

    Args:
        genre_names: labels of the taste groups; numbered if not given, or fewer than states have.
    """

    def __init__(self, genre_names: Sequence[str] = ()) -> None:
        self._names = tuple(genre_names)
        self._seen: list[_Seen] = []

    def add(self, units: AnyArray, state: Float32Array) -> None:
        """Take in the first states of some units; threads may do so at the same time.

        Args:
            units: places of the units, distinct, `int [k]`.
            state: packed, `float32 [k, 2 G + 2]`; no columns where the log keeps none.
        """
        if state.shape[1] < 2:
            return
        genres = (state.shape[1] - 2) // 2
        watched = state[:, :genres]
        history = watched.sum(axis=1, dtype=np.float64)
        taste = watched.argmax(axis=1) if genres else np.zeros(len(state), dtype=np.int64)
        known = history > 0
        activity = state[:, -2].astype(np.float64)
        visited = state[:, -1] >= 0
        self._seen.append(
            _Seen(
                genres,
                units,
                np.where(known | visited, history, np.nan),
                np.where(visited, activity, np.nan),
                np.where(known, taste, -1).astype(np.int16),
            )
        )

    def told(
        self, units: AnyArray
    ) -> tuple[dict[str, FloatArray], dict[str, AnyArray], dict[str, tuple[str, ...]]]:
        """Covariates, segments and labels of segments of units, given by place, `int [n]`."""
        if not self._seen:
            return {}, {}, {}
        highest = max(one.units.max(initial=-1) for one in self._seen)
        room = int(max(highest, units.max(initial=-1))) + 1
        history, activity = np.full(room, np.nan), np.full(room, np.nan)
        taste = np.full(room, -1, dtype=np.int16)
        for one in self._seen:
            history[one.units] = one.history
            activity[one.units] = one.activity
            taste[one.units] = one.taste
        told = {"history": history[units], "activity": activity[units]}
        unknown = np.isnan(told["history"])
        segments = {
            "new": unknown.astype(np.int16),
            "activity": tertiles(told["history"]),
            "taste": taste[units],
        }
        names, genres = self._names, max(one.genres for one in self._seen)
        if len(names) < genres:
            names = tuple(f"genre {number}" for number in range(genres))
        labels = {"new": KNOWN, "activity": TERTILES, "taste": names}
        covariates = {name: one for name, one in told.items() if not np.isnan(one).all()}
        return covariates, segments, labels


def tertiles(values: FloatArray) -> AnyArray:
    """Third of the known values that each is in: 0, 1, 2, and -1 for NaN, `int16 [n]`.

    Example:
        >>> tertiles(np.array([1.0, 5.0, np.nan, 3.0])).tolist()
        [0, 2, -1, 1]
    """
    known: BoolArray = ~np.isnan(values)
    groups = np.full(values.size, -1, dtype=np.int16)
    if known.any():
        edges = np.quantile(values[known], [1 / 3, 2 / 3])
        groups[known] = np.searchsorted(edges, values[known], side="left")
    return groups
