"""When a log cannot tell the value of a policy: then there is no number, but the reasons."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matinee_platform.ope.calibration import Calibration
from matinee_platform.ope.diagnostics import Diagnostics

LEAST_EFFECTIVE = 200.0
LEAST_EFFECTIVE_SHARE = 0.001
FEWEST_POSITIVES = 30
LARGEST_ERRORS = 4.0
"""How many of its standard errors the mean weight may be off 1."""
LARGEST_UNREACHABLE = 0.01
LARGEST_UNMATCHED = 0.001

WARN_MEAN = 0.1
WARN_EFFECTIVE_SHARE = 0.01
WARN_LARGEST_SHARE = 0.05
ESTIMATOR = "estimator"
CALIBRATION = "calibration"
WARN_CALIBRATION = 1e-4
"""p-value below which propensities are not the law of the draws."""

_ALL_ALIKE = 1e9
"""Standard errors off 1 beyond which weights differ by their rounding alone."""

ROUNDING = 1e-5
"""Off 1 by no more a mean weight is 1, and as a share of the value now no difference is one: equal
policies differ in their last digits, logs keep propensities in six digits or single precision."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One rule that was broken.

    Attributes:
        rule: its name, in words that a program may look for.
        figure: what was measured; NaN where there was nothing to measure.
        limit: what it was held against.
        words: both in a sentence.
        where: which column of weights, such as `"slot 2"`; empty if there is but one.
    """

    rule: str
    figure: float
    limit: float
    words: str
    where: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a value is shown.

    Attributes:
        refused: why there is no value; empty if there is one.
        warned: what to know beside it.
    """

    refused: tuple[Reason, ...] = ()
    warned: tuple[Reason, ...] = ()

    @property
    def is_refused(self) -> bool:
        """Whether there is no value."""
        return bool(self.refused)

    def shown(self, value: float) -> float | None:
        """The value, or None if it is refused or no finite number."""
        return value if math.isfinite(value) and not self.refused else None

    def with_draws(self, found: Calibration | None) -> "Verdict":
        """The same, warned besides if propensities are not the law of the draws."""
        p_value = None if found is None else found.p_value
        if found is None or p_value is None or p_value >= WARN_CALIBRATION:
            return self
        test = f"{found.method}, p = {p_value:.1g}"
        told = (
            f"mean weight of an even choice is {found.even.mean:.4g}, above 1 by more than chance, "
            "so propensities are smaller than the shares that were drawn"
            if found.method == "even weight"
            else "propensities are not the law of the draws"
            + ("" if found.worst is None else f" of version {found.worst}")
        )
        reason = Reason(CALIBRATION, p_value, WARN_CALIBRATION, f"{told} ({test})")
        return Verdict(self.refused, (*self.warned, reason))

    def with_estimator(self, reasons: Sequence[str]) -> "Verdict":
        """The same, refused for what the estimator itself asks for, if nothing else refuses."""
        if self.refused:
            return self
        own = (Reason(ESTIMATOR, math.nan, math.nan, words) for words in reasons)
        return Verdict(tuple(own), self.warned)

    def words(self) -> tuple[str, ...]:
        """All sentences, reasons before warnings."""
        return tuple(reason.words for reason in (*self.refused, *self.warned))


def judge(found: Diagnostics, *, where: str = "") -> Verdict:
    """Hold one column of weights against every rule; what cannot be measured breaks its rule.

    Refused when any: effective sample size below 200 or 0.1 % of the rows; fewer than 30 positive
    rewards; mean weight off 1 by more than 4 standard errors; more than 1 % of the target's mass
    on items that could not be shown; more than 0.1 % of the rows without a matching propensity.
    Warned when any: mean weight off 1 by more than 0.1; effective sample size below 1 % of the
    rows; one weight above 5 % of the sum of all. (`Verdict.with_draws` warns of the draws.)

    Example:
        >>> from matinee_platform.ope.diagnostics import Diagnostics
        >>> import numpy as np
        >>> log = Diagnostics.of(np.ones(1_000), np.arange(1_000) < 29, unreachable=0.0)
        >>> judge(log).words()
        ('29 positive rewards, 30 are needed',)
    """
    refused = (*_size(found, where), *_positives(found.positives, where), *_law(found, where))
    return Verdict(refused, _warnings(found, where))


def judge_slots(slots: Mapping[str, Diagnostics], *, page: Diagnostics) -> Verdict:
    """Hold a value that is summed over slots against every rule.

    Each slot's weights have to keep to all of them, for one blind slot blinds the sum; positive
    rewards are counted over the pages, for the lower slots of a page hold few by nature.

    Args:
        slots: diagnostics by the slot's name, in the order of the page.
        page: of the pages' own weights (`WeightedSums.of_pages`).
    """
    refused = list(_positives(page.positives, ""))
    warned: list[Reason] = []
    for where, found in slots.items():
        refused += [*_size(found, where), *_law(found, where)]
        warned += _warnings(found, where)
    return Verdict(tuple(refused), tuple(warned))


def _size(found: Diagnostics, where: str) -> list[Reason]:
    share = found.effective_share
    return _broken(
        where,
        (
            "effective sample size",
            not found.effective >= LEAST_EFFECTIVE,
            found.effective,
            LEAST_EFFECTIVE,
            f"effective sample size {found.effective:.0f} of {found.rows:,} rows, "
            f"{LEAST_EFFECTIVE:.0f} is needed",
        ),
        (
            "effective share",
            not share >= LEAST_EFFECTIVE_SHARE,
            share,
            LEAST_EFFECTIVE_SHARE,
            f"effective sample size is {_percent(share)} of the rows, "
            f"{_percent(LEAST_EFFECTIVE_SHARE)} is needed",
        ),
    )


def _positives(positives: int, where: str) -> list[Reason]:
    return _broken(
        where,
        (
            "positives",
            positives < FEWEST_POSITIVES,
            float(positives),
            float(FEWEST_POSITIVES),
            f"{positives} positive rewards, {FEWEST_POSITIVES} are needed",
        ),
    )


def _law(found: Diagnostics, where: str) -> list[Reason]:
    off = abs(found.mean - 1)
    errors = off / found.mean_error if found.mean_error else math.inf if off > ROUNDING else 0.0
    return _broken(
        where,
        (
            "mean weight",
            not (errors <= LARGEST_ERRORS or off <= ROUNDING),
            errors,
            LARGEST_ERRORS,
            _off(found.mean, errors),
        ),
        (
            "unlogged items",
            not found.unreachable <= LARGEST_UNREACHABLE,
            found.unreachable,
            LARGEST_UNREACHABLE,
            _unreachable(found.unreachable),
        ),
        (
            "missing propensities",
            not found.unmatched_share <= LARGEST_UNMATCHED,
            found.unmatched_share,
            LARGEST_UNMATCHED,
            f"{_percent(found.unmatched_share)} of the rows have no matching propensity, "
            f"{_percent(LARGEST_UNMATCHED)} is allowed",
        ),
    )


def _unreachable(share: float) -> str:
    if math.isnan(share):
        return (
            "an unknown share of the policy's choices could not be logged; beside a column of its "
            "probability (target) one of that share (unreachable) is needed, 0 where there is none"
        )
    return (
        f"{_percent(share)} of the policy's choices could not be logged, "
        f"{_percent(LARGEST_UNREACHABLE)} is allowed"
    )


def _off(mean: float, errors: float) -> str:
    if math.isnan(errors):
        return f"mean weight {mean:.4g} has no standard error: it needs two units"
    if errors > _ALL_ALIKE:
        return f"mean weight {mean:.6g} is off 1, and all weights are the same"
    return (
        f"mean weight {mean:.4g} is {errors:.1f} standard errors off 1, "
        f"{LARGEST_ERRORS:.0f} are allowed"
    )


def _warnings(found: Diagnostics, where: str) -> tuple[Reason, ...]:
    off = abs(found.mean - 1)
    share = found.effective_share
    rules = _broken(
        where,
        (
            "mean weight",
            off > WARN_MEAN,
            off,
            WARN_MEAN,
            f"mean weight {found.mean:.4g} is off 1 by more than {WARN_MEAN}",
        ),
        (
            "effective share",
            share < WARN_EFFECTIVE_SHARE,
            share,
            WARN_EFFECTIVE_SHARE,
            f"effective sample size is {_percent(share)} of the rows, "
            f"less than {_percent(WARN_EFFECTIVE_SHARE)}",
        ),
        (
            "largest weight",
            found.largest_share > WARN_LARGEST_SHARE,
            found.largest_share,
            WARN_LARGEST_SHARE,
            f"one weight is {_percent(found.largest_share)} of the sum of all, "
            f"more than {_percent(WARN_LARGEST_SHARE)}",
        ),
    )
    return tuple(rules)


def _broken(where: str, *rules: tuple[str, bool, float, float, str]) -> list[Reason]:
    prefix = f"{where}: " if where else ""
    return [
        Reason(rule, figure, limit, prefix + words, where)
        for rule, broken, figure, limit, words in rules
        if broken
    ]


def _percent(share: float) -> str:
    return "an unknown share" if math.isnan(share) else f"{share * 100:.3g} %"
