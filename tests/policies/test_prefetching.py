"""A line that is asked for changes nothing, wherever it lies."""

import numpy as np

from matinee_policies.arrays import FloatArray
from matinee_policies.compiled import kernel
from matinee_policies.prefetching import LINE_BYTES, prefetch


@kernel
def _sum_asking(values: FloatArray, ahead: int) -> float:
    total = 0.0
    for i in range(values.size):
        prefetch(values, i + ahead)
        total += values[i]
    return total


@kernel
def _asks(values: FloatArray) -> None:
    prefetch(values, 0)


def test_nothing_changes_within_and_far_behind_the_end() -> None:
    values = np.arange(1_000.0)
    for ahead in (0, LINE_BYTES // 8, 10_000_000_000):
        assert _sum_asking(values, ahead) == 499_500.0
    assert _sum_asking(values[:0], 5) == 0.0


def test_the_compiled_code_asks() -> None:
    _asks(np.zeros(8))
    (code,) = _asks.inspect_llvm().values()  # type: ignore[attr-defined]
    assert "@llvm.prefetch.p0(" in code
