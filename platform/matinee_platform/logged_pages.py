"""Pages of a run's log with what they earned, as exports write them.

What a page earned is the engagement of its slots, which is known at the end of its day. Pages that
the policy did not choose are left out.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from matinee_platform.context_builder import ContextBuilder
from matinee_platform.decision_log import read_part, read_parts
from matinee_platform.dsjson import LoggedPages
from matinee_platform.join import engagement_rewards
from matinee_platform.log_rows import COMPONENTS, SERVED_BY_POLICY
from matinee_platform.log_schema import column_values
from matinee_platform.logged_contexts import logged_contexts
from matinee_platform.logged_slates import slate_positions
from matinee_platform.reward_settings import EngagementSettings
from matinee_platform.serving_model import ServingModel
from matinee_policies.arrays import FloatArray, IndexArray

_PAGES_AT_ONCE = 1_024


def run_pages(
    run: Path, arm: str, part: Path, model: ServingModel, engagement: EngagementSettings
) -> Iterator[LoggedPages]:
    """The pages of a day, a bounded number at a time.

    Args:
        run: folder of the run.
        arm: name of the arm.
        part: file of the day, `part-DDDDD.arrow`.
        model: of the run.
        engagement: how clicks and watched fractions are weighed.

    Raises:
        DataError: if the part cannot be read.
    """
    day = int(part.stem.removeprefix("part-"))
    events = _Engagement(run, arm, day=day)
    contexts = model.contexts(arm)
    for group in read_part(part):
        for start in range(0, group.num_rows, _PAGES_AT_ONCE):
            table = group.slice(start, _PAGES_AT_ONCE)
            yield _pages(table, contexts, events, engagement, log=part.parent)


def _pages(
    table: pa.Table,
    contexts: ContextBuilder,
    events: "_Engagement",
    engagement: EngagementSettings,
    *,
    log: Path,
) -> LoggedPages:
    columns = column_values(table)
    seen = logged_contexts(table, contexts)
    kept = columns["served_by"] == SERVED_BY_POLICY
    slates: IndexArray = columns["slate"][kept]
    ids = columns["decision_id"][kept]
    candidates = seen.candidates[kept]
    return LoggedPages(
        ids=ids,
        units=columns["unit"][kept],
        decided_at=columns["decided_at"][kept],
        snapshot=columns["snapshot"][kept],
        candidates=candidates,
        features=seen.features[kept],
        positions=slate_positions(candidates, slates, log),
        propensities=columns["propensities"][kept],
        rewards=events.rewards(ids, slots=slates.shape[1], settings=engagement),
    )


class _Engagement:
    """Clicks and watched fractions of one day of an arm."""

    def __init__(self, run: Path, arm: str, *, day: int) -> None:
        parts = [column_values(table) for table in read_parts(run, "rewards", arm, day=day)]
        names = ("decision_id", "component", "slot", "value")
        empty = (np.uint64, np.int8, np.int16, np.float32)
        self._columns = {
            name: np.concatenate([np.empty(0, dtype), *(part[name] for part in parts)])
            for name, dtype in zip(names, empty, strict=True)
        }

    def rewards(self, ids: IndexArray, *, slots: int, settings: EngagementSettings) -> FloatArray:
        """Weighted engagement of each slot of some decisions, `float64 [n, L]`."""
        values = {
            name: np.zeros((len(ids), slots), dtype=np.float32) for name in ("click", "watch")
        }
        order = np.argsort(ids)
        for name, table in values.items():
            of_kind = self._columns["component"] == COMPONENTS.index(name)
            decisions = self._columns["decision_id"][of_kind]
            at = np.searchsorted(ids[order], decisions).clip(max=max(len(ids) - 1, 0))
            if not len(ids) or not len(decisions):
                continue
            rows = order[at]
            found = ids[rows] == decisions
            slot = self._columns["slot"][of_kind]
            table[rows[found], slot[found]] = self._columns["value"][of_kind][found]
        return engagement_rewards(values["click"] > 0.0, values["watch"], settings)
