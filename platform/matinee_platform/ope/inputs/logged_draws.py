"""What logs of actions tell of their draws: whole laws if uniform, else what each draw weighs."""

import numpy as np

from matinee_platform.ope.calibration import CalibrationSums
from matinee_platform.ope.inputs.action_log import ActionBatch, ActionLog
from matinee_platform.ope.inputs.choices import could_show
from matinee_policies.records import PAD


def add_logged_draws(
    sums: CalibrationSums, log: ActionLog, batch: ActionBatch, *, uniform: bool
) -> None:
    """Add the draws of a part of a log.

    Args:
        sums: to add to.
        log: whose part it is.
        batch: part of the log.
        uniform: whether the log says that all that could be shown was as likely: then its whole law
            is known, and items are the places of its cells.
    """
    shown = batch.shown
    candidates = (
        np.full(len(batch), len(log.items))
        if batch.offered is None
        else (batch.offered != PAD).sum(axis=1)
    )
    # Only pages that are distinct have one candidate less at each slot.
    if log.distinct:
        sums.add_even(batch.logged, shown, candidates)
    else:
        for slot in range(batch.slots):
            column = slice(slot, slot + 1)
            sums.add_even(batch.logged[:, column], shown[:, column], candidates)
    if not uniform:
        return
    could = could_show(log, batch)
    for slot in range(batch.slots):
        open_, actions = could[:, slot], np.maximum(batch.actions[:, slot], 0)
        held = shown[:, slot] & open_[np.arange(len(batch)), actions]
        laws = open_ / np.maximum(open_.sum(axis=1, keepdims=True), 1)
        sums.add(laws, np.where(held, actions, PAD))
