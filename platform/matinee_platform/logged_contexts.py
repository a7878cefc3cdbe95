"""Rebuild what a policy saw, and where its slate stood among the candidates, from logged rows."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from matinee_platform.context_builder import ContextBuilder
from matinee_platform.log_rows import unpack_state
from matinee_platform.log_schema import matrix
from matinee_policies.arrays import BoolArray, IndexArray
from matinee_policies.errors import DataError
from matinee_policies.records import PAD, ContextBatch


def logged_contexts(
    rows: pa.Table, contexts: ContextBuilder, *, with_features: bool = True
) -> ContextBatch:
    """Contexts of logged decisions, the same to the bit as when they were decided.

    Args:
        rows: of the decision log, with state, candidates and scores.
        contexts: of the arm that logged them.
        with_features: whether features are wanted; else they have no columns.
    """
    state = unpack_state(matrix(rows["unit_state"]), rows["last_watched"].to_numpy())
    return contexts.build(
        state, matrix(rows["candidates"]), matrix(rows["scores"]), with_features=with_features
    )


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
