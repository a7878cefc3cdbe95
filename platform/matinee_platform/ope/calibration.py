"""Are logged propensities the law that items were drawn by? One pass, per policy version.

Where the whole law of a slot is known, draws are counted in cells and held against the mass that
the law puts there: cells of like propensities (`EDGES`), which show a law that is too even or too
sharp, and cells of like place among the candidates, which show draws that look at what the law
does not. A cell's draws are binomial in each slot with its mass there, cells exclude each other
within a slot, and slots are drawn one after the other, so the covariance of the gaps `d` between
draws and masses is `C = sum (diag(m) - m m')` and `d' C+ d` is chi-square.

Where only the propensity of the item drawn is known, the mean weight of an even choice
(`even_weights`, the live metric's) is held against 1. It shows propensities that are too small;
a mean below 1 may also come of items that could not be drawn.
"""

import math
from dataclasses import dataclass, field

import numpy as np
from scipy import special

from matinee_platform.analysis.even_choice import even_weights
from matinee_platform.ope.draw_cells import CELLS, EDGES, add_draws
from matinee_policies.arrays import AnyArray, FloatArray, Int64Array
from matinee_policies.errors import ContextError

ROUNDING = 1e-5
"""A mean weight that is off 1 by no more is 1: logs keep propensities in six digits."""

FEWEST_DRAWS = 25.0
"""Draws that a cell must promise; smaller ones are counted with the next."""


@dataclass(frozen=True, slots=True, eq=False)
class ChiSquare:
    """Draws against what the laws promised.

    Attributes:
        expected: draws that the laws promise, of each cell, `float64 [cells]`.
        observed: draws, of each cell, `float64 [cells]`.
        statistic: chi-square of the gaps between them.
        freedom: its degrees of freedom; 0 where nothing was left to chance, or to be told apart.
        p_value: small where the laws are not those of the draws; 1 without freedom.
    """

    expected: FloatArray
    observed: FloatArray
    statistic: float
    freedom: int
    p_value: float


@dataclass(frozen=True, slots=True)
class VersionDraws:
    """Draws of one version of a policy.

    Attributes:
        version: of the policy.
        draws: slots.
        by_propensity: cells of like propensities.
        by_place: cells of like places among the candidates.
    """

    version: int
    draws: int
    by_propensity: ChiSquare
    by_place: ChiSquare

    @property
    def p_value(self) -> float | None:
        """Of both tests together (Bonferroni); None where neither can tell."""
        told = [one.p_value for one in (self.by_propensity, self.by_place) if one.freedom]
        return min(1.0, len(told) * min(told)) if told else None


@dataclass(frozen=True, slots=True)
class EvenWeights:
    """Weights of an even choice at slots that chance filled, of whatever version.

    Attributes:
        slots: whose propensity is below 1.
        weights: their sum.
        squared_weights: sum of their squares.
    """

    slots: int = 0
    weights: float = 0.0
    squared_weights: float = 0.0

    @property
    def mean(self) -> float:
        """About 1 or below; NaN without slots."""
        return self.weights / self.slots if self.slots else math.nan

    @property
    def error(self) -> float:
        """Standard error of the mean; NaN below two slots."""
        if self.slots < 2:
            return math.nan
        spread = self.squared_weights - self.slots * self.mean * self.mean
        if not math.isfinite(spread):
            return math.inf
        return math.sqrt(max(spread, 0.0) / (self.slots - 1) / self.slots)

    @property
    def p_value(self) -> float | None:
        """One-sided, of a mean above 1 by chance; None where that cannot be told."""
        if self.slots < 2 or not math.isfinite(self.mean):
            return None
        off = self.mean - 1.0
        off = 0.0 if abs(off) <= ROUNDING else off
        if self.error <= 1e-12:
            return float(off <= 0.0)
        return float(special.ndtr(-off / self.error))


@dataclass(frozen=True, slots=True)
class Calibration:
    """Whether propensities are the law of the draws.

    Attributes:
        versions: of the policy, rising; none where whole laws are not known.
        pooled: draws of all versions together; None without any.
        even: weights of an even choice.
    """

    versions: tuple[VersionDraws, ...]
    pooled: VersionDraws | None
    even: EvenWeights

    @property
    def method(self) -> str:
        """What tells: `"chi-square"`, `"even weight"`, or `"none"` where nothing can."""
        if self._told():
            return "chi-square"
        return "none" if self.versions or self.even.p_value is None else "even weight"

    @property
    def p_value(self) -> float | None:
        """Of all tests together: the least, times how many there are; None where none can tell."""
        told = self._told()
        if told:
            return min(1.0, len(told) * min(p_value for p_value, _ in told))
        return None if self.versions else self.even.p_value

    @property
    def worst(self) -> int | None:
        """Version whose draws speak loudest against its law; None where all do together."""
        told = self._told()
        return min(told, key=lambda one: one[0])[1] if told else None

    def _told(self) -> list[tuple[float, int | None]]:
        told: list[tuple[float, int | None]] = [
            (p_value, one.version) for one in self.versions if (p_value := one.p_value) is not None
        ]
        if self.pooled is not None and len(self.versions) > 1:
            p_value = self.pooled.p_value
            told += [] if p_value is None else [(p_value, None)]
        return told


@dataclass(slots=True, eq=False)
class _Sums:
    """Of one version, by kind of cell: draws expected and seen, and products of masses."""

    draws: int = 0
    expected: FloatArray = field(default_factory=lambda: np.zeros((2, CELLS)))
    observed: FloatArray = field(default_factory=lambda: np.zeros((2, CELLS)))
    products: FloatArray = field(default_factory=lambda: np.zeros((2, CELLS, CELLS)))

    def plus(self, other: "_Sums") -> "_Sums":
        return _Sums(
            self.draws + other.draws,
            self.expected + other.expected,
            self.observed + other.observed,
            self.products + other.products,
        )

    def found(self, version: int) -> VersionDraws:
        of = [_chi_square(*(one[kind] for one in (self.expected, self.observed, self.products)))
              for kind in range(2)]  # fmt: skip
        return VersionDraws(version, self.draws, *of)


class CalibrationSums:
    """Sums of one pass; memory grows with the number of versions alone.

    Example:
        >>> rng = np.random.default_rng(1)
        >>> sums, law = CalibrationSums(), np.array([0.1, 0.2, 0.7])
        >>> sums.add(np.tile(law, (5_000, 1)), rng.choice(3, p=law, size=5_000), version=1)
        >>> sums.add(np.tile(law, (5_000, 1)), rng.choice(3, p=law[::-1], size=5_000), version=2)
        >>> found = sums.found()
        >>> [one.p_value > 1e-4 for one in found.versions], found.worst
        ([True, False], 2)
    """

    def __init__(self) -> None:
        self._versions: dict[int, _Sums] = {}
        self._even = EvenWeights()

    def add(self, laws: AnyArray, chosen: AnyArray, *, version: int = 0) -> None:
        """Add single draws whose whole law is known.

        Args:
            laws: propensity of each candidate at one slot, given the items above; 0 for what could
                not be drawn; rows of a draw sum to 1, `float64 [n, K]`.
            chosen: column that was drawn, below 0 for a row that is to be left out, `int [n]`.
            version: of the policy that drew.

        Raises:
            ContextError: on arrays that do not fit, rows that are no law, choices out of range or
                of no mass.
        """
        values, picks = _checked(laws, chosen)
        sums = self._versions.setdefault(version, _Sums())
        sums.draws += add_draws(values, picks, EDGES, sums.expected, sums.observed, sums.products)

    def add_even(self, propensities: AnyArray, shown: AnyArray, candidates: AnyArray) -> None:
        """Add slots by the propensities of what they show; arguments as `even_weights`."""
        # What comes of squares that overflow is an error without bound: no test.
        with np.errstate(over="ignore"):
            drawn, weights = even_weights(propensities, shown, candidates)
            squares = float((weights * weights).sum())
        self._even = EvenWeights(
            self._even.slots + int(drawn.sum()),
            self._even.weights + float(weights.sum()),
            self._even.squared_weights + squares,
        )

    def found(self) -> Calibration:
        """What they tell; more may follow."""
        versions = {version: sums for version, sums in sorted(self._versions.items()) if sums.draws}
        pooled = _Sums()
        for sums in versions.values():
            pooled = pooled.plus(sums)
        return Calibration(
            versions=tuple(sums.found(version) for version, sums in versions.items()),
            pooled=pooled.found(-1) if versions else None,
            even=self._even,
        )


def _chi_square(expected: FloatArray, observed: FloatArray, products: FloatArray) -> ChiSquare:
    groups = _groups(expected)
    cells = int(groups.max(initial=-1)) + 1
    into = (np.arange(cells)[:, None] == groups).astype(np.float64)
    promised, seen = into @ expected, into @ observed
    gap = seen - promised
    size, vectors = np.linalg.eigh(np.diag(promised) - into @ products @ into.T)
    # Cells that hold all the mass of their slots leave rounding alone.
    kept = size > 1e-9 * max(float(promised.max(initial=0.0)), 1.0)
    statistic = float((((vectors.T @ gap)[kept]) ** 2 / size[kept]).sum())
    freedom = int(kept.sum())
    p_value = float(special.chdtrc(freedom, statistic)) if freedom else 1.0
    return ChiSquare(promised, seen, statistic, freedom, p_value)


def _groups(expected: FloatArray) -> Int64Array:
    """Number of the group of each cell: neighbours together, until they promise draws enough."""
    groups, held, number = np.zeros(expected.size, dtype=np.int64), 0.0, 0
    for cell, draws in enumerate(expected):
        if held >= FEWEST_DRAWS:
            held, number = 0.0, number + 1
        groups[cell] = number
        held += draws
    if number and held < FEWEST_DRAWS:
        groups[groups == number] = number - 1
    return groups


def _checked(laws: AnyArray, chosen: AnyArray) -> tuple[FloatArray, Int64Array]:
    values = np.ascontiguousarray(laws, dtype=np.float64)
    picks = np.ascontiguousarray(chosen, dtype=np.int64)
    if values.ndim != 2 or picks.shape != values.shape[:1]:
        raise ContextError(
            f"laws must be [n, K] and choices [n], got {values.shape} and {picks.shape}"
        )
    if picks.size and picks.max() >= values.shape[1]:
        raise ContextError(f"choices must be below {values.shape[1]}, got {picks.max()}")
    rows = picks >= 0
    sums = values.sum(axis=1)[rows]
    # Not negative: of numbers that sum to 1 that is enough to be a law.
    if not (np.allclose(sums, 1, rtol=0, atol=1e-6) and (values[rows] >= 0).all()):
        raise ContextError("each row of laws must be >= 0 and sum to 1")
    if not (values[np.flatnonzero(rows), picks[rows]] > 0).all():
        raise ContextError("what was drawn must have a propensity above 0, got 0")
    return values, picks
