"""Rebuild what a policy saw from rows of the decision log."""

import pyarrow as pa

from matinee_platform.context_builder import ContextBuilder
from matinee_platform.log_rows import unpack_state
from matinee_platform.log_schema import matrix
from matinee_policies.records import ContextBatch


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
