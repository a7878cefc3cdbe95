"""Which of several policies is best, with what the log can tell, and which it cannot tell apart.

Candidates are ranked by lower bounds that hold for all of them at once, so that the first was not
picked for its luck: the chance that *any* value lies below its bound is at most one minus the
confidence. Those that may be as good as the first are said to be tied with it. Who is refused is
listed without a place, and still counts as one that was looked at where bounds are widened for
their number; resamples of such a policy are not read.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import special

from matinee_platform.analysis.inference.corrections import holm
from matinee_platform.analysis.inference.effect import check_confidence
from matinee_platform.ope.bootstrap_interval import checked_draws
from matinee_platform.ope.interval import Interval
from matinee_platform.ope.refusal import Reason, Verdict
from matinee_policies.arrays import AnyArray, BoolArray, FloatArray
from matinee_policies.errors import ContextError


@dataclass(frozen=True, slots=True)
class Candidate:
    """A policy under selection.

    Attributes:
        name: of it, unlike all others.
        value: estimated.
        interval: of the value at any confidence, such as Cressie-Read on its sums.
        verdict: whether the log can tell its value.
    """

    name: str
    value: float
    interval: Callable[[float], Interval]
    verdict: Verdict = field(default_factory=Verdict)


@dataclass(frozen=True, slots=True)
class Ranked:
    """A candidate after selection.

    Attributes:
        name: of it.
        place: 1 for the largest lower bound; 0 if refused.
        value: estimated; None if refused.
        low: lower bound, of all candidates together; NaN if refused.
        high: upper bound likewise.
        tied: whether it may be as good as the first; true of the first itself.
        refused: why it has no place; empty if it has one.
    """

    name: str
    place: int
    value: float | None
    low: float
    high: float
    tied: bool
    refused: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class Ranking:
    """Candidates by their lower bound, the largest first, and the refused in their own order.

    Attributes:
        rows: all candidates.
        confidence: of all bounds together, and of the ties.
        method: how they were made to hold together.
    """

    rows: tuple[Ranked, ...]
    confidence: float
    method: str

    @property
    def first(self) -> Ranked | None:
        """The one with the largest lower bound, None if all were refused."""
        return self.rows[0] if self.rows and self.rows[0].place else None

    @property
    def tied(self) -> tuple[str, ...]:
        """Names of the candidates that may be the best, in the order of their place."""
        return tuple(row.name for row in self.rows if row.tied)

    def words(self) -> str:
        """What was found, in a sentence or two."""
        first = self.first
        refused = [row.name for row in self.rows if not row.place]
        if first is None:
            return f"The log cannot tell the value of any of: {', '.join(refused)}."
        others = self.tied[1:]
        found = f"{first.name} has the largest lower bound, {first.low:.4g}"
        if others:
            found += f"; the log cannot tell it from {', '.join(others)}."
        elif len(self.rows) - len(refused) > 1:
            found += f", and is the best of them at {self.confidence:.0%} confidence."
        else:
            found += "."
        if refused:
            found += f" Refused: {', '.join(refused)}."
        return found


def rank_by_intervals(candidates: Sequence[Candidate], *, confidence: float = 0.95) -> Ranking:
    """Rank by intervals that are widened for the number of candidates (Bonferroni).

    Each of the `m` intervals holds at `1 - (1 - confidence) / m`, so all of them at `confidence`,
    whatever they share. A candidate is tied if its upper bound reaches the first's lower one: sure,
    but blind to what two candidates have in common; `rank_by_draws` sees it.

    Args:
        candidates: with different names, one or more.
        confidence: of all bounds together, within (0, 1).

    Raises:
        ContextError: without candidates, on a name that is there twice.
        ConfigError: on a confidence out of its range.
    """
    check_confidence(confidence)
    _check_names([one.name for one in candidates])
    each = 1 - (1 - confidence) / len(candidates)
    bounds = [None if one.verdict.is_refused else one.interval(each) for one in candidates]
    low, high = (
        np.array([math.nan if bound is None else getattr(bound, end) for bound in bounds])
        for end in ("low", "high")
    )
    first = _first(low)
    tied = np.zeros(len(candidates), dtype=np.bool_) if first is None else high >= low[first]
    return Ranking(
        _rows(
            [one.name for one in candidates],
            np.array([one.value for one in candidates]),
            [one.verdict for one in candidates],
            low=low,
            high=high,
            tied=tied,
        ),
        confidence,
        "Bonferroni",
    )


def rank_by_draws(
    names: Sequence[str],
    values: AnyArray,
    draws: AnyArray,
    *,
    verdicts: Sequence[Verdict] | None = None,
    confidence: float = 0.95,
) -> Ranking:
    """Rank by bounds that reach as many standard errors as the largest of the resampled ones.

    With `t_bj = (draw_bj - value_j) / se_j`, lower bounds reach `se_j` times the quantile of
    `max_j t_bj` (max-t, Westfall and Young 1993), upper ones that of `max_j -t_bj`, each at half
    of what the confidence leaves. Candidates are tied with the first if their difference from it
    lies within the quantile of the largest studentised difference of *any* pair (Tukey's method,
    resampled), so the first may be chosen by the data. Resamples are shared: what two candidates
    have in common cancels. It holds where the bootstrap does: not where positives are few.

    Args:
        names: of the candidates, all different.
        values: of each, `float64 [m]`; of refused ones not read.
        draws: their values in the same resamples of units, `float64 [B, m]`; likewise.
        verdicts: of each, nothing refused by default.
        confidence: of all bounds together, within (0, 1).

    Raises:
        ContextError: on shapes that do not fit, few draws or what is not finite.
        ConfigError: on a confidence out of its range.
    """
    check_confidence(confidence)
    judged = list(verdicts or [Verdict()] * len(names))
    if len(judged) != len(names):
        raise ContextError(f"{len(names)} candidates need a verdict each, got {len(judged)}")
    told = np.array([not one.is_refused for one in judged], dtype=np.bool_)
    value, drawn = _checked(names, values, draws, told=told)
    error = drawn.std(axis=0, ddof=1)
    t = _studentised(drawn - value, error)
    alpha = 1 - confidence
    low, high = np.full((2, len(names)), np.nan)
    tied = np.zeros(len(names), dtype=np.bool_)
    if told.any():
        low[told] = value - error * np.quantile(t.max(axis=1), 1 - alpha / 2)
        high[told] = value + error * np.quantile((-t).max(axis=1), 1 - alpha / 2)
        first = int(np.argmax(low[told]))
        tied[told] = _tied(value, drawn, first=first, alpha=alpha)
    shown = np.full(len(names), np.nan)
    shown[told] = value
    rows = _rows(names, shown, judged, low=low, high=high, tied=tied)
    return Ranking(rows, confidence, "max-t over shared resamples")


def better_than(differences: AnyArray, errors: AnyArray) -> FloatArray:
    """Adjusted p-values of each candidate being no better than what it is compared with (Holm).

    Args:
        differences: candidate minus the policy that runs now, paired by decision, `float64 [m]`.
        errors: their standard errors, > 0, `float64 [m]`.

    Returns:
        One-sided, `float64 [m]`: those below alpha are better, with at most alpha chance of any
        mistake. Normal, so for logs with many positives.

    Raises:
        ContextError: on arrays of different length or errors that are not > 0.
    """
    gap, error = (np.asarray(some, dtype=np.float64) for some in (differences, errors))
    if gap.ndim != 1 or gap.shape != error.shape or not (error > 0).all():
        raise ContextError(f"differences need errors > 0 each, got {gap} and {error}")
    p_values: FloatArray = special.ndtr(-gap / error)
    return holm(p_values)


def _tied(value: FloatArray, drawn: FloatArray, *, first: int, alpha: float) -> BoolArray:
    pairs = np.triu_indices(value.size, k=1)
    apart = drawn[:, pairs[0]] - drawn[:, pairs[1]]
    gap = value[pairs[0]] - value[pairs[1]]
    reach = np.zeros(len(drawn))
    for column in range(gap.size):
        error = apart[:, column].std(ddof=1)
        reach = np.maximum(reach, np.abs(_studentised(apart[:, column] - gap[column], error)))
    critical = float(np.quantile(reach, 1 - alpha)) if gap.size else 0.0
    error = (drawn - drawn[:, [first]]).std(axis=0, ddof=1)
    found: BoolArray = np.abs(value - value[first]) <= critical * error
    found[first] = True
    return found


def _studentised(apart: FloatArray, error: AnyArray | float) -> FloatArray:
    """Deviations in standard errors; 0 where there is no error, as of two equal policies."""
    wide = np.broadcast_to(error, apart.shape)
    found: FloatArray = np.divide(apart, wide, out=np.zeros_like(apart), where=wide > 0)
    return found


def _first(low: FloatArray) -> int | None:
    return None if np.isnan(low).all() else int(np.nanargmax(low))


def _rows(
    names: Sequence[str],
    value: FloatArray,
    verdicts: Sequence[Verdict],
    *,
    low: FloatArray,
    high: FloatArray,
    tied: AnyArray,
) -> tuple[Ranked, ...]:
    # Equal bounds stay in the order they were given in, and NaN goes last.
    order = np.argsort(-low, kind="stable")
    rows = []
    for place, i in enumerate(order.tolist(), start=1):
        refused = verdicts[i].refused
        rows.append(
            Ranked(
                name=names[i],
                place=0 if refused else place,
                value=verdicts[i].shown(float(value[i])),
                low=float(low[i]),
                high=float(high[i]),
                tied=bool(tied[i]) and not refused,
                refused=refused,
            )
        )
    return tuple(rows)


def _checked(
    names: Sequence[str], values: AnyArray, draws: AnyArray, *, told: BoolArray
) -> tuple[FloatArray, FloatArray]:
    """Values and draws of those that are told."""
    _check_names(names)
    value, drawn = np.asarray(values, dtype=np.float64), np.asarray(draws, dtype=np.float64)
    if value.shape != (len(names),) or drawn.ndim != 2 or drawn.shape[1:] != value.shape:
        raise ContextError(
            f"{len(names)} candidates need [{len(names)}] values and [B, {len(names)}] draws, "
            f"got {list(value.shape)} and {list(drawn.shape)}"
        )
    value, drawn = value[told], checked_draws(drawn[:, told])
    if not np.isfinite(value).all():
        raise ContextError(f"values must be finite, got {value}")
    return value, drawn


def _check_names(names: Sequence[str]) -> None:
    if not names:
        raise ContextError("a selection needs at least one candidate, got none")
    if len(set(names)) != len(names):
        raise ContextError(f"candidates need different names, got {', '.join(names)}")
