"""A policy that breaks and mends at a word: while a file is there, it raises."""

import os
from pathlib import Path

from matinee_policies import ContextBatch, ScoreOrder, SlateBatch
from matinee_policies.arrays import UInt64Array
from matinee_policies.score_order import ScoreOrderConfig

FILE_VARIABLE = "STACK_POLICY_IS_BROKEN"
"""Names the file."""


class Fragile(ScoreOrder):
    """The order of scores, as long as nothing is broken."""

    config_type = ScoreOrderConfig

    def decide(self, contexts: ContextBatch, *, slots: int, keys: UInt64Array) -> SlateBatch:
        """Decide, or raise.

        Raises:
            RuntimeError: the file is there.
        """
        if Path(os.environ[FILE_VARIABLE]).exists():
            raise RuntimeError("broken on purpose")
        return super().decide(contexts, slots=slots, keys=keys)
