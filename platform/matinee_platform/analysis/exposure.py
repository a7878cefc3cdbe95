"""How an arm spread its impressions over the catalogue."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from matinee_platform.analysis.slate_metrics import exposure_counts, read_slates
from matinee_policies.arrays import FloatArray, Int64Array
from matinee_policies.config import check_range


@dataclass(frozen=True, slots=True)
class LorenzCurve:
    """Share of impressions that the least shown items have.

    Attributes:
        items: share of the catalogue, least shown items first, rising from 0 to 1, `float64 [p]`.
        impressions: their share of the impressions, `float64 [p]`; NaN if nothing was shown.
    """

    items: FloatArray
    impressions: FloatArray


def read_exposure(run: Path, arm: str, *, items: int) -> Int64Array:
    """How often one arm showed each item of a catalogue of `items`, `int64 [items]`.

    Raises:
        DataError: if the log cannot be read or names an item outside the catalogue.
    """
    counts = np.zeros(items, dtype=np.int64)
    for slates in read_slates(run, arm, items=items):
        counts += exposure_counts(slates, items)
    return counts


def lorenz_curve(counts: Int64Array, *, points: int = 101) -> LorenzCurve:
    """The Lorenz curve (Lorenz 1905) at up to `points` places, both ends among them.

    Example:
        >>> curve = lorenz_curve(np.array([3, 0, 0, 1]), points=5)
        >>> curve.items.tolist(), curve.impressions.tolist()
        ([0.0, 0.25, 0.5, 0.75, 1.0], [0.0, 0.0, 0.0, 0.25, 1.0])
    """
    total = int(counts.sum())
    places = np.unique(np.linspace(0, counts.size, points).round().astype(np.int64))
    running = np.concatenate([[0], np.cumsum(np.sort(counts))])[places]
    share = running / total if total else np.full(places.size, np.nan)
    return LorenzCurve(places / max(counts.size, 1), share)


def top_share(counts: Int64Array, share: float) -> float:
    """Share of impressions that went to the most shown `share` of the catalogue, rounded up.

    Raises:
        ConfigError: on a share outside (0, 1].

    Example:
        >>> top_share(np.array([6, 2, 1, 1]), 0.25)
        0.6
    """
    check_range("share of the catalogue", share, low=0, high=1, low_open=True)
    total = int(counts.sum())
    if not total:
        return float("nan")
    # 1e-9: a tenth of 70 items is 7 of them, whatever 0.1 * 70 is in binary.
    top = int(np.ceil(share * counts.size - 1e-9))
    return float(np.sort(counts)[::-1][:top].sum() / total)


def most_shown(counts: Int64Array, n: int) -> Int64Array:
    """Rows of the `n` most shown items, most first, lower rows first among equals; none unshown."""
    order = np.argsort(-counts, kind="stable")[:n]
    shown: Int64Array = order[counts[order] > 0].astype(np.int64)
    return shown
