"""An explained decision as text: a heading, a table per slot, and whether the slate follows."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from matinee_policies.explain import ExplainedPolicy, ExplainedSlot, Explanation
from matinee_policies.records import PAD

_TEXT_WIDTH = 118
_TITLE_WIDTH = 44
_CLOSED_WORDS = {
    "padding": "empty places",
    "shown": "shown above",
    "pinned": "pinned to other slots",
    "not_eligible": "not eligible",
    "left_out": "left out by the policy",
    "slot_pinned": "since the slot is pinned",
}


@dataclass(frozen=True, slots=True)
class Labels:
    """Names for what an explanation numbers.

    Attributes:
        item: title of a catalogue row.
        aspect: name of an aspect.
        creator: name of a creator.
    """

    item: Callable[[int], str]
    aspect: Callable[[int], str] = "aspect {}".format
    creator: Callable[[int], str] = "creator {}".format


def print_explanation(
    explanation: Explanation,
    *,
    heading: Sequence[str],
    labels: Labels,
    slot: int | None = None,
    top: int = 5,
) -> None:
    """Print to standard output.

    Args:
        explanation: what to tell.
        heading: lines on the decision.
        labels: names of items, aspects and creators.
        slot: the only slot to tell; None for all.
        top: likeliest candidates of each slot; the one shown is always told.
    """
    console = Console()
    if not console.is_terminal:
        console = Console(width=_TEXT_WIDTH)
    lines = [*heading, *_policy_lines(explanation)]
    _say(console, *lines)
    for one in explanation.slots:
        if slot is None or one.slot == slot:
            _say(console, "", *_slot_lines(explanation, one, labels))
            console.print(_slot_table(explanation, one, labels, top=top))
            _say(console, *_closed_lines(one, labels))
    _say(console, "", *verdict(explanation))


def verdict(explanation: Explanation) -> list[str]:
    """Whether the logged slate follows, and in what not."""
    if explanation.follows:
        what = "Slate and propensities follow" if explanation.keyed else "The propensities follow"
        return [f"{what}, bit for bit."]
    return ["The log does NOT follow:", *(f"  {fault}" for fault in explanation.faults)]


def _say(console: Console, *lines: str) -> None:
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _policy_lines(explanation: Explanation) -> list[str]:
    lines = [
        f"{len(explanation.candidates)} candidates, "
        f"{int((explanation.candidates != PAD).sum())} of them real"
    ]
    for number, policy in enumerate(explanation.policies):
        name = policy.kind
        if len(explanation.policies) > 1:
            name = f"base {number}: {policy.kind}, weight {policy.weight:.4g}"
        lines.append(f"{name}: {_rule_text(policy)}")
    if explanation.base_draw is not None and explanation.base_interval is not None:
        low, high = explanation.base_interval
        lines.append(
            f"draw {explanation.base_draw:.6f} in [{low:.6f}, {high:.6f}): "
            f"base {explanation.base} drew the slate"
        )
    return lines


def _rule_text(policy: ExplainedPolicy) -> str:
    if policy.rule is None or policy.diversity is None:
        return "its law is its own; values are not known"
    rule, diversity = policy.rule, policy.diversity
    parameter = f" ({rule['parameter']:.6g})" if rule["parameter"] else ""
    words = [f"{rule['name']}{parameter}"]
    words.append(f"uniform weight {rule['uniform']:.6g} at each slot")
    if rule["exploring"] not in (rule["uniform"], 1.0):
        words.append(f"exploring weight {rule['exploring']:.6g}")
    if diversity["price"]:
        words.append(f"{diversity['kind']} at {diversity['price']:g}")
    if policy.members is not None:
        words.append(f"{len(policy.members)} members")
    return ", ".join(words)


def _slot_lines(explanation: Explanation, slot: ExplainedSlot, labels: Labels) -> list[str]:
    shown = "nothing" if slot.item == PAD else labels.item(slot.item)
    line = f"slot {slot.slot}: {shown}, propensity {slot.logged_propensity:.6g}"
    if slot.draw is not None and slot.interval is not None:
        low, high = slot.interval
        line += f"; draw {slot.draw:.6f} in [{low:.6f}, {high:.6f})"
    elif slot.pin != PAD:
        line += "; pinned"
    elif explanation.keyed and slot.drawn is not None and slot.laws[0].law.max() == 1.0:
        line += "; nothing to draw"
    return [line, *(f"  NOT as the policy does: {fault}" for fault in slot.faults)]


def _slot_table(
    explanation: Explanation, slot: ExplainedSlot, labels: Labels, *, top: int
) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    table.add_column("place", justify="right")
    table.add_column("item", no_wrap=True, max_width=_TITLE_WIDTH)
    single = explanation.policies[0] if len(explanation.policies) == 1 else None
    columns = _columns(explanation, slot, single)
    for name, _ in columns:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("probability", justify="right", no_wrap=True)
    for position in _likeliest(slot, top=top):
        item = int(explanation.candidates[position])
        table.add_row(
            "->" if position == slot.position else "",
            str(position),
            labels.item(item),
            *(_number(values[position]) for _, values in columns),
            f"{slot.law[position]:.6g}",
        )
    return table


def _columns(
    explanation: Explanation, slot: ExplainedSlot, single: ExplainedPolicy | None
) -> list[tuple[str, np.ndarray]]:
    """Named values of the candidates, `[K]` each; of a mixture the laws of its bases."""
    if single is None:
        return [
            (f"base {number} ({law.odds:.3g})", law.law) for number, law in enumerate(slot.laws)
        ]
    law = slot.laws[0]
    named = [
        ("mean", single.means),
        ("width", single.widths),
        ("value", single.values),
        ("redundancy", law.redundancy),
        ("utility", law.utility),
        ("votes", law.votes),
    ]
    found = [(name, values) for name, values in named if values is not None]
    return found or [("score", explanation.scores)]


def _likeliest(slot: ExplainedSlot, *, top: int) -> list[int]:
    """Open candidates, most likely first and then most useful, the one shown among them."""
    utility = slot.laws[0].utility
    worth = np.zeros_like(slot.law) if utility is None else np.nan_to_num(utility, nan=-np.inf)
    order = np.lexsort((np.arange(len(slot.law)), -worth, -slot.law))
    chosen = [int(position) for position in order[:top] if slot.law[position] > 0.0]
    position = slot.position
    if position is not None and position != PAD and position not in chosen:
        chosen.append(position)
    return chosen


def _closed_lines(slot: ExplainedSlot, labels: Labels) -> list[str]:
    counts: Counter[str] = Counter()
    for closed in slot.laws[0].closed:
        if closed is None:
            continue
        if closed.rule == "aspect_cap":
            counts[f"by the cap on {labels.aspect(closed.number)}"] += 1
        elif closed.rule == "creator_cap":
            counts[f"by the cap on {labels.creator(closed.number)}"] += 1
        else:
            counts[_CLOSED_WORDS[closed.rule]] += 1
    closed_words = ", ".join(f"{count} {words}" for words, count in counts.items())
    remaining = sum(closed is None for closed in slot.laws[0].closed)
    return [f"{remaining} open" + (f"; closed: {closed_words}" if closed_words else "")]


def _number(value: float) -> str:
    if np.isnan(value):
        return "-"
    return f"{value:.6g}"
