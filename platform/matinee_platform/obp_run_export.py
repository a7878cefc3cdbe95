"""Export the log of a finished run in the form of the Open Bandit Pipeline.

    FOLDER/ARM/part-00000.npz    and so on, a file for each day of the log

A page is a slate (`slate_id`), its items are the rows of the catalogue under their ids, its reward
is the engagement of the slot, its context what all candidates of a page share. Pages that the
policy did not choose are left out. A day is held in memory while it is written.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from matinee_platform.dsjson import UNIT_FEATURES, LoggedPages
from matinee_platform.json_file import read_json
from matinee_platform.log_export import Exported, check_target
from matinee_platform.logged_pages import run_pages
from matinee_platform.ope.inputs.action_log import ActionBatch, ActionLog
from matinee_platform.ope.inputs.obp_export import write_obp
from matinee_platform.part_writer import PART_SUFFIX
from matinee_platform.serving_model import load_serving_model
from matinee_platform.settings import parse_settings
from matinee_policies.features import FEATURE_NAMES
from matinee_policies.records import PAD

_SHARED = [FEATURE_NAMES.index(name) for name in UNIT_FEATURES]


def export_obp(
    run: Path, arms: Sequence[str], out: Path, *, report: Callable[[str], None]
) -> Exported:
    """Write each day of a log as a file; arguments and errors as `export_dsjson`."""
    check_target(out)
    settings = parse_settings(read_json(run / "settings.json"), origin=str(run / "settings.json"))
    model = load_serving_model(run / "model")
    items = tuple(str(one) for one in model.catalogue.ids.tolist())
    rows, files, size = 0, 0, 0
    for arm in arms:
        report(arm)
        for part in sorted((run / "decisions" / arm).glob(f"part-*{PART_SUFFIX}")):
            engagement = settings.reward.engagement
            batches = [
                batch
                for pages in run_pages(run, arm, part, model, engagement)
                if len(batch := _batch(pages))
            ]
            if not batches:
                continue
            target = out / arm / f"{part.stem}.npz"
            target.parent.mkdir(parents=True, exist_ok=True)
            log = _log(batches, items)
            write_obp(target, log)
            rows, files, size = rows + log.rows, files + 1, size + target.stat().st_size
    return Exported(files, {"obp": rows}, size)


def _batch(pages: LoggedPages) -> ActionBatch:
    n, slots = pages.positions.shape
    shown = pages.positions != PAD
    place = np.where(shown, pages.positions, 0)
    items = np.take_along_axis(pages.candidates, place, axis=1)
    first = np.argmax(pages.candidates != PAD, axis=1)
    return ActionBatch(
        first=0,
        unit=pages.units,
        time=pages.decided_at,
        actions=np.where(shown, items, PAD).astype(np.int64),
        rewards=pages.rewards,
        logged=np.where(shown, pages.propensities, 1.0),
        positions=np.tile(np.arange(slots, dtype=np.int64), (n, 1)),
        context=pages.features[np.arange(n), first][:, _SHARED].astype(np.float64),
    )


def _log(batches: list[ActionBatch], items: tuple[str, ...]) -> ActionLog:
    rewards = np.concatenate([batch.rewards for batch in batches])
    return ActionLog(
        stream=lambda: iter(batches),
        rows=len(rewards),
        items=items,
        positions=batches[0].slots,
        slots=batches[0].slots,
        contexts=UNIT_FEATURES,
        distinct=True,
        has_units=True,
        has_times=True,
        rewards=(float(rewards.min()), float(rewards.max())),
    )
