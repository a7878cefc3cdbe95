"""How far a candidate may be ramped up, and what holds it there, in words.

Three things are asked, and the least of their answers counts.

- Overlap: a refused value allows no step. A warning beside it, or an effective sample size below a
  tenth of the rows at the worst slot, allows 5 %: enough to gather a log of its own. So does a
  candidate that learned from the very log.
- Bound: `d` is the candidate's value minus that of what runs now. If it is worse for sure (upper
  bound below 0), none. If it is better for sure (lower bound at least 0), any. In between a step of
  `s` costs all traffic together at most `s` times what the lower bound may lose, and may cost no
  more than the budget, a share of the value of what runs now.
- Guardrails: one that is broken allows no step. An off-policy value is that of pages at logged
  contexts and knows nothing of who comes back, so without guardrails, or while one of them is open,
  20 % is the most; beyond, all of them must have held in the experiment.

A ramp only grows, one step at a time.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from matinee_platform.analysis.inference.non_inferiority import Verdict as Guardrail
from matinee_platform.ope.interval import Interval
from matinee_platform.ope.refusal import ROUNDING, Verdict
from matinee_policies.config import check_range

STEPS = (0.01, 0.05, 0.2, 0.5, 1.0)
"""Shares of the units that a ramp goes through."""

BUDGET = 0.01
"""Largest loss of all traffic together, as a share of the value of what runs now."""

EVEN_SHARE = 0.1
"""Effective share of the rows, at the worst slot, that more than a trial asks for."""

TRIAL = 0.05
"""The most that a thin overlap allows."""

UNGUARDED = 0.2
"""The most without guardrails that held."""


@dataclass(frozen=True, slots=True)
class Limit:
    """What one of the three allows.

    Attributes:
        by: `"overlap"`, `"bound"` or `"guardrails"`.
        step: the largest, 0 for none.
        words: why.
        harm: whether it speaks against what already runs, not for want of knowledge.
    """

    by: str
    step: float
    words: str
    harm: bool = False


@dataclass(frozen=True, slots=True)
class Advice:
    """How far to go.

    Attributes:
        now: share of the units that the candidate has, 0 if it does not run.
        allowed: the largest step that all limits allow, 0 for none.
        next: the next step of the ramp if it is allowed, else `now` (hold), or 0 (stop it).
        limits: of overlap, bound and guardrails, in this order.
    """

    now: float
    allowed: float
    next: float
    limits: tuple[Limit, ...]

    @property
    def action(self) -> str:
        """`"ramp"`, `"hold"`, `"stop"` or, if it does not run, `"none"`."""
        if self.next > self.now:
            return "ramp"
        if self.now and not self.next:
            return "stop"
        return "hold" if self.now else "none"

    def words(self) -> tuple[str, ...]:
        """The advice, then what each limit says, the ones that bind first."""
        said = {
            "ramp": f"Ramp to {self.next:.0%}.",
            "hold": f"Hold at {self.now:.0%}: "
            + ("all units have it." if self.now >= 1 else "the next step is not allowed."),
            "stop": "Stop it.",
            "none": "Do not start it.",
        }[self.action]
        if self.allowed < self.now and self.action == "hold":
            said = f"Hold at {self.now:.0%}: no more than {self.allowed:.0%} would be begun now."
        ordered = sorted(self.limits, key=lambda limit: limit.step)
        return (said, *(f"{limit.by}: {limit.words}" for limit in ordered))


def advise(
    *,
    verdict: Verdict,
    effective_share: float,
    difference: Interval | None,
    current_value: float,
    guardrails: Mapping[str, Guardrail],
    now: float = 0.0,
    budget: float = BUDGET,
    no_difference: str = "",
    in_sample: bool = False,
) -> Advice:
    """Say which step of the ramp is allowed.

    Args:
        verdict: whether the log can tell the candidate's value.
        effective_share: effective sample size as a share of the rows, at the worst slot.
        difference: of the candidate's value and that of what runs now; read only if the value is
            not refused. From paired rows or, wider, `difference_of` two intervals. None allows no
            step.
        current_value: of what runs now, in the same unit.
        guardrails: by name, as the running experiment tells; none if there is no experiment.
        now: share of the units that the candidate has, within 0 and 1.
        budget: largest loss of all traffic, as a share of `current_value`, within 0 and 1.
        no_difference: why there is none.
        in_sample: whether the candidate learned from the very log.

    Raises:
        ConfigError: on a number out of its range.

    Example:
        >>> found = advise(
        ...     verdict=Verdict(),
        ...     effective_share=0.3,
        ...     difference=Interval(-0.01, 0.05, 0.95, "example"),
        ...     current_value=0.2,
        ...     guardrails={},
        ... )
        >>> found.allowed, found.next
        (0.2, 0.01)
    """
    check_range("share of units now", now, low=0, high=1)
    check_range("budget of a ramp", budget, low=0, high=1)
    check_range("value of what runs now", current_value)
    limits = (
        _overlap(verdict, effective_share, in_sample=in_sample),
        _bound(
            verdict,
            difference,
            why=no_difference,
            budget=budget * abs(current_value),
            share=budget,
            rounding=ROUNDING * abs(current_value),
        ),
        _guardrails(guardrails),
    )
    allowed = min(limit.step for limit in limits)
    further = [step for step in STEPS if step > now * (1 + 1e-9)]
    if not allowed:
        # A log that cannot tell is no reason to end what runs; harm is.
        following = 0.0 if any(limit.harm for limit in limits) else now
    else:
        following = further[0] if further and further[0] <= allowed else now
    return Advice(now, allowed, following, limits)


def difference_of(candidate: Interval, current: Interval) -> Interval:
    """The difference of two values that need not be independent, from their intervals.

    Ends are added, so what both miss together is at most what each does: with confidences of
    97.5 % the difference has 95 %.
    """
    confidence = candidate.confidence + current.confidence - 1
    return Interval(
        candidate.low - current.high, candidate.high - current.low, confidence, candidate.method
    )


def _overlap(verdict: Verdict, effective_share: float, *, in_sample: bool) -> Limit:
    if verdict.is_refused:
        reasons = "; ".join(reason.words for reason in verdict.refused)
        return Limit("overlap", 0.0, f"the log cannot tell its value: {reasons}")
    if verdict.warned:
        reasons = "; ".join(reason.words for reason in verdict.warned)
        return Limit("overlap", TRIAL, f"at most {TRIAL:.0%}: {reasons}")
    if in_sample:
        return Limit(
            "overlap", TRIAL, f"at most {TRIAL:.0%}: it learned from the log that judges it"
        )
    share = f"effective sample size is {effective_share:.1%} of the rows at the worst slot"
    if not effective_share >= EVEN_SHARE:
        return Limit("overlap", TRIAL, f"at most {TRIAL:.0%}: {share}, more asks for 10 %")
    return Limit("overlap", STEPS[-1], f"any step: {share}")


def _bound(
    verdict: Verdict,
    difference: Interval | None,
    *,
    why: str,
    budget: float,
    share: float,
    rounding: float,
) -> Limit:
    if verdict.is_refused:
        return Limit("bound", 0.0, "there is none, for there is no value")
    if difference is None:
        return Limit("bound", 0.0, f"no step: the difference has no interval: {why}")
    low, high = difference.low, difference.high
    held = f"difference within {low:+.4g} and {high:+.4g} ({difference.confidence:.0%})"
    if low >= -rounding:
        return Limit("bound", STEPS[-1], f"any step: {held}, not worse")
    if high < -rounding:
        return Limit("bound", 0.0, f"no step: {held}, worse for sure", harm=True)
    steps = [step for step in STEPS if step * -low <= budget * (1 + 1e-9)]
    budget_words = f"{budget:.4g}, {share:.3g} of the value of what runs now"
    if not steps:
        loss = STEPS[0] * -low
        return Limit(
            "bound", 0.0, f"no step: {held}; {STEPS[0]:.0%} may lose {loss:.4g} of {budget_words}"
        )
    return Limit(
        "bound",
        steps[-1],
        f"{'any step' if steps[-1] == 1 else f'at most {steps[-1]:.0%}'}: {held}; "
        f"it may lose {steps[-1] * -low:.4g} of {budget_words}",
    )


def _guardrails(guardrails: Mapping[str, Guardrail]) -> Limit:
    by = {kind: [n for n, said in guardrails.items() if said is kind] for kind in Guardrail}
    if by[Guardrail.BROKEN]:
        names = ", ".join(by[Guardrail.BROKEN])
        return Limit("guardrails", 0.0, f"no step: broken: {names}", harm=True)
    if by[Guardrail.OPEN]:
        names = ", ".join(by[Guardrail.OPEN])
        return Limit("guardrails", UNGUARDED, f"at most {UNGUARDED:.0%}: still open: {names}")
    if not guardrails:
        return Limit(
            "guardrails",
            UNGUARDED,
            f"at most {UNGUARDED:.0%}: no experiment has told of any, "
            "and a log of pages cannot tell who comes back",
        )
    return Limit("guardrails", STEPS[-1], f"any step: held: {', '.join(by[Guardrail.HELD])}")
