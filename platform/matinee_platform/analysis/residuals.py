"""What an arm's pages earned beyond what its policy predicted, day by day and genre by genre.

The residual of a slot is its engagement minus the reward that the policy predicted for it, under
the snapshot that chose it, from its features as logged. Where a policy predicts no reward (an
order by scores, say), or its predictions are corrected for position bias, the residual is the
engagement itself. Later components (return visits) are
left out: what a policy predicts of them is a part of the level, which no day departs from.

Days, not pages, are the sample: users are the units within a day, so that neither pages of one user
nor items of one page count as independent.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from matinee_platform.analysis.compare import linearised
from matinee_platform.context_builder import ContextBuilder
from matinee_platform.decision_log import read_parts
from matinee_platform.join import engagement_rewards
from matinee_platform.log_schema import COMPONENTS, column_values, matrix, unpack_state
from matinee_platform.logged_contexts import slate_positions
from matinee_platform.settings import EngagementSettings
from matinee_policies.arrays import AnyArray, Float32Array, FloatArray, IndexArray, UInt64Array
from matinee_policies.features import SLOT_FEATURE, slot_feature
from matinee_policies.policy import Policy
from matinee_policies.records import PAD, ContextBatch
from matinee_policies.registry import restore_policy
from matinee_policies.snapshot import Snapshot
from matinee_policies.snapshot_signature import SigningKeys

Predictor = Callable[[ContextBatch], FloatArray]

PAGES_A_DAY = 20_000
"""Pages looked at of a day: all, or about so many, drawn by their ids."""

_BY_POLICY = "policy"

_CLICK, _WATCH = COMPONENTS.index("click"), COMPONENTS.index("watch")


@dataclass(frozen=True, slots=True)
class DailyResiduals:
    """Residuals of one arm over `n` days, in all (column 0) and by genre (`G` columns).

    Attributes:
        predicted: whether the policy predicts rewards; else residuals are engagement.
        mean: mean of a slot, NaN on a day without any, `float64 [n, 1 + G]`.
        error: standard error over users, NaN for fewer than two, `float64 [n, 1 + G]`.
        slots: number of slots; an item's slot is shared by its genres, `float64 [n, 1 + G]`.
    """

    predicted: bool
    mean: FloatArray
    error: FloatArray
    slots: FloatArray


def read_residuals(
    run: Path,
    arm: str,
    *,
    days: int,
    contexts: ContextBuilder,
    policy: Mapping[str, Any],
    engagement: EngagementSettings,
    pages: int = PAGES_A_DAY,
) -> DailyResiduals:
    """Read the log of one arm, a day at a time.

    Args:
        run: folder of the run.
        arm: name of the arm.
        days: length of the run.
        contexts: of this arm.
        policy: its settings, with `kind`.
        engagement: weights of clicks and watching.
        pages: looked at of a day, about.

    Raises:
        DataError: if a part of the log, or a snapshot, cannot be read.
    """
    genres = contexts.traits.aspects
    shape = (days, 1 + genres.shape[1])
    mean, error, slots = np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape)
    predicted = False
    for day in range(days):
        parts = list(_sample(run, arm, day, pages=pages))
        if not parts:
            continue
        rows = pa.concat_tables(parts).combine_chunks()
        page = _Pages.of(rows, run / "decisions" / arm)
        residual = _engagement(run, arm, day, page, engagement)
        for version in np.unique(rows["snapshot"].to_numpy()):
            path = run / "snapshots" / arm / f"{version:05d}.npz"
            snapshot = Snapshot.load(path, keys=SigningKeys.configured())
            # Corrected for position, a prediction is of the reward where a slot is examined.
            predict = (
                predictor(restore_policy(snapshot, kind=policy["kind"], config=policy))
                if engagement.position_bias == "none"
                else None
            )
            if predict is not None:
                predicted = True
                here = np.flatnonzero(rows["snapshot"].to_numpy() == version)
                residual[here] -= predict(_contexts(rows.take(here), page.rows(here), contexts))
        mean[day], error[day], slots[day] = _by_genre(
            rows["unit"].to_numpy(), page.items, residual, genres
        )
    return DailyResiduals(predicted, mean, error, slots)


def predictor(policy: Policy) -> Predictor | None:
    """What tells the reward that a policy predicts of each candidate, if it predicts any."""
    found: Predictor | None = getattr(policy, "predictions", None)
    if found is None and policy.name == "vowpal_wabbit":
        # Minus its cost, which is the reward; no widths are in it.
        found = getattr(policy, "values", None)
    return found


@dataclass(frozen=True, slots=True)
class _Pages:
    """Slates of some logged pages, moved up so that empty slots come last.

    Attributes:
        ids: decision ids, `uint64 [n]`.
        items: catalogue rows, `int32 [n, L]`, `PAD` from the right.
        slots: slot at which each stood, `int64 [n, L]`.
        scores: of the candidate source, `float32 [n, L]`.
    """

    ids: UInt64Array
    items: IndexArray
    slots: AnyArray
    scores: Float32Array

    @classmethod
    def of(cls, rows: pa.Table, log: Path) -> "_Pages":
        slates = matrix(rows["slate"])
        positions = slate_positions(matrix(rows["candidates"]), slates, log)
        scores = np.take_along_axis(matrix(rows["scores"]), positions.clip(0), axis=1)
        slots = np.argsort(slates == PAD, axis=1, kind="stable")
        return cls(
            ids=rows["decision_id"].to_numpy(),
            items=np.take_along_axis(slates, slots, axis=1),
            slots=slots,
            scores=np.take_along_axis(scores, slots, axis=1),
        )

    def rows(self, index: AnyArray) -> "_Pages":
        return _Pages(self.ids[index], self.items[index], self.slots[index], self.scores[index])


def _sample(run: Path, arm: str, day: int, *, pages: int) -> Iterator[pa.Table]:
    """The day's rows, or those of some residue of their ids, which are hashes."""
    logged = sum(
        table.num_rows for table in read_parts(run, "decisions", arm, ["decision_id"], day=day)
    )
    step = np.uint64(max(1, -(-logged // pages)))
    for table in read_parts(run, "decisions", arm, day=day):
        served = table["served_by"].cast(pa.string()).to_numpy() == _BY_POLICY
        chosen = np.flatnonzero(served & (table["decision_id"].to_numpy() % step == 0))
        if chosen.size:
            yield table if chosen.size == table.num_rows else table.take(chosen)


def _engagement(
    run: Path, arm: str, day: int, pages: _Pages, settings: EngagementSettings
) -> FloatArray:
    """Engagement of each slot of some pages, `float64 [n, L]`."""
    clicks = np.zeros(pages.items.shape, dtype=np.bool_)
    watch = np.zeros(pages.items.shape, dtype=np.float32)
    order = np.argsort(pages.ids)
    for table in read_parts(run, "rewards", arm, day=day):
        events = column_values(table)
        place = np.searchsorted(pages.ids, events["decision_id"], sorter=order)
        row = order[np.minimum(place, order.size - 1)]
        own = pages.ids[row] == events["decision_id"]
        clicked = own & (events["component"] == _CLICK)
        clicks[row[clicked], events["slot"][clicked]] = True
        watched = own & (events["component"] == _WATCH)
        watch[row[watched], events["slot"][watched]] = events["value"][watched]
    return np.take_along_axis(engagement_rewards(clicks, watch, settings), pages.slots, axis=1)


def _contexts(rows: pa.Table, pages: _Pages, contexts: ContextBuilder) -> ContextBatch:
    """Contexts whose candidates are what was shown, with the features that were learned."""
    state = unpack_state(matrix(rows["unit_state"]), rows["last_watched"].to_numpy())
    items = np.ascontiguousarray(pages.items)
    scores = np.ascontiguousarray(pages.scores)
    features = contexts.features(state, items, scores)
    features[:, :, SLOT_FEATURE] = slot_feature(items.shape[1])[pages.slots]
    return ContextBatch(
        candidates=items, features=features, scores=scores, embeddings=contexts.items.embeddings
    )


def _by_genre(
    units: UInt64Array, items: IndexArray, residual: FloatArray, genres: Float32Array
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mean, standard error over units and number of slots, in all and by genre, `[1 + G]`."""
    shown = items != PAD
    share = np.where(shown[:, :, None], genres[items], np.float32(0.0)).astype(np.float64)
    share = np.concatenate([shown[:, :, None].astype(np.float64), share], axis=2)
    total = np.einsum("nl,nlg->ng", np.where(shown, residual, 0.0), share)
    found, place = np.unique(units, return_inverse=True)
    sums = np.zeros((2, found.size, share.shape[2]))
    np.add.at(sums[0], place, total)
    np.add.at(sums[1], place, share.sum(axis=1))
    slots = sums[1].sum(axis=0)
    mean, error = np.full(slots.size, np.nan), np.full(slots.size, np.nan)
    for column in np.flatnonzero(slots > 0):
        values = linearised(sums[0, :, column], sums[1, :, column])
        mean[column] = values.mean()
        if values.size > 1:
            error[column] = np.sqrt(values.var(ddof=1) / values.size)
    return mean, error, slots
