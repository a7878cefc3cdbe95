"""What the platform remembers of each unit, folded from the unit's own events.

Struct of arrays over the units of one arm. The feature state is as the unit's last events left it;
the factor vector is refreshed at day barriers only, so that a day's candidates do not depend on
the order in which units are served.
"""

import numpy as np

from matinee_policies.arrays import (
    AnyArray,
    BoolArray,
    Float32Array,
    FloatArray,
    IndexArray,
    Int64Array,
    UInt64Array,
)
from matinee_policies.candidates.factor_model import FactorModel
from matinee_policies.candidates.fold_in import FoldInStatistics
from matinee_policies.candidates.seen import mark_seen, seen_words
from matinee_policies.compiled import lean_kernel
from matinee_policies.errors import ContextError
from matinee_policies.features import ItemFeatures, UnitStateBatch
from matinee_policies.row_storage import InMemory, RowStorage

HISTORY_HALF_LIFE = 7.0
"""Days after which a watched genre counts half."""

EXPOSURE_HALF_LIFE = 3.0
"""Days after which a shown genre counts half."""

NEVER = -1
"""Stands for "no visit yet" and "nothing watched yet"."""

_REFRESHED_AT_ONCE = 4_096
_RATINGS_AT_ONCE = 512


class UnitStates:
    """State of `n_units` units under one candidate model.

    Memory per unit: `2 G` float32 of genres, the seen set (`M / 8` bytes), the factor vector and
    the fold-in statistics (about `4 f^2` bytes).

    Args:
        n_units: number of units.
        items: per-item features of the catalogue.
        model: candidate model whose factor vectors are folded in.
        rest: how many of the impressions of a unit, the latest ones, rest: their items are no
            candidates until others have been shown.
        storage: where the state is kept; one that is not fresh holds a state already.
    """

    def __init__(
        self,
        n_units: int,
        *,
        items: ItemFeatures,
        model: FactorModel,
        rest: int = 0,
        storage: RowStorage | None = None,
    ) -> None:
        n_items, n_genres = items.genres.shape
        self._storage = storage or InMemory()
        full = self._storage.full
        self._genres = items.genres
        self._fold_in = FoldInStatistics(model, n_units, storage=self._storage)
        self._changed: BoolArray = full("changed", (n_units,), True, np.bool_)
        self.genre_history: Float32Array = full("genre_history", (n_units, n_genres), 0, np.float32)
        self.genre_exposure: Float32Array = full(
            "genre_exposure", (n_units, n_genres), 0, np.float32
        )
        self.last_watched: IndexArray = full("last_watched", (n_units,), NEVER, np.int32)
        self.sessions: IndexArray = full("sessions", (n_units,), 0, np.int32)
        self.last_visit: IndexArray = full("last_visit", (n_units,), NEVER, np.int32)
        self.days_since: Float32Array = full("days_since", (n_units,), NEVER, np.float32)
        self.seen: UInt64Array = full("seen", (n_units, seen_words(n_items)), 0, np.uint64)
        self._resting: IndexArray = full("resting", (n_units, rest), NEVER, np.int32)
        self._shown: Int64Array = full("shown", (n_units,), 0, np.int64)
        self.vectors: Float32Array = full(
            "vectors", (n_units, model.n_factors), model.prior, np.float32
        )

    def __len__(self) -> int:
        return int(self.sessions.size)

    def load_history(
        self, units: IndexArray, items: IndexArray, ratings: Float32Array, age_days: FloatArray
    ) -> None:
        """Fold in what was known before the run.

        Args:
            units: unit of each past rating, `int32 [n]`, oldest first within a unit.
            items: rated catalogue rows, `int32 [n]`.
            ratings: stars, `float32 [n]`.
            age_days: days between the rating and the start of the run, `float64 [n]`, >= 0.
        """
        self._check_units(units)
        decay = np.exp2(-age_days / HISTORY_HALF_LIFE).astype(np.float32)
        _add_watched(units, items, decay, self._genres, self.genre_history, self.last_watched)
        mark_seen(self.seen, units, items)
        self.observe_ratings(units, items, ratings)

    def hidden(self, units: IndexArray) -> UInt64Array:
        """Items that are no candidates for `units` now: watched or resting, a copied bitset."""
        hidden = self.seen[units]
        if self._resting.shape[1]:
            _mark_resting(hidden, self._resting[units])
        return hidden

    def open_sessions(self, units: IndexArray, day: int | IndexArray) -> None:
        """Age the state of units that visit on `day`: one for all, or one for each."""
        self._check_units(units)
        last = self.last_visit[units]
        days = np.where(last == NEVER, NEVER, day - last).astype(np.float32)
        self.days_since[units] = days
        # Before the first visit, what is known is as of the start of the run.
        elapsed = np.where(last == NEVER, day, days).astype(np.float64)
        history = np.exp2(-elapsed / HISTORY_HALF_LIFE).astype(np.float32)
        exposure = np.exp2(-elapsed / EXPOSURE_HALF_LIFE).astype(np.float32)
        self.genre_history[units] *= history[:, None]
        self.genre_exposure[units] *= exposure[:, None]

    def as_seen(self, units: IndexArray) -> UnitStateBatch:
        """The state that features of `units` are computed from, copied."""
        return UnitStateBatch(
            genre_history=self.genre_history[units],
            genre_exposure=self.genre_exposure[units],
            last_watched=self.last_watched[units],
            activity=self.sessions[units].astype(np.float32),
            days_since_visit=self.days_since[units],
        )

    def observe_page(self, units: IndexArray, slates: IndexArray, clicks: BoolArray) -> None:
        """Fold in one page per unit.

        Args:
            units: distinct units, `int32 [n]`.
            slates: catalogue rows shown, `int32 [n, L]`, -1 for empty slots.
            clicks: which were clicked, `bool [n, L]`.
        """
        self.observe_shown(units, slates)
        rows, slots = np.nonzero(clicks)
        self.observe_clicks(units[rows], slates[rows, slots])

    def observe_ratings(self, units: IndexArray, items: IndexArray, stars: Float32Array) -> None:
        """Fold ratings, or plays expressed in stars, into the units' taste statistics.

        A rating of a played item is a second observation of it, and counts as such.
        """
        for start in range(0, units.size, _RATINGS_AT_ONCE):
            some = slice(start, start + _RATINGS_AT_ONCE)
            self._fold_in.add(units[some], items[some], stars[some])
            self._changed[units[some]] = True
            # Few ratings are those of a page, whose units are needed again at once.
            if units.size > _RATINGS_AT_ONCE:
                self._storage.release()

    def observe_shown(self, units: IndexArray, slates: IndexArray) -> None:
        """Fold in pages of which no click is known yet; arguments as `observe_page`.

        Clicks may follow at any time (`observe_clicks`); together they are `observe_page`.
        """
        self._check_units(units)
        _add_shown(units, slates, self._genres, self.genre_exposure, self._resting, self._shown)

    def observe_clicks(self, units: IndexArray, items: IndexArray) -> None:
        """Fold in clicked items, in the given order.

        Args:
            units: unit of each click, `int32 [n]`.
            items: catalogue rows, `int32 [n]`.
        """
        self._check_units(units)
        weight = np.ones(units.size, dtype=np.float32)
        _add_watched(units, items, weight, self._genres, self.genre_history, self.last_watched)
        mark_seen(self.seen, units, items)

    def close_sessions(self, units: IndexArray, day: int | IndexArray) -> None:
        """Count the sessions of units that visited on `day`: one for all, or one for each."""
        self.sessions[units] += 1
        self.last_visit[units] = day

    def arrays(self) -> dict[str, AnyArray]:
        """Every array of the state, live, for a checkpoint."""
        return {
            "genre_history": self.genre_history,
            "genre_exposure": self.genre_exposure,
            "last_watched": self.last_watched,
            "sessions": self.sessions,
            "last_visit": self.last_visit,
            "days_since": self.days_since,
            "seen": self.seen,
            "vectors": self.vectors,
            "resting": self._resting,
            "shown": self._shown,
            "changed": self._changed,
            "fold_in_gram": self._fold_in.gram,
            "fold_in_pull": self._fold_in.pull,
            "fold_in_counts": self._fold_in.counts,
        }

    def _check_units(self, units: IndexArray) -> None:
        """Refuse units that are not here: the kernels below do not look."""
        if units.size and not (units.min() >= 0 and units.max() < len(self)):
            raise ContextError(
                f"units must be within 0 and {len(self) - 1}, got {units.min()} to {units.max()}"
            )

    def refresh_vectors(self, some: IndexArray | None = None) -> None:
        """Solve anew the vectors of units with observations since the last refresh.

        Args:
            some: of these units alone, distinct, `int32 [n]`; of all if not given.
        """
        if some is None:
            changed = np.flatnonzero(self._changed).astype(np.int32)
        else:
            changed = some[self._changed[some]]
        for start in range(0, changed.size, _REFRESHED_AT_ONCE):
            units = changed[start : start + _REFRESHED_AT_ONCE]
            self.vectors[units] = self._fold_in.solve(units)
            self._changed[units] = False
            self._storage.release()


def age_in_days(times: Int64Array, start: int) -> FloatArray:
    """Days from unix seconds `times` to `start`, at least 0."""
    return np.maximum(0.0, (start - times) / 86_400.0)


@lean_kernel
def _add_watched(
    units: IndexArray,
    items: IndexArray,
    weights: Float32Array,
    genres: Float32Array,
    genre_history: Float32Array,
    last_watched: IndexArray,
) -> None:
    for event in range(units.shape[0]):
        unit, item = units[event], items[event]
        for g in range(genres.shape[1]):
            genre_history[unit, g] += weights[event] * genres[item, g]
        last_watched[unit] = item


@lean_kernel
def _add_shown(
    units: IndexArray,
    slates: IndexArray,
    genres: Float32Array,
    genre_exposure: Float32Array,
    resting: IndexArray,
    shown: Int64Array,
) -> None:
    places = resting.shape[1]
    for row in range(units.shape[0]):
        for slot in range(slates.shape[1]):
            item = slates[row, slot]
            if item >= 0:
                for g in range(genres.shape[1]):
                    genre_exposure[units[row], g] += genres[item, g]
                if places > 0:
                    resting[units[row], shown[units[row]] % places] = item
                shown[units[row]] += 1


@lean_kernel
def _mark_resting(hidden: UInt64Array, resting: IndexArray) -> None:
    for row in range(resting.shape[0]):
        for place in range(resting.shape[1]):
            item = resting[row, place]
            if item >= 0:
                hidden[row, item >> 6] |= np.uint64(1) << np.uint64(item & 63)
