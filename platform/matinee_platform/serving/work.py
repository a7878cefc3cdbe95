"""An ask on its way to a slate, and pages that are decided together."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from matinee_platform.serving.asks import Ask, Decided
from matinee_platform.serving.unit_fold import Unit
from matinee_policies.arrays import Float32Array, IndexArray, UInt64Array
from matinee_policies.features import UnitStateBatch
from matinee_policies.records import ContextBatch, SlateBatch


@dataclass(slots=True, eq=False)
class Work:
    """An ask on its way to a slate.

    Attributes:
        ask: as it came.
        pseudonym: of the unit.
        bucket: of the unit, in ten-thousandths.
        at: time of the decision, UTC milliseconds.
        slots: items wanted.
        unit: its state, in use until the slate is decided; None where nothing is known of it.
        candidates: rows that the caller named, `int32 [K]`, as logged; None to ask the source.
        scores: of them, `float32 [K]`, as logged; None to ask the source.
        features: of them, `float32 [K, d]`, where the caller gives them.
        by_default: whether the order of the candidates is to be shown.
        logged: whether the decision is for the log.
        fallback: why the policy cannot be asked; None if it can.
        answer: who waits for the slate.
    """

    ask: Ask
    pseudonym: int
    bucket: int
    at: int
    slots: int
    unit: Unit | None = None
    candidates: bytes | None = None
    scores: bytes | None = None
    features: Float32Array | None = None
    by_default: bool = False
    logged: bool = True
    fallback: str | None = None
    answer: "asyncio.Future[Decided] | None" = None


@dataclass(slots=True, eq=False)
class Page:
    """Pages that are decided together: what the policy sees, and what their rows need.

    Attributes:
        works: of the pages.
        contexts: what the policy sees.
        candidates: rows of items, `int32 [n, K]`.
        scores: `float32 [n, K]`.
        state: of the units as seen; None without a catalogue.
        packed: the same as the log has it, `float32 [n, S]`.
        numbers: place of each page in its visit.
        keys: of the decisions, `uint64 [n]`.
        slots: of each slate.
    """

    works: Sequence[Work]
    contexts: ContextBatch
    candidates: IndexArray
    scores: Float32Array
    state: UnitStateBatch | None
    packed: Float32Array | None
    numbers: list[int]
    keys: UInt64Array
    slots: int


@dataclass(slots=True, eq=False)
class Chosen:
    """What is shown.

    Attributes:
        slates: of the pages.
        version: of the snapshot that was asked, or would have been.
        reasons: for each slate why it is not the policy's; None if all are.
    """

    slates: SlateBatch
    version: int
    reasons: list[str | None] | None = None
