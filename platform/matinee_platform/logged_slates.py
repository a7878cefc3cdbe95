"""Where a logged slate stood among its candidates, and where its law had a choice."""

from pathlib import Path

import numpy as np

from matinee_policies.arrays import BoolArray, IndexArray
from matinee_policies.errors import DataError
from matinee_policies.records import PAD, ContextBatch


def choices(contexts: ContextBatch, positions: IndexArray) -> tuple[BoolArray, BoolArray]:
    """Where the law of a slate had a choice.

    Args:
        contexts: of `n` decisions.
        positions: the slates, `int32 [n, L]`.

    Returns:
        Candidates that a choice could fall on, `bool [n, K]`: real, eligible and not pinned; and
        slots that hold an item which no pin put there, `bool [n, L]`.
    """
    open_ = contexts.candidates != PAD
    if contexts.eligible is not None:
        open_ &= contexts.eligible
    chosen = positions != PAD
    if contexts.pinned is not None:
        row, slot = np.nonzero(contexts.pinned != PAD)
        open_[row, contexts.pinned[row, slot]] = False
        chosen[row, slot] = False
    return open_, chosen


def slate_positions(candidates: IndexArray, slates: IndexArray, log: Path) -> IndexArray:
    """Where each shown item stands among the candidates, `int32 [n, L]`, `PAD` for empty slots.

    Args:
        candidates: catalogue rows, `int32 [n, K]`.
        slates: catalogue rows shown, `int32 [n, L]`.
        log: folder to name in an error.

    Raises:
        DataError: if an item was shown that was no candidate.
    """
    match = slates[:, :, None] == candidates[:, None, :]
    found = match.any(axis=2)
    if not (found | (slates == PAD)).all():
        row, slot = np.argwhere(~found & (slates != PAD))[0]
        raise DataError(
            log, rule="every item shown must be among the candidates", value=int(slates[row, slot])
        )
    return np.where(slates == PAD, PAD, match.argmax(axis=2)).astype(np.int32)
