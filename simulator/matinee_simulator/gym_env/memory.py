"""What a service has observed of each user, and the candidates that it offers on that ground.

Candidates are the best items of a matrix factorization that the user has neither watched nor been
shown in the session; the user's vector is folded in from past ratings and watched items, at the
beginning of each session.
"""

from typing import NamedTuple

import numpy as np

from matinee_policies.arrays import (
    BoolArray,
    Float32Array,
    FloatArray,
    IndexArray,
    Int64Array,
    UInt64Array,
)
from matinee_policies.candidates.fold_in import FoldInStatistics
from matinee_policies.candidates.seen import empty_seen, mark_seen
from matinee_policies.candidates.top_k import rank
from matinee_policies.compiled import kernel
from matinee_policies.features import UnitStateBatch
from matinee_policies.records import PAD
from matinee_simulator.gym_env.scene import Scene

HISTORY_HALF_LIFE = 7.0
"""Days after which a watched genre counts half."""

EXPOSURE_HALF_LIFE = 3.0
"""Days after which a shown genre counts half."""

NEVER = -1
"""Stands for "no visit yet" and "nothing watched yet"."""


class PageCandidates(NamedTuple):
    """Candidates of `b` pages.

    Attributes:
        items: item rows by falling score, `PAD` on the right, `int32 [b, K]`.
        scores: in (0, 1), 0 where padded, `float32 [b, K]`.
        places: where each stands among the items ranked for the session, `int32 [b, K]`.
    """

    items: IndexArray
    scores: Float32Array
    places: IndexArray


class Memory:
    """Observed histories of `n` users.

    Args:
        scene: model and features of the items.
        n: number of users.
        depth: items ranked for a session.
    """

    def __init__(self, scene: Scene, n: int, *, depth: int) -> None:
        genres = scene.items.genres
        self._scene = scene
        self._genres = genres
        self._fold_in = FoldInStatistics(scene.model, n)
        self.genre_history: Float32Array = np.zeros((n, genres.shape[1]), dtype=np.float32)
        self.genre_exposure: Float32Array = np.zeros((n, genres.shape[1]), dtype=np.float32)
        self.last_watched: IndexArray = np.full(n, NEVER, dtype=np.int32)
        self.sessions: Int64Array = np.zeros(n, dtype=np.int64)
        self.last_visit: Int64Array = np.full(n, NEVER, dtype=np.int64)
        self.days_since: Float32Array = np.full(n, NEVER, dtype=np.float32)
        self.seen: UInt64Array = empty_seen(n, scene.world.n_items)
        self.pool: IndexArray = np.full((n, depth), PAD, dtype=np.int32)
        self.pool_scores: Float32Array = np.zeros((n, depth), dtype=np.float32)
        self.shown: BoolArray = np.ones((n, depth), dtype=np.bool_)

    def forget(self, places: IndexArray) -> None:
        """Make room for users of whom nothing is known."""
        for array, value in (
            (self.genre_history, 0.0),
            (self.genre_exposure, 0.0),
            (self.last_watched, NEVER),
            (self.sessions, 0),
            (self.last_visit, NEVER),
            (self.days_since, NEVER),
            (self.seen, 0),
            (self._fold_in.gram, 0.0),
            (self._fold_in.pull, 0.0),
            (self._fold_in.counts, 0),
        ):
            array[places] = value

    def load_history(
        self, places: IndexArray, items: IndexArray, ratings: Float32Array, age_days: FloatArray
    ) -> None:
        """Fold in what was known before the first day.

        Args:
            places: place of the user of each rating, `int32 [m]`, oldest first within a user.
            items: rated item rows, `int32 [m]`.
            ratings: stars, `float32 [m]`.
            age_days: days between the rating and the first day, `float64 [m]`, >= 0.
        """
        decay = np.exp2(-age_days / HISTORY_HALF_LIFE).astype(np.float32)
        self._watch(places, items, ratings, decay)

    def open_sessions(self, places: IndexArray, days: Int64Array) -> None:
        """Age what is known of users who visit on `days`, and rank the items for them."""
        last = self.last_visit[places]
        self.days_since[places] = np.where(last == NEVER, NEVER, days - last)
        # Before the first visit, what is known is as of the first day.
        elapsed = np.where(last == NEVER, days, days - last).astype(np.float64)
        history = np.exp2(-elapsed / HISTORY_HALF_LIFE).astype(np.float32)
        exposure = np.exp2(-elapsed / EXPOSURE_HALF_LIFE).astype(np.float32)
        self.genre_history[places] *= history[:, None]
        self.genre_exposure[places] *= exposure[:, None]
        vectors = self._fold_in.solve(places)
        ranked = rank(self._scene.model, vectors, self.seen[places], self.pool.shape[1])
        self.pool[places] = ranked.items
        self.pool_scores[places] = ranked.scores
        self.shown[places] = ranked.items == PAD

    def observe_page(
        self, places: IndexArray, slates: IndexArray, clicks: BoolArray, watch: Float32Array
    ) -> None:
        """Fold in one page per user.

        Args:
            places: distinct, `int32 [b]`.
            slates: item rows shown, `PAD` for empty slots, `int32 [b, L]`.
            clicks: which were clicked, `bool [b, L]`.
            watch: watched fractions of clicked items, `float32 [b, L]`.
        """
        add_shown(places, slates, self._genres, self.genre_exposure)
        rows, slots = np.nonzero(clicks)
        if rows.size:
            self._watch(
                places[rows],
                slates[rows, slots],
                self._scene.stars(watch[rows, slots]),
                np.ones(rows.size, dtype=np.float32),
            )

    def close_sessions(self, places: IndexArray, days: Int64Array) -> None:
        """Count the sessions of users who visited on `days`."""
        self.sessions[places] += 1
        self.last_visit[places] = days

    def candidates(self, places: IndexArray, k: int) -> PageCandidates:
        """The `k` best items of each user that the session has not shown yet."""
        shape = (places.size, k)
        page = PageCandidates(
            np.empty(shape, dtype=np.int32),
            np.empty(shape, dtype=np.float32),
            np.empty(shape, dtype=np.int32),
        )
        take_unshown(places, self.pool, self.pool_scores, self.shown, page)
        return page

    def mark_shown(self, places: IndexArray, ranked: IndexArray) -> None:
        """Remember what a page showed, as places among the ranked items, `int32 [b, L]`."""
        rows, slots = np.nonzero(ranked != PAD)
        self.shown[places[rows], ranked[rows, slots]] = True

    def interests(self) -> Float32Array:
        """Genres watched lately as vectors of length one, zero without any, `float32 [n, G]`."""
        rows = np.zeros_like(self.genre_history)
        fill_unit_rows(self.genre_history, rows)
        return rows

    def features_of(self, places: IndexArray) -> UnitStateBatch:
        """The state that features of candidates are computed from, copied."""
        return UnitStateBatch(
            genre_history=self.genre_history[places],
            genre_exposure=self.genre_exposure[places],
            last_watched=self.last_watched[places],
            activity=self.sessions[places].astype(np.float32),
            days_since_visit=self.days_since[places],
        )

    def _watch(
        self, places: IndexArray, items: IndexArray, stars: Float32Array, weights: Float32Array
    ) -> None:
        np.add.at(self.genre_history, places, weights[:, None] * self._genres[items])
        # Of several events of one user the last one stays.
        self.last_watched[places] = items
        mark_seen(self.seen, places, items)
        self._fold_in.add(places, items, stars)


@kernel
def add_shown(
    places: IndexArray, slates: IndexArray, genres: Float32Array, exposure: Float32Array
) -> None:
    """Add the genres `[M, G]` of what was shown, `slates [b, L]`, to `exposure [n, G]`."""
    for row in range(places.shape[0]):
        for slot in range(slates.shape[1]):
            item = slates[row, slot]
            if item >= 0:
                for g in range(genres.shape[1]):
                    exposure[places[row], g] += genres[item, g]


@kernel
def fill_unit_rows(rows: Float32Array, out: Float32Array) -> None:
    """Rows `[n, G]` of numbers >= 0, scaled to length one and capped at 1; `out` holds zeros."""
    for row in range(rows.shape[0]):
        squares = np.float32(0.0)
        for g in range(rows.shape[1]):
            squares += rows[row, g] * rows[row, g]
        if squares > 0.0:
            length = np.sqrt(squares)
            for g in range(rows.shape[1]):
                out[row, g] = min(rows[row, g] / length, np.float32(1.0))


def fill_unit_rows_reference(rows: Float32Array) -> Float32Array:
    """Plain twin of `fill_unit_rows`."""
    length = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    return (rows / np.where(length > 0, length, 1.0)).astype(np.float32)


def add_shown_reference(
    places: IndexArray, slates: IndexArray, genres: Float32Array, exposure: Float32Array
) -> None:
    """Plain twin of `add_shown`."""
    for place, slate in zip(places, slates, strict=True):
        exposure[place] += genres[slate[slate >= 0]].sum(axis=0)


@kernel
def take_unshown(
    places: IndexArray,
    pool: IndexArray,
    scores: Float32Array,
    shown: BoolArray,
    out: PageCandidates,
) -> None:
    """Fill `out` with the best ranked items that were not shown.

    Args:
        places: users, `int32 [b]`.
        pool: ranked item rows, `int32 [n, P]`.
        scores: their scores, `float32 [n, P]`.
        shown: which the session has shown, padding included, `bool [n, P]`.
        out: receives the candidates.
    """
    k = out.items.shape[1]
    for row in range(places.shape[0]):
        unit = places[row]
        taken = 0
        for place in range(pool.shape[1]):
            if taken == k:
                break
            if not shown[unit, place]:
                out.items[row, taken] = pool[unit, place]
                out.scores[row, taken] = scores[unit, place]
                out.places[row, taken] = place
                taken += 1
        for empty in range(taken, k):
            out.items[row, empty] = PAD
            out.scores[row, empty] = 0.0
            out.places[row, empty] = PAD


def take_unshown_reference(
    places: IndexArray, pool: IndexArray, shown: BoolArray, k: int
) -> IndexArray:
    """Plain twin of `take_unshown`: the items, `int32 [b, k]`."""
    out = np.full((places.size, k), PAD, dtype=np.int32)
    for row, unit in enumerate(places):
        left = pool[unit][~shown[unit]][:k]
        out[row, : left.size] = left
    return out
