"""Rebuild what a policy saw, and where its slate stood among the candidates, from logged rows."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from matinee_platform.context_builder import ContextBuilder
from matinee_platform.log_schema import matrix, unpack_state
from matinee_policies.arrays import IndexArray
from matinee_policies.errors import DataError
from matinee_policies.records import PAD, ContextBatch


def logged_contexts(rows: pa.Table, contexts: ContextBuilder) -> ContextBatch:
    """Contexts of logged decisions, the same to the bit as when they were decided.

    Args:
        rows: of the decision log, with state, candidates and scores.
        contexts: of the arm that logged them.
    """
    state = unpack_state(matrix(rows["unit_state"]), rows["last_watched"].to_numpy())
    return contexts.build(state, matrix(rows["candidates"]), matrix(rows["scores"]))


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
