"""Which interval a value gets, made from the sums of a log.

`default` is Cressie-Read for estimators of single slots' weights, the bootstrap over units for
slates, and on a log whose policy learned while it logged the interval that holds at any time. That
one is for IPS and RIPS alone, since predictions are fitted on the whole log; where it does not
apply, there is none. There is none by default for the model alone and for tamed
weights either: an interval of their noise leaves out their bias.
"""

import math
from dataclasses import dataclass

import numpy as np

from matinee_platform.ope.bootstrap_interval import bootstrap_interval
from matinee_platform.ope.cressie_read import cressie_read
from matinee_platform.ope.empirical_bernstein import empirical_bernstein
from matinee_platform.ope.estimates import Estimate, estimates
from matinee_platform.ope.estimator_list import Estimator
from matinee_platform.ope.interval import Interval, RewardRange
from matinee_platform.ope.interval_kinds import withheld
from matinee_platform.ope.log_sums import FamilySums, LogSums
from matinee_platform.ope.page_terms import TermSums, rest_range
from matinee_platform.ope.row_columns import E, Weights, X, Y
from matinee_platform.ope.slot_sums import Totals
from matinee_platform.ope.unit_effects import (
    gain_influence,
    rest_effect,
    term_influences,
    weight_influence,
)
from matinee_platform.ope.weighted_sums import WeightedSums
from matinee_policies.arrays import FloatArray
from matinee_policies.errors import ContextError

_NO_SUMS = "its weights are tamed, or it has none: only the bootstrap applies"
_BIASED = (
    "the log tells its noise alone, not its bias (bootstrap, if asked for, gives that of noise)"
)
_LATER = "its predictions know later rows: an interval that holds at any time must not"
_UNBOUNDED = "it needs the largest weight that is possible"


@dataclass(frozen=True, slots=True)
class Made:
    """An interval, or why there is none."""

    interval: Interval | None
    reason: str = ""


class FamilyFigures:
    """Finished sums of one kind of weights, and its estimates by name."""

    def __init__(self, family: FamilySums) -> None:
        self.family = family
        self.totals: Totals = family.slots.totals()
        self.units = family.units.totals()
        found = estimates(family.slots, units=family.units)
        self._by_name = {(one.name, one.slot, one.hyper_parameter): one for one in found}

    def estimate(
        self, name: str, *, slot: int | None = None, value: float | None = None
    ) -> Estimate:
        """One estimate; of single slots the page is the slot."""
        return self._by_name[name, slot, value]


class Intervals:
    """Makes the intervals of one log under one target.

    Args:
        sums: of the log.
        figures: finished, by kind of weights.
        rewards: what a slot can earn.
        adaptive: whether the policy that logged changed as it did.
    """

    def __init__(
        self,
        sums: LogSums,
        figures: dict[Weights, FamilyFigures],
        *,
        rewards: RewardRange,
        adaptive: bool,
    ) -> None:
        self._sums, self._figures = sums, figures
        self._rewards, self._adaptive = rewards, adaptive

    def resolved(self, kind: str, estimator: Estimator) -> str:
        """The interval that `default` stands for."""
        if kind != "default":
            return kind
        if self._adaptive:
            return "anytime"
        own = estimator.interval and estimator.weights in ("slot", "marginal")
        return "cressie_read" if own else "bootstrap"

    def make(
        self,
        kind: str,
        estimator: Estimator,
        *,
        confidence: float,
        slot: int | None = None,
        tuned: float | None = None,
    ) -> Made:
        """An interval of one value.

        Args:
            kind: one of `INTERVALS`.
            estimator: of the value.
            confidence: of both ends together.
            slot: from 0; None for the page.
            tuned: value of the hyper-parameter.
        """
        if withheld(kind, estimator, tuned=tuned):
            return Made(None, _BIASED)
        kind = self.resolved(kind, estimator)
        try:
            if kind == "bootstrap":
                return self._bootstrap(estimator, confidence, slot, tuned)
            if not estimator.interval:
                return Made(None, _NO_SUMS)
            if estimator.weights == "cascade":
                return self._cascade(kind, estimator, confidence, slot)
            if kind == "anytime":
                return self._anytime(estimator, confidence, slot)
            return self._from_sums(kind, estimator, confidence, slot)
        except ContextError as error:
            return Made(None, str(error))

    def current(self, kind: str, *, confidence: float) -> Made:
        """Of the mean page reward of the policy that logged."""
        sums = self._sums
        if kind == "anytime" or (kind == "default" and self._adaptive):
            return Made(sums.anytime_current.interval(confidence=confidence))
        if kind == "bootstrap" and sums.current.bootstrap is not None:
            draws = sums.current.bootstrap.draws("ips")
            return Made(bootstrap_interval(draws, confidence=confidence))
        figures = FamilyFigures(sums.current)
        slots = figures.totals.slots
        weighted = weighted_sums(figures, residual=False, slot=None)
        rewards = self._rewards.times(slots)
        method = empirical_bernstein if kind == "empirical_bernstein" else cressie_read
        return Made(
            method(
                weighted,
                largest=1.0,
                rewards=rewards,
                confidence=confidence,
                design_effect=_design_effect(figures.estimate("ips")),
            )
        )

    def difference(
        self,
        kind: str,
        estimator: Estimator,
        *,
        confidence: float,
        error: float | None,
        tuned: float | None = None,
    ) -> Made:
        """Of the page's value less the mean of the policy that logged, on the same pages.

        Args:
            kind: one of `INTERVALS`.
            estimator: of the value.
            confidence: of both ends together.
            error: standard error of the difference by unit.
            tuned: value of the hyper-parameter.
        """
        if withheld(kind, estimator, tuned=tuned):
            return Made(None, _BIASED)
        kind = self.resolved(kind, estimator)
        found = self._sums.pages.differences.get(_term_of(estimator))
        if found is None or not estimator.interval:
            return Made(None, _NO_SUMS)
        largest = float(((self.largest(estimator.weights) + 1.0) / 2.0).mean())
        inner = self._rest_effect(found, estimator, paired=True)
        return self._of_term(kind, found, confidence, largest=largest, error=error, inner=inner)

    def _of_term(
        self,
        kind: str,
        found: TermSums,
        confidence: float,
        *,
        largest: float,
        error: float | None,
        inner: float,
    ) -> Made:
        """From the sums of a page's term, whose standard error and `rest_effect` are given."""
        sums = found.sums
        if sums is None:
            return Made(None, "there are no rows")
        if kind == "anytime" and found.anytime is None:
            return Made(None, _LATER)
        if kind == "anytime" and found.anytime is not None:
            return Made(found.anytime.interval(confidence=confidence))
        if kind == "empirical_bernstein" and math.isinf(largest):
            return Made(None, _UNBOUNDED)
        n, gain = float(sums.rows), float(sums.gain)
        by_row = max(float(sums.gain2) - gain * gain / n, 0.0) / max(n - 1, 1) / n
        effect = max(error**2 / by_row if error is not None and by_row > 0 else 1.0, 1.0)
        bernstein = kind == "empirical_bernstein"
        method = empirical_bernstein if bernstein else cressie_read
        return Made(
            method(
                sums,
                largest=largest,
                rewards=found.rewards,
                confidence=confidence,
                design_effect=effect if bernstein else max(effect, inner),
            )
        )

    def _rest_effect(self, found: TermSums, estimator: Estimator, *, paired: bool) -> float:
        if found.sums is None:
            return 1.0
        gain, weight = term_influences(
            self._figures[estimator.weights].units,
            weights=estimator.weights,
            model=estimator.model,
            current=self._sums.current.units.totals() if paired else None,
        )
        return rest_effect(found.sums, gain=gain, weight=weight)

    def draws(self, estimator: Estimator, *, tuned: float | None = None) -> FloatArray | None:
        """The page's value in resamples of units; None without a bootstrap."""
        bootstrap = self._figures[estimator.weights].family.bootstrap
        if bootstrap is None:
            return None
        if estimator.grid and tuned is None:
            return bootstrap.draws(estimator.limit)
        return bootstrap.draws(estimator.base, value=tuned)

    def largest(self, weights: Weights) -> FloatArray:
        """Largest weight that was possible at each slot, `float64 [L]`; infinity if unknown."""
        own = self._sums.largest
        if weights == "slot":
            return own
        if weights == "marginal":
            return np.full_like(own, np.inf)
        products = np.cumprod(own).astype(np.float64, copy=False)
        return products if weights == "cascade" else np.full_like(products, products[-1])

    def _bootstrap(
        self, estimator: Estimator, confidence: float, slot: int | None, tuned: float | None
    ) -> Made:
        bootstrap = self._figures[estimator.weights].family.bootstrap
        if bootstrap is None:
            return Made(None, "no bootstrap was asked for")
        if slot is not None and estimator.grid:
            return Made(None, "tamed weights are resampled for the page alone")
        if slot is not None:
            draws = bootstrap.draws(estimator.base, slot=slot)
        else:
            found = self.draws(estimator, tuned=tuned)
            draws = np.zeros(0) if found is None else found
        return Made(bootstrap_interval(draws, confidence=confidence))

    def _anytime(self, estimator: Estimator, confidence: float, slot: int | None) -> Made:
        if estimator.weights != "slot" or slot is not None:
            return Made(
                None, "the policy learned while it logged: only pages of slots or cascades have one"
            )
        if estimator.residual:
            return Made(None, _LATER)
        return Made(self._sums.anytime.interval(confidence=confidence))

    def _cascade(
        self, kind: str, estimator: Estimator, confidence: float, slot: int | None
    ) -> Made:
        found = self._sums.pages.values.get(_term_of(estimator))
        if found is None or slot is not None:
            return Made(None, "weights of cascades have one for pages alone")
        base = "dr" if estimator.model else "ips"
        error = self._figures["cascade"].estimate(base).unit_error
        largest = max(float(self.largest("cascade").mean()), 1.0)
        inner = self._rest_effect(found, estimator, paired=False)
        return self._of_term(kind, found, confidence, largest=largest, error=error, inner=inner)

    def _from_sums(
        self, kind: str, estimator: Estimator, confidence: float, slot: int | None
    ) -> Made:
        figures = self._figures[estimator.weights]
        if slot is not None and estimator.weights not in ("slot", "marginal"):
            return Made(None, "weights of whole pages have none by slot")
        weighted = weighted_sums(
            figures, residual=estimator.residual, slot=slot, positives=figures.family.positives
        )
        possible = self.largest(estimator.weights)
        largest = float(possible.mean() if slot is None else possible[slot])
        own = rest_range(self._rewards) if estimator.residual else self._rewards
        rewards = own.times(figures.totals.slots) if slot is None else own
        plain = "dr" if estimator.residual else estimator.base.removeprefix("sn")
        base = {"ips": "ips", "dr": "dr", "mips": "mips"}[plain]
        effect = _design_effect(figures.estimate(base, slot=slot))
        method = empirical_bernstein
        if kind == "empirical_bernstein":
            if math.isinf(largest):
                return Made(None, _UNBOUNDED)
        else:
            method, column = cressie_read, Y if estimator.residual else X
            gains = gain_influence(figures.units, columns=(column,), slot=slot)
            weights = weight_influence(figures.units, slot=slot)
            effect = max(effect, rest_effect(weighted, gain=gains, weight=weights))
        made = method(
            weighted,
            largest=max(largest, 1.0),
            rewards=rewards,
            confidence=confidence,
            design_effect=effect,
        )
        return Made(self._moved(made, estimator, slot) if estimator.residual else made)

    def _moved(self, made: Interval, estimator: Estimator, slot: int | None) -> Interval:
        expected = self._figures[estimator.weights].totals.means()[E]
        return made.moved(float(expected.sum() if slot is None else expected[slot]))


def weighted_sums(
    figures: FamilyFigures, *, residual: bool, slot: int | None, positives: int | None = None
) -> WeightedSums:
    """Sums of weights and rewards of one slot, or of pages, for intervals and diagnostics.

    Args:
        figures: of one kind of weights.
        residual: whether rewards are less their predictions.
        slot: from 0; None for pages.
        positives: pages with a positive reward at a weight above 0.
    """
    totals = figures.totals
    s, slots = totals.sums, totals.slots
    gain, weight_gain, gain2 = ("y", "uy", "yy") if residual else ("x", "ux", "xx")
    if slot is None and totals.pairs is None:
        slot = 0
    if slot is not None:
        return WeightedSums.from_totals(
            totals.n,
            weight=s["u"][slot],
            weight2=s["uu"][slot],
            gain=s[gain][slot],
            weight_gain=s[weight_gain][slot],
            gain2=s[gain2][slot],
            largest=totals.extremes["largest_u"][slot],
            positives=s["positives"][slot] if positives is None else positives,
        )
    pairs = totals.pairs
    if pairs is None:
        raise ContextError("pages need sums of products of slots, got none")
    u, v = slice(0, slots), slice(3 * slots, 4 * slots) if residual else slice(slots, 2 * slots)
    return WeightedSums.pages_from_products(
        totals.n,
        weight=s["u"],
        gain=s[gain],
        weight2=pairs[u, u],
        weight_gain=pairs[u, v],
        gain2=pairs[v, v],
        largest=totals.extremes["largest_u"],
        positives=0 if positives is None else positives,
    )


def _term_of(estimator: Estimator) -> str:
    """Name of the page's term whose expectation an estimator has; empty if there is none."""
    if estimator.weights not in ("slot", "cascade"):
        return ""
    return {
        ("slot", False): "ips",
        ("slot", True): "dr",
        ("cascade", False): "rips",
        ("cascade", True): "cascade_dr",
    }[estimator.weights, estimator.model]


def _design_effect(estimate: Estimate) -> float:
    """Variance by unit over that by rows, at least 1."""
    by_row, by_unit = estimate.standard_error, estimate.unit_error
    if not by_row or by_unit is None:
        return 1.0
    return max(1.0, (by_unit / by_row) ** 2)
