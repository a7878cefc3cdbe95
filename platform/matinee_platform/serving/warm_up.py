"""Compile what an arm needs before it serves."""

import numpy as np

from matinee_platform.serving.arm_runtime import UNKNOWN_SCORE, ArmRuntime
from matinee_platform.serving.asks import Ask
from matinee_platform.serving.packing import packed_rows, packed_scores
from matinee_platform.serving.work import Work


def warm_up(runtime: ArmRuntime) -> None:
    """Decide a page that nobody asked for, so that every kernel that the arm needs is compiled."""
    works = []
    for named in (False, True):
        ask = Ask(experiment=runtime.experiment, unit="", decision_id=0, body_digest=b"")
        work = Work(ask=ask, pseudonym=0, bucket=0, at=0, slots=runtime.slots, by_default=False)
        k = runtime.candidates
        if named or runtime.dimension is not None:
            count = min(k, len(runtime.shelf.item_ids)) if runtime.dimension is None else k
            work.candidates = packed_rows(range(count), k)
            work.features = (
                None
                if runtime.dimension is None
                else np.zeros((count, runtime.dimension), dtype=np.float32)
            )
            if runtime.dimension is not None:
                work.scores = packed_scores([UNKNOWN_SCORE] * count, count, k)
        works.append(work)
    for page in runtime.pages(works):
        runtime.choose(page)
        runtime.instead(page)
