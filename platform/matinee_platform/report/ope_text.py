"""Off-policy values as text for people: what the log says of each policy, or why it cannot."""

import math
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from matinee_platform.ope.comparison import Comparison
from matinee_platform.ope.evaluation import Evaluation, Valued
from matinee_platform.ope.interval import Interval
from matinee_platform.ope.refusal import CALIBRATION, ROUNDING, Reason

_WIDTH = 110


def print_comparison(found: Comparison, *, slots: bool = False) -> None:
    """Print what a log says of some policies.

    Args:
        found: to be told.
        slots: whether values of single slots are printed too.
    """
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    first = found.evaluations[0]
    _say(console, _heading(first))
    if (told := _draws(first)) is not None:
        _say(console, f"  {told}")
    for line in dict.fromkeys(note for one in found.evaluations for note in one.notes):
        _say(console, f"  {line}" if line.startswith("caution: ") else f"  note: {line}")
    for one in found.evaluations:
        _say(console, "")
        _policy(console, one, slots=slots)
        advice = found.advice.get(one.policy)
        if advice is not None:
            said, *limits = advice.words()
            _say(console, f"  {said}")
            for line in limits:
                _say(console, f"    {line}")
    if found.ranking is not None:
        _say(console, "")
        _say(console, f"Together ({found.ranking.confidence:.0%}, {found.ranking.method})")
        for row in found.ranking.rows:
            place = f"{row.place}." if row.place else "-"
            bounds = f"{row.low:.4f} to {row.high:.4f}" if row.place else "refused"
            tied = ", may be as good as the first" if row.tied and row.place > 1 else ""
            _say(console, f"  {place:<3}{row.name}: {bounds}{tied}")
        _say(console, f"  {found.ranking.words()}")


def _heading(one: Evaluation) -> str:
    model = f", reward model {one.model}" if one.model else ""
    told = f"{one.log}: {one.component} of a page at {one.decisions:,} logged decisions{model}"
    if one.rescored is None:
        return told
    unequal, slots = one.rescored["unequal_slots"], one.rescored["slots"]
    equal = (
        f"all {slots:,} propensities come out again"
        if not unequal
        else f"{unequal:,} of {slots:,} propensities differ, by {_gap(one)} at most"
    )
    return f"{told}\n  re-scored by its own snapshots ({one.rescored['snapshots']}): {equal}"


def _draws(one: Evaluation) -> str | None:
    """What the draws say of the propensities; a caution follows where they are not their law."""
    found = one.calibration
    if found is None or found.p_value is None:
        return None
    if found.method == "even weight":
        return (
            f"propensities of what was drawn alone: an even choice weighs {found.even.mean:.4g}, "
            "about 1 or below where they are right"
        )
    draws = sum(version.draws for version in found.versions)
    versions = f", {len(found.versions)} versions" if len(found.versions) > 1 else ""
    return f"draws against propensities: p = {found.p_value:.2g} of {draws:,} draws{versions}"


def _gap(one: Evaluation) -> str:
    gap = 0.0 if one.rescored is None else one.rescored["largest_relative_gap"]
    return "any" if not math.isfinite(gap) else f"{gap:.1e}"


def _policy(console: Console, one: Evaluation, *, slots: bool) -> None:
    _say(console, f"{one.policy}: {_verdict(one)}")
    for reason in one.verdict.warned:
        if reason.rule == CALIBRATION:
            _say(console, f"  caution: {reason.words}")
    if all(row.value is None for row in one.values):
        for line in _reasons(one):
            _say(console, f"  {line}")
        return
    table = Table(box=None, pad_edge=True, padding=(0, 1, 0, 2))
    names = ("estimator", "value", "error", "interval", "by", "ESS", "")
    for name in names:
        table.add_column(name, justify="right" if name in ("value", "error", "ESS") else "left")
    shown: Iterable[Valued] = one.values
    if slots:
        shown = (*one.values, *(row for row in one.by_slot if row.value is not None))
    for row in shown:
        table.add_row(*_cells(row))
    console.print(table, highlight=False)
    current = one.current
    if current is not None:
        line = f"  logged policy: {current.value:.4f}{_span(current.interval)}"
        if current.difference is not None:
            line += f"; difference {current.difference:+.4f}"
            line += _span(current.difference_interval, sign=True)
        _say(console, line)
    for line in _reasons(one):
        _say(console, f"  {line}")


def _reasons(one: Evaluation) -> list[str]:
    """Why values are refused, and what to know beside them, by kind of weights."""
    lines = []
    for weighing in one.weighings:
        what = "" if weighing.weights == "slot" else f"{weighing.weights} weights: "
        refused = _summed(weighing.verdict.refused)
        lines += [f"refused: {what}{line}" for line in refused]
        if not refused:
            lines += [f"caution: {what}{line}" for line in _summed(weighing.verdict.warned)]
        elif weighing.weights == "slot":
            # What blinds single slots blinds all that is made of them.
            return lines
    # Beside what blinds all of a kind: what one estimator asks for by itself.
    told = {reason.words for weighing in one.weighings for reason in weighing.verdict.refused}
    for row in one.values:
        own = [words for words in row.refused if words not in told]
        lines += [f"refused: {row.estimator}: {words}" for words in own]
    return lines


def _verdict(one: Evaluation) -> str:
    found = one.headline
    if found.value is None:
        return "refused: the log cannot tell its value"
    told = f"{found.value:.4f}{_span(found.interval)} by {found.estimator}"
    interval = None if one.current is None else one.current.difference_interval
    if one.current is None or interval is None:
        return told
    rounding = ROUNDING * abs(one.current.value)
    if interval.low > rounding:
        return f"{told}: better than what was logged"
    if interval.high < -rounding:
        return f"{told}: worse than what was logged"
    return f"{told}: the log cannot tell it from what was logged"


def _cells(row: Valued) -> Sequence[str]:
    name = row.estimator if row.slot is None else f"{row.estimator}, slot {row.slot + 1}"
    if row.value is None:
        return name, "-", "", "refused", "", f"{row.effective:,.0f}", ""
    tuned = ""
    if row.tuned is not None:
        chosen = row.tuned.chosen
        tuned = "untamed" if chosen is None else f"at {chosen:g}"
    interval = row.interval
    return (
        name,
        f"{row.value:.4f}",
        "" if row.standard_error is None else f"{row.standard_error:.4f}",
        "none" if interval is None else f"{interval.low:.4f} to {interval.high:.4f}",
        "" if interval is None else interval.method,
        f"{row.effective:,.0f}",
        tuned,
    )


def _span(interval: Interval | None, *, sign: bool = False) -> str:
    if interval is None or not math.isfinite(interval.low + interval.high):
        return ""
    form = "+.4f" if sign else ".4f"
    return f" ({interval.low:{form}} to {interval.high:{form}})"


def _summed(reasons: Sequence[Reason]) -> list[str]:
    """One line a rule: the first slot that breaks it, and how many others do."""
    lines = []
    for rule in dict.fromkeys(reason.rule for reason in reasons):
        own = [reason for reason in reasons if reason.rule == rule]
        more = f" (and {len(own) - 1} more slots)" if len(own) > 1 else ""
        lines.append(own[0].words + more)
    return lines


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)
