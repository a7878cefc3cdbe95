"""What an arm showed on a day, slot by slot: features as logged, and the engagement that followed.

Of a day with many pages about `PAGES_A_DAY` are looked at, drawn by their ids, so that memory does
not grow with the number of users. Later components of the reward (ratings, return visits) are left
out: they are known days later.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from matinee_platform.context_builder import ContextBuilder
from matinee_platform.decision_log import read_parts
from matinee_platform.join import engagement_rewards
from matinee_platform.log_rows import COMPONENTS, unpack_state
from matinee_platform.log_schema import column_values, matrix
from matinee_platform.logged_slates import slate_positions
from matinee_platform.reward_settings import EngagementSettings
from matinee_policies.arrays import AnyArray, Float32Array, FloatArray, IndexArray, UInt64Array
from matinee_policies.features import SLOT_FEATURE, slot_feature
from matinee_policies.records import PAD

PAGES_A_DAY = 20_000
"""Pages looked at of a day: all, or about so many, drawn by their ids."""

_BY_POLICY = "policy"

_CLICK, _WATCH = COMPONENTS.index("click"), COMPONENTS.index("watch")


@dataclass(frozen=True, slots=True)
class ShownSlots:
    """Filled slots of the pages of one day, in the order of the log.

    Attributes:
        units: who was served, `uint64 [r]`.
        features: as the policy saw them, with the slot, `float32 [r, d]`.
        rewards: engagement, `float64 [r]`.
        genres: share of each genre in the item, `float32 [r, G]`.
    """

    units: UInt64Array
    features: Float32Array
    rewards: FloatArray
    genres: Float32Array

    def __len__(self) -> int:
        return int(self.units.size)


def read_shown_slots(
    run: Path,
    arm: str,
    day: int,
    *,
    contexts: ContextBuilder,
    engagement: EngagementSettings,
    pages: int = PAGES_A_DAY,
) -> ShownSlots | None:
    """Read one day of the log of one arm; None on a day without pages.

    Args:
        run: folder of the run.
        arm: name of the arm.
        day: of the run, from 0.
        contexts: of this arm.
        engagement: weights of clicks and watching.
        pages: looked at, about.

    Raises:
        DataError: if a part of the log cannot be read.
    """
    parts = list(_sample(run, arm, day, pages=pages))
    if not parts:
        return None
    rows = pa.concat_tables(parts).combine_chunks()
    page = _Pages.of(rows, run / "decisions" / arm)
    shown = page.items != PAD
    return ShownSlots(
        units=np.repeat(rows["unit"].to_numpy(), shown.sum(axis=1)),
        features=_features(rows, page, contexts)[shown],
        rewards=_engagement(run, arm, day, page, engagement)[shown],
        genres=contexts.traits.aspects[page.items[shown]],
    )


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
            items=np.ascontiguousarray(np.take_along_axis(slates, slots, axis=1)),
            slots=slots,
            scores=np.ascontiguousarray(np.take_along_axis(scores, slots, axis=1)),
        )


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


def _features(rows: pa.Table, pages: _Pages, contexts: ContextBuilder) -> Float32Array:
    """Features of what was shown, with its slot, `float32 [n, L, d]`."""
    state = unpack_state(matrix(rows["unit_state"]), rows["last_watched"].to_numpy())
    features = contexts.features(state, pages.items, pages.scores)
    features[:, :, SLOT_FEATURE] = slot_feature(pages.items.shape[1])[pages.slots]
    return features
