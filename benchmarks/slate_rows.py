"""The rows of a diversity on its own: slates in one batch, and one call from Python per slate."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from harness import Bars, Effort, Limit, Peer, Row, Size, Work, compare
from limits import product
from matinee_policies.arrays import Float32Array, FloatArray, IndexArray
from peers.made_up import slates
from peers.numpy_slates import PRICE

SLOTS = 10
BATCH = 1_000
SINGLE = 100
SEED = 7
_SIDE = 512


class Greedy(Protocol):
    """A function of `matinee_policies.greedy_slates`."""

    def __call__(
        self,
        values: FloatArray,
        vectors: tuple[IndexArray, Float32Array],
        /,
        *,
        slots: int,
        price: float,
    ) -> Any:
        """Greedy slates of values `[B, K]` over catalogue rows `[B, K]` of a table `[M, m]`."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured.

    Attributes:
        name: for the table.
        kind: as the peer knows it, `"mmr"` or `"dpp"`.
        greedy: ours.
        flops: floating-point operations of one slate, of `K`, `m` and the slots.
        batched: bars of a batch.
        single: bars of one call per slate.
    """

    name: str
    kind: str
    greedy: Greedy
    flops: Callable[[int, int, int], float]
    batched: Bars
    single: Bars


def rows(subject: Subject, effort: Effort) -> list[Row]:
    """A row for a batch and one for single calls, at every size."""
    return [
        _row(subject, size, effort, batched=batched)
        for size in effort.sizes
        for batched in (True, False)
    ]


def _row(subject: Subject, size: Size, effort: Effort, *, batched: bool) -> Row:
    m, K = size.d, size.K
    slots = min(SLOTS, K // 2)
    count = 2 if effort.tiny else BATCH if batched else SINGLE
    values, candidates, table = slates(SEED, B=count, K=K, m=m)
    settings: dict[str, int | str] = {
        "kind": subject.kind,
        "B": count,
        "K": K,
        "m": m,
        "slots": slots,
        "seed": SEED,
    }
    side = 8 if effort.tiny else _SIDE
    flops = subject.flops(K, m, slots)
    return compare(
        f"{subject.name}, {f'batch of {count:,}' if batched else 'one call per slate'}",
        size=f"m = {m}, {K} -> {slots}",
        unit="slates/s",
        ours=Work(
            _whole(subject.greedy, values, candidates, table, slots)
            if batched
            else _one_by_one(subject.greedy, values, candidates, table, slots),
            units=count,
        ),
        peer=Peer("numpy", "numpy_slates", None, settings),
        limit=Limit(
            "f32 matrix product, as many operations",
            product(side, side, side, dtype=np.float32),
            scale=2.0 * side**3 / flops,
        ),
        bars=subject.batched if batched else subject.single,
        effort=effort,
        note="Candidates of a catalogue of 5,000; the peer is numpy, one slate at a time "
        "(peers/numpy_slates.py).",
    )


def _whole(
    greedy: Greedy, values: FloatArray, candidates: IndexArray, table: Float32Array, slots: int
) -> Callable[[], object]:
    return lambda: greedy(values, (candidates, table), slots=slots, price=PRICE)


def _one_by_one(
    greedy: Greedy, values: FloatArray, candidates: IndexArray, table: Float32Array, slots: int
) -> Callable[[], object]:
    each = [(values[b : b + 1], candidates[b : b + 1]) for b in range(len(values))]

    def run() -> None:
        for value, rows in each:
            greedy(value, (rows, table), slots=slots, price=PRICE)

    return run
