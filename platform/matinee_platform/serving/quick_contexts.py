"""Contexts of live pages: what `ContextBuilder` builds, from arrays that need no checks.

The state of units is the platform's own, so it is gathered in one compiled pass, and no record is
held to its rules again. What callers give (candidates, scores) is checked as ever.
"""

import numpy as np

from matinee_platform.context_builder import ContextBuilder
from matinee_platform.unit_interests import fill_interests
from matinee_platform.unit_state import UnitStates
from matinee_policies.arrays import Float32Array, IndexArray
from matinee_policies.compiled import lean_kernel
from matinee_policies.feature_kernel import fill_features
from matinee_policies.features import FEATURES, UnitStateBatch
from matinee_policies.records import ContextBatch, unchecked


class QuickContexts:
    """Builds what the policy of one arm sees of units in memory.

    Args:
        builder: of the arm.
    """

    def __init__(self, builder: ContextBuilder) -> None:
        self._builder = builder
        self._items = builder.items
        self._genres = builder.items.genres.shape[1]

    def build(
        self,
        states: UnitStates,
        rows: IndexArray,
        candidates: IndexArray,
        scores: Float32Array,
        *,
        with_features: bool,
    ) -> tuple[ContextBatch, UnitStateBatch, Float32Array]:
        """Contexts of `n` pages, to the last bit those of `ContextBuilder.build`.

        Args:
            states: of the units.
            rows: of the pages, valid, `int32 [n]`.
            candidates: rows of items, `int32 [n, K]`.
            scores: in [0, 1], `float32 [n, K]`.
            with_features: whether the policy reads features.

        Returns:
            What the policy sees; the state as seen; and the same as the log packs it
            (`log_rows.pack_state`).

        Raises:
            ContextError: candidates or scores break a rule.
        """
        n, G = rows.size, self._genres
        history = np.empty((n, G), dtype=np.float32)
        exposure = np.empty((n, G), dtype=np.float32)
        last = np.empty(n, dtype=np.int32)
        activity = np.empty(n, dtype=np.float32)
        away = np.empty(n, dtype=np.float32)
        packed = np.empty((n, 2 * G + 2), dtype=np.float32)
        shares = np.empty((n, G), dtype=np.float32)
        _gather(
            rows,
            states.genre_history,
            states.genre_exposure,
            states.last_watched,
            states.sessions,
            states.days_since,
            history,
            exposure,
            last,
            activity,
            away,
            packed,
            shares,
        )
        state = unchecked(
            UnitStateBatch,
            genre_history=history,
            genre_exposure=exposure,
            last_watched=last,
            activity=activity,
            days_since_visit=away,
        )
        builder, items = self._builder, self._items
        features = np.empty(
            (n, candidates.shape[1], len(FEATURES) if with_features else 0), dtype=np.float32
        )
        broken = -1
        if with_features:
            broken = fill_features(
                items.popularity,
                items.popularity_residual,
                items.novelty,
                items.genres,
                items.embeddings,
                history,
                exposure,
                last,
                activity,
                away,
                candidates,
                scores,
                features,
            )
        if broken >= 0:
            # Once more, to say what is wrong.
            builder.features(state, candidates, scores)
        contexts = unchecked(
            ContextBatch,
            candidates=candidates,
            features=features,
            scores=scores,
            embeddings=items.embeddings,
            traits=builder.traits,
            interests=shares,
            eligible=None,
            pinned=None,
        )
        if builder.rules is not None:
            contexts = builder.rules.apply(contexts)
        return contexts, state, packed


@lean_kernel
def _gather(
    rows: IndexArray,
    genre_history: Float32Array,
    genre_exposure: Float32Array,
    last_watched: IndexArray,
    sessions: IndexArray,
    days_since: Float32Array,
    history: Float32Array,
    exposure: Float32Array,
    last: IndexArray,
    activity: Float32Array,
    away: Float32Array,
    packed: Float32Array,
    shares: Float32Array,
) -> None:
    G = genre_history.shape[1]
    for n in range(rows.shape[0]):
        row = rows[n]
        for g in range(G):
            history[n, g] = genre_history[row, g]
            exposure[n, g] = genre_exposure[row, g]
            packed[n, g] = genre_history[row, g]
            packed[n, G + g] = genre_exposure[row, g]
        last[n] = last_watched[row]
        activity[n] = np.float32(sessions[row])
        away[n] = days_since[row]
        packed[n, 2 * G] = np.float32(sessions[row])
        packed[n, 2 * G + 1] = days_since[row]
    fill_interests(history, shares)
