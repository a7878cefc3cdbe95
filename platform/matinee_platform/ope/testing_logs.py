"""Made-up logs, and estimators as one would write them down."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from matinee_platform.ope.records import LoggedBatch
from matinee_policies.arrays import FloatArray, Int64Array


def make_log(
    seed: int, *, n: int = 200, slots: int = 3, model: bool = True, units: int | None = None
) -> LoggedBatch:
    """A log with zero weights, rewards of both signs and, at random, units of many rows."""
    rng = np.random.default_rng(seed)
    logged = rng.uniform(0.05, 1.0, (n, slots))
    target = rng.uniform(0.0, 1.0, (n, slots)) * (rng.random((n, slots)) < 0.8)
    rewards = (rng.random((n, slots)) < 0.3) * rng.normal(1.0, 1.0, (n, slots))
    return LoggedBatch(
        unit=rng.integers(0, units or n, n).astype(np.uint64),
        time=np.arange(n, dtype=np.int64),
        rewards=rewards,
        logged=logged,
        target=target,
        unreachable=np.zeros((n, slots)),
        predicted=rng.normal(0.3, 0.2, (n, slots)) if model else None,
        expected=rng.normal(0.3, 0.1, (n, slots)) if model else None,
        marginal=rng.uniform(0.0, 3.0, (n, slots)),
    )


def rows_of(batch: LoggedBatch, start: int, stop: int) -> LoggedBatch:
    """Part of a log."""
    return take(batch, slice(start, stop))


def take(batch: LoggedBatch, rows: slice | Int64Array) -> LoggedBatch:
    """Any rows of a log, in any order."""
    arrays = {name: getattr(batch, name) for name in batch.__slots__}
    return replace(
        batch, **{name: array[rows] for name, array in arrays.items() if array is not None}
    )


def parts_of(batch: LoggedBatch, sizes: list[int]) -> Iterator[LoggedBatch]:
    """A log in parts of these sizes, and what is left."""
    start = 0
    for size in [*sizes, len(batch) - sum(sizes)]:
        yield rows_of(batch, start, start + size)
        start += size


def mean_and_error(terms: FloatArray) -> tuple[float, float]:
    """Mean and its standard error of independent rows."""
    return float(terms.mean()), float(terms.std(ddof=1) / np.sqrt(terms.size))
