"""Check what a caller names for a page, and pack it as the log keeps it."""

from collections.abc import Sequence
from struct import Struct
from struct import error as StructError  # noqa: N812

import numpy as np

from matinee_platform.serving.arm_runtime import ArmRuntime
from matinee_platform.serving.asks import Ask
from matinee_platform.serving.work import Work
from matinee_policies.arrays import Float32Array
from matinee_policies.errors import ContextError


def wanted_slots(ask: Ask, runtime: ArmRuntime) -> int:
    """Items that an ask wants.

    Raises:
        ContextError: on more than the experiment's, or none.
    """
    if ask.slots is None:
        return runtime.slots
    if not 1 <= ask.slots <= runtime.slots:
        raise ContextError(f"slots must be within 1 and {runtime.slots}, got {ask.slots}")
    return ask.slots


def name_candidates(work: Work, runtime: ArmRuntime) -> None:
    """Take the candidates and scores that the caller names, if it does."""
    ask = work.ask
    if ask.features is not None:
        raise ContextError("features must not be given: this arm has those of its catalogue")
    if ask.candidates is None:
        if ask.scores is not None:
            raise ContextError("scores must come with candidates")
        return
    rows = runtime.shelf.rows_of(ask.candidates)
    work.candidates = packed_rows(rows, runtime.candidates)
    if ask.scores is not None:
        work.scores = packed_scores(ask.scores, len(rows), runtime.candidates)


_ROWS: dict[int, Struct] = {}
_SCORES: dict[int, Struct] = {}


def packed_rows(rows: Sequence[int], k: int) -> bytes:
    """Rows as the log has them, padded from the right, `int32 [K]`."""
    n = len(rows)
    if not 1 <= n <= k:
        raise ContextError(f"candidates must be within 1 and {k}, got {n}")
    packer = _ROWS.get(n)
    if packer is None:
        packer = _ROWS[n] = Struct(f"<{n}i")
    return packer.pack(*rows) + b"\xff" * (4 * (k - n))


def packed_scores(scores: Sequence[float], n: int, k: int) -> bytes:
    """Scores as the log has them, padded from the right, `float32 [K]`; of any range."""
    if len(scores) != n:
        raise ContextError(f"scores must be {n} like the candidates, got {len(scores)}")
    packer = _SCORES.get(n)
    if packer is None:
        packer = _SCORES[n] = Struct(f"<{n}f")
    try:
        return packer.pack(*scores) + bytes(4 * (k - n))
    except (StructError, OverflowError):
        raise ContextError("scores must be numbers within 0 and 1") from None


def checked_features(given: Sequence[Sequence[float]], n: int, dimension: int) -> Float32Array:
    """Features that a caller gives, `float32 [n, d]`.

    Raises:
        ContextError: on another shape, or a number that is not finite in single precision.
    """
    try:
        with np.errstate(over="ignore"):
            features = np.array(given, dtype=np.float32)
    except (ValueError, TypeError, OverflowError):
        raise ContextError("features must be a list of numbers for each candidate") from None
    if features.shape != (n, dimension):
        raise ContextError(f"features must be {(n, dimension)}, got {features.shape}")
    if not np.isfinite(features).all():
        raise ContextError("features must be finite in single precision")
    return features
