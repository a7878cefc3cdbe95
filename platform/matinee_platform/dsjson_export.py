"""Export the log of a finished run as dsjson, for Vowpal Wabbit and what reads its logs.

    FOLDER/ARM/part-00000.json    and so on, a file for each day of the log

A cost is minus the engagement of the slot, which is known at the end of its day. Pages that the
policy did not choose are left out.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from matinee_platform.context_builder import ContextBuilder
from matinee_platform.decision_log import read_part, read_parts
from matinee_platform.dsjson import LoggedPages, cb_lines, ccb_lines
from matinee_platform.join import engagement_rewards
from matinee_platform.json_file import read_json
from matinee_platform.log_export import Exported, check_target
from matinee_platform.log_rows import COMPONENTS, SERVED_BY_POLICY
from matinee_platform.log_schema import column_values
from matinee_platform.logged_contexts import logged_contexts
from matinee_platform.logged_slates import slate_positions
from matinee_platform.part_writer import PART_SUFFIX
from matinee_platform.reward_settings import EngagementSettings
from matinee_platform.serving_model import ServingModel, load_serving_model
from matinee_platform.settings import parse_settings
from matinee_policies.arrays import FloatArray, IndexArray

FORMS: Mapping[str, Callable[[LoggedPages], Iterator[str]]] = {
    "dsjson-cb": cb_lines,
    "dsjson-ccb": ccb_lines,
}
"""The forms by name."""

_PAGES_AT_ONCE = 1_024


def export_dsjson(
    run: Path, arms: Sequence[str], out: Path, *, form: str, report: Callable[[str], None]
) -> Exported:
    """Write each day of a log as a file of events.

    Args:
        run: folder of the run.
        arms: names of its arms.
        out: folder to write, which must be empty or not be there.
        form: one of `FORMS`.
        report: told of each arm that is written.

    Raises:
        ConfigError: if the folder holds anything.
        DataError: if a part cannot be read.
    """
    check_target(out)
    settings = parse_settings(read_json(run / "settings.json"), origin=str(run / "settings.json"))
    model = load_serving_model(run / "model")
    rows, files, size = 0, 0, 0
    for arm in arms:
        report(arm)
        for part in sorted((run / "decisions" / arm).glob(f"part-*{PART_SUFFIX}")):
            target = out / arm / f"{part.stem}.json"
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_suffix(".partial")
            with partial.open("w", encoding="utf-8", newline="\n") as file:
                for pages in _pages_of(run, arm, part, model, settings.reward.engagement):
                    for line in FORMS[form](pages):
                        file.write(f"{line}\n")
                        rows += 1
            partial.replace(target)
            files, size = files + 1, size + target.stat().st_size
    return Exported(files, {form: rows}, size)


def _pages_of(
    run: Path, arm: str, part: Path, model: ServingModel, engagement: EngagementSettings
) -> Iterator[LoggedPages]:
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
