"""Values of a target policy with standard errors and what tells whether to trust them."""

import math
from dataclasses import dataclass, replace

import numpy as np

from matinee_platform.ope.estimators import estimator_names, slot_gradient
from matinee_platform.ope.slot_sums import SlotSums, Totals
from matinee_platform.ope.unit_sums import UnitSums, UnitTotals
from matinee_platform.ope.weight_grid import GridPoint
from matinee_policies.arrays import FloatArray
from matinee_policies.errors import ContextError

_UNIFORM = 1e-9


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one estimator says of one slot, or of the page.

    Attributes:
        name: of the estimator.
        slot: from 0; None for the sum over all slots.
        value: expected reward under the target at the logged contexts; None with a `reason`.
        standard_error: as if rows were independent; None on a single row or without a value.
        unit_error: rows of one unit taken as one draw; None where units were not summed.
        effective_size: `(sum w)^2 / sum w^2` (Kong 1992), of the tamed weights if the estimator
            tames them; of the page, the least of its slots.
        largest_weight: of the page, of any slot.
        share: of the largest weight in the sum of all; of the page, the largest of its slots.
        mean_weight: near 1 where the log covers the target and weights are not tamed; of the page,
            the one farthest from 1.
        mean_weight_error: its standard error, as if rows were independent; None on a single row.
        positives: rows with a reward above 0 and a weight above 0; of the page, of all slots.
        n: rows.
        hyper_parameter: value of the hyper-parameter; None without one.
        reason: why there is no value; empty if there is one.
    """

    name: str
    slot: int | None
    value: float | None
    standard_error: float | None
    unit_error: float | None
    effective_size: float
    largest_weight: float
    share: float
    mean_weight: float
    mean_weight_error: float | None
    positives: int
    n: int
    hyper_parameter: float | None = None
    reason: str = ""

    def named(self, name: str) -> "Estimate":
        """The same under another name."""
        return replace(self, name=name)


@dataclass(frozen=True, slots=True)
class _Weighing:
    """Diagnostics of the weights of one slot, or of the page."""

    effective_size: float
    largest_weight: float
    share: float
    mean_weight: float
    mean_weight_error: float | None
    positives: int


def estimates(sums: SlotSums, *, units: UnitSums | None = None) -> tuple[Estimate, ...]:
    """Every estimator of the plan, by slot and then for the page.

    Standard errors are by the delta method with `n - 1` in the covariance (clustered: `m / (m - 1)`
    over `m` groups of units), and agree with `numpy.var(ddof=1)` for plain means to about
    `1e-13 mean^2 / variance`.

    Args:
        sums: of one pass over the log.
        units: the same rows and plan, summed by unit, for `unit_error`.

    Raises:
        ContextError: if there is no row, or `units` holds another log or plan.

    Example:
        >>> from matinee_platform.ope.records import LoggedBatch
        >>> from matinee_platform.ope.slot_sums import EstimatorPlan
        >>> half = np.full((4, 1), 0.5)
        >>> sums = SlotSums(EstimatorPlan())
        >>> sums.add(
        ...     LoggedBatch(
        ...         np.arange(4, dtype=np.uint64),
        ...         np.arange(4),
        ...         np.array([[1.0], [0.0], [1.0], [0.0]]),
        ...         half,
        ...         np.array([[1.0], [0.0], [0.0], [1.0]]),
        ...         0 * half,
        ...     )
        ... )
        >>> [(e.name, e.value) for e in estimates(sums) if e.slot is None]
        [('ips', 0.5), ('snips', 0.5), ('replay', 0.5)]
    """
    totals = sums.totals()
    grouped = None if units is None else units.totals()
    if grouped is not None and (grouped.plan, grouped.n) != (totals.plan, totals.n):
        raise ContextError("sums by unit must be of the same log and plan as the sums")
    out: list[Estimate] = []
    # Squares of huge weights overflow; what comes of them is told by the reasons.
    with np.errstate(all="ignore"):
        for name in estimator_names(totals.plan.weights, model=totals.model):
            out.extend(_plain(name, totals, grouped))
        for h, point in enumerate(totals.plan.grid):
            out.extend(_tamed(h, point, totals, grouped))
    return tuple(out)


def _plain(name: str, totals: Totals, units: UnitTotals | None) -> list[Estimate]:
    slots = totals.slots
    gradient = slot_gradient(name, totals.means(), weights=totals.plan.weights)
    page = gradient.slopes.sum(axis=0)
    errors = [_slot_error(totals, gradient.slopes, slot) for slot in range(slots)]
    errors.append(_page_error(totals, page) if slots > 1 else errors[0])
    by_unit = [
        None if units is None else units.error(slopes) for slopes in [*gradient.slopes, page]
    ]
    weighing = _plain_weighing(totals)
    reason = _not_uniform(totals) if name == "replay" else ""
    values = [*gradient.values, gradient.values.sum()]
    return [
        _estimate(
            name,
            slot if slot < slots else None,
            values[slot],
            error=errors[slot],
            unit_error=by_unit[slot],
            weighing=weighing[slot] if slot < slots else _worst(weighing),
            n=totals.n,
            reason=reason,
        )
        for slot in range(slots + 1)
    ]


def _tamed(h: int, point: GridPoint, totals: Totals, units: UnitTotals | None) -> list[Estimate]:
    slots, n = totals.slots, totals.n
    c, cc, v, vv = (totals.grid[name][h] for name in ("c", "cc", "v", "vv"))
    positives = totals.sums["positives"]
    weighing = [
        _weigh(v[slot], vv[slot], totals.grid_largest[h, slot], positives[slot], n=n)
        for slot in range(slots)
    ]
    page, squares = totals.grid_pages[h]
    by_unit = None if units is None else units.point_error(h)
    rows = [
        _estimate(
            point.name,
            slot,
            c[slot] / n,
            error=_mean_error(c[slot], cc[slot], n=n),
            unit_error=by_unit if slots == 1 else None,
            weighing=weighing[slot],
            n=n,
            hyper_parameter=point.value,
        )
        for slot in range(slots)
    ]
    whole = _estimate(
        point.name,
        None,
        page / n,
        error=_mean_error(page, squares, n=n),
        unit_error=by_unit,
        weighing=_worst(weighing),
        n=n,
        hyper_parameter=point.value,
    )
    return [*rows, whole]


def _estimate(
    name: str,
    slot: int | None,
    value: float,
    *,
    error: float | None,
    unit_error: float | None,
    weighing: _Weighing,
    n: int,
    hyper_parameter: float | None = None,
    reason: str = "",
) -> Estimate:
    if not reason and weighing.largest_weight <= 0.0 and not math.isfinite(value):
        reason = "every weight is 0: the log never shows what the target would"
    if not reason and not math.isfinite(value):
        reason = "weights are too large for double precision"
    good = not reason
    return Estimate(
        name=name,
        slot=slot,
        value=float(value) if good else None,
        standard_error=_finite(error) if good else None,
        unit_error=_finite(unit_error) if good else None,
        effective_size=weighing.effective_size,
        largest_weight=weighing.largest_weight,
        share=weighing.share,
        mean_weight=weighing.mean_weight,
        mean_weight_error=weighing.mean_weight_error,
        positives=weighing.positives,
        n=n,
        hyper_parameter=hyper_parameter,
        reason=reason,
    )


def _finite(error: float | None) -> float | None:
    return None if error is None or not math.isfinite(error) else float(error)


def _slot_error(totals: Totals, slopes: FloatArray, slot: int) -> float | None:
    """Delta method from the sums of the slot; of the slots above, only with products of pairs."""
    g = slopes[slot]
    elsewhere = np.delete(g, slot, axis=1)
    if np.any(elsewhere != 0.0):
        return _page_error(totals, g)
    s, n = totals.sums, totals.n
    second = np.zeros((4, 4))
    for row, column, name in (
        (0, 0, "uu"),
        (0, 1, "ux"),
        (1, 1, "xx"),
        (2, 2, "ee"),
        (2, 3, "ey"),
        (3, 3, "yy"),
        (0, 3, "uy"),
        (0, 2, "ue"),
    ):
        second[row, column] = second[column, row] = s[name][slot]
    first = np.array([s[name][slot] for name in "uxey"])
    return _quadratic_error(g[:, slot], first, second, n=n)


def _page_error(totals: Totals, slopes: FloatArray) -> float | None:
    if totals.pairs is None:
        return None
    first = totals.means().ravel() * totals.n
    return _quadratic_error(slopes.ravel(), first, totals.pairs, n=totals.n)


def _quadratic_error(
    g: FloatArray, first: FloatArray, second: FloatArray, *, n: int
) -> float | None:
    """`sqrt(g' C g / n)` with the covariance of columns from their sums and sums of products."""
    used = np.flatnonzero(g)
    g, first, second = g[used], first[used], second[np.ix_(used, used)]
    if n < 2:
        return None
    covariance = (second - np.outer(first, first) / n) / (n - 1)
    return math.sqrt(max(float(g @ covariance @ g), 0.0) / n)


def _mean_error(first: float, second: float, *, n: int) -> float | None:
    if n < 2:
        return None
    return math.sqrt(max(second - first * first / n, 0.0) / (n - 1) / n)


def _plain_weighing(totals: Totals) -> list[_Weighing]:
    s, largest = totals.sums, totals.extremes["largest_u"]
    return [
        _weigh(s["u"][slot], s["uu"][slot], largest[slot], s["positives"][slot], n=totals.n)
        for slot in range(totals.slots)
    ]


def _weigh(first: float, second: float, largest: float, positives: float, *, n: int) -> _Weighing:
    finite = math.isfinite(first) and first > 0.0
    # Scaled by the largest weight, so that squares of small weights do not vanish.
    size = first / second * first if math.isfinite(second) and second > 0.0 else float(finite)
    return _Weighing(
        effective_size=float(size),
        largest_weight=float(largest),
        share=float(largest / first) if finite else 0.0,
        mean_weight=float(first / n),
        mean_weight_error=_finite(_mean_error(first, second, n=n)),
        positives=int(positives),
    )


def _worst(slots: list[_Weighing]) -> _Weighing:
    far = max(slots, key=lambda slot: abs(slot.mean_weight - 1.0))
    return _Weighing(
        effective_size=min(slot.effective_size for slot in slots),
        largest_weight=max(slot.largest_weight for slot in slots),
        share=max(slot.share for slot in slots),
        mean_weight=far.mean_weight,
        mean_weight_error=far.mean_weight_error,
        positives=sum(slot.positives for slot in slots),
    )


def _not_uniform(totals: Totals) -> str:
    low, high = totals.extremes["least_p"], totals.extremes["largest_p"]
    slot = int(np.argmax(high / low))
    if high[slot] <= low[slot] * (1.0 + _UNIFORM):
        return ""
    return (
        f"it needs a uniform log: logged probabilities of slot {slot + 1} range from "
        f"{low[slot]:.3g} to {high[slot]:.3g}"
    )
