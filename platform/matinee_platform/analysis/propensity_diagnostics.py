"""How an arm's logged propensities are spread: what its log can and cannot tell about others."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from matinee_platform.decision_log import read_parts
from matinee_platform.log_schema import matrix
from matinee_policies.arrays import FloatArray, Int64Array
from matinee_policies.records import PAD

BINS_PER_DECADE = 4
DECADES = 6
"""The histogram spans 10^-6 to 1; what lies below counts in its first bin."""

_QUANTILES_PER_DECADE = 1_000
_SAME = 1e-9


@dataclass(frozen=True, slots=True)
class PropensityDiagnostics:
    """Logged propensities of the slots of one arm.

    Attributes:
        slots: slots shown.
        histogram: share of slots in each bin of `bin_edges`, `float64 [b]`.
        quantiles: by share, e.g. `{0.01: ..., 0.5: ...}`; read off a fine histogram, exact to 0.3 %
            and never above the true one.
        smallest: NaN if nothing was shown.
        at_floor: share of slots whose propensity is the smallest that its place in the slate has
            in the whole log, certain ones aside: how much of the exploration is as unlikely as
            the arm allows.
        certain: share of slots with propensity 1.
    """

    slots: int
    histogram: FloatArray
    quantiles: dict[float, float]
    smallest: float
    at_floor: float
    certain: float


def bin_edges() -> FloatArray:
    """Edges of the histogram's bins, rising from `10^-DECADES` to 1, `float64 [b + 1]`."""
    edges: FloatArray = 10.0 ** np.linspace(-DECADES, 0, DECADES * BINS_PER_DECADE + 1)
    return edges


def read_propensities(
    run: Path, arm: str, *, shares: tuple[float, ...] = (0.001, 0.01, 0.1, 0.5)
) -> PropensityDiagnostics:
    """Read the propensities of one arm's log by row group.

    Args:
        run: folder of the run.
        arm: name of the arm.
        shares: quantiles wanted, each within (0, 1).

    Raises:
        DataError: if a part of the log cannot be read.
    """
    fine = np.zeros(DECADES * _QUANTILES_PER_DECADE + 1, dtype=np.int64)
    floors = _Floors()
    certain = 0
    for rows in read_parts(run, "decisions", arm, ["slate", "propensities"]):
        shown = matrix(rows["slate"]) != PAD
        values = matrix(rows["propensities"])
        fine += _fine_counts(values[shown])
        floors.add(values, shown)
        certain += int((values[shown] == 1.0).sum())
    slots = int(fine.sum())
    return PropensityDiagnostics(
        slots=slots,
        histogram=_coarse(fine) / max(slots, 1),
        quantiles={share: _quantile(fine, share) for share in shares},
        smallest=floors.smallest,
        at_floor=floors.count / slots if slots else math.nan,
        certain=certain / slots if slots else math.nan,
    )


class _Floors:
    """The smallest propensity at each place of the slate, and how many slots have it."""

    def __init__(self) -> None:
        self._smallest = np.zeros(0)
        self._counts = np.zeros(0, dtype=np.int64)

    def add(self, values: FloatArray, shown: "np.ndarray") -> None:
        if not self._smallest.size:
            self._smallest = np.full(values.shape[1], 1.0)
            self._counts = np.zeros(values.shape[1], dtype=np.int64)
        uncertain = np.where(shown & (values < 1.0), values, np.inf)
        lowest = uncertain.min(axis=0, initial=np.inf)
        lower = lowest < self._smallest * (1 - _SAME)
        self._counts[lower] = 0
        self._smallest = np.where(lower, lowest, self._smallest)
        self._counts += (uncertain <= self._smallest * (1 + _SAME)).sum(axis=0)

    @property
    def smallest(self) -> float:
        return float(self._smallest.min()) if self._smallest.size else math.nan

    @property
    def count(self) -> int:
        return int(self._counts.sum())


def _fine_counts(values: FloatArray) -> Int64Array:
    place = np.floor((np.log10(values) + DECADES) * _QUANTILES_PER_DECADE + _SAME)
    place = np.clip(place, 0, DECADES * _QUANTILES_PER_DECADE).astype(np.int64)
    return np.bincount(place, minlength=DECADES * _QUANTILES_PER_DECADE + 1).astype(np.int64)


def _coarse(fine: Int64Array) -> FloatArray:
    width = _QUANTILES_PER_DECADE // BINS_PER_DECADE
    bins: FloatArray = fine[:-1].reshape(-1, width).sum(axis=1).astype(np.float64)
    bins[-1] += fine[-1]
    return bins


def _quantile(fine: Int64Array, share: float) -> float:
    """Lower edge of the fine bin that holds the quantile; NaN if nothing was shown."""
    total = int(fine.sum())
    if not total:
        return math.nan
    place = int(np.searchsorted(np.cumsum(fine), share * total))
    return float(10.0 ** (place / _QUANTILES_PER_DECADE - DECADES))
