"""Shown slots as events of a contextual bandit, in Vowpal Wabbit's text format.

An event is lines of actions, the last of which was chosen and has the label `0:cost:propensity`.
No line is empty, so an empty line can stand between events.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from matinee_policies.errors import SnapshotError
from matinee_policies.features import slot_feature
from matinee_policies.records import OutcomeBatch
from matinee_policies.vw_per_slot_config import VowpalWabbitPerSlotConfig
from matinee_policies.vw_text import SLOT_NAMESPACE, RowFormat, row_format, rows_text

_NUMBER = rb"-?\d+(?:\.\d+)?(?:e-?\d+)?"
_FEATURES = rb"(?: ?\|[a-z](?: \d+:" + _NUMBER + rb")+)+"
_LINE = rb"(?:0:" + _NUMBER + rb":" + _NUMBER + rb" ?)?" + _FEATURES + rb"\n"
_OWN_TEXT = re.compile(rb"(?:(?:" + _LINE + rb")+\n)*")
"""Events as `packed` writes them."""


@dataclass(frozen=True, slots=True)
class EventFormat:
    """How events are written.

    Attributes:
        config: weights, slot features, exploration.
        labelled: lines of chosen actions.
        plain: lines of the others.
    """

    config: VowpalWabbitPerSlotConfig
    labelled: RowFormat
    plain: RowFormat

    @classmethod
    def of(cls, config: VowpalWabbitPerSlotConfig, *, dimension: int) -> "EventFormat":
        """The format of a config, for features of a dimension."""
        labelled, plain = (
            row_format(
                dimension,
                context_features=config.context_features,
                labelled=labelled,
                bandit=True,
            )
            for labelled in (True, False)
        )
        return cls(config, labelled, plain)


def events_of(outcomes: OutcomeBatch, form: EventFormat) -> list[str]:
    """Each shown slot as an event, in order: one line, or more for cover.

    Args:
        outcomes: checked.
        form: how to write them.
    """
    config, shown = form.config, outcomes.shown
    kept = np.maximum(outcomes.propensities[shown], config.least_propensity)
    chance = kept if config.propensity_weighted else np.full(len(kept), 1.0 / config.actions)
    ordered = outcomes.features[shown][:, form.labelled.columns].astype(np.float64)
    numbers = np.column_stack([-outcomes.rewards[shown], chance, ordered])
    told = [slot_words(config.slot_features, slot) for slot in range(shown.shape[1])]
    slots = np.nonzero(shown)[1].tolist()
    lines = rows_text(numbers, form.labelled).split("\n")
    labelled = [line + told[slot] for line, slot in zip(lines, slots, strict=False)]
    if config.exploration != "cover":
        return labelled
    bare = rows_text(ordered, form.plain).split("\n")
    events, start = [], 0
    for count in shown.sum(axis=1).tolist():
        end = start + count
        for place in range(start, end):
            # Items of later slots were there to be chosen; the set has room for so many.
            words, later = told[slots[place]], bare[place + 1 : min(end, place + config.actions)]
            events.append("\n".join([*(line + words for line in later), labelled[place]]))
        start = end
    return events


def slot_words(kind: str, slot: int) -> str:
    """What follows the features of an item at a slot, counted from 0.

    Example:
        >>> slot_words("number", 2), slot_words("one_hot", 2), slot_words("none", 2)
        (' |s 0:0.5', ' |s 2:1', '')
    """
    if kind == "none":
        return ""
    if kind == "one_hot":
        return f" |{SLOT_NAMESPACE} {slot}:1"
    return f" |{SLOT_NAMESPACE} 0:{float(slot_feature(slot + 1)[slot]):.9g}"


def packed(events: Iterable[str]) -> bytes:
    """Events as bytes, each with an empty line behind it."""
    return "".join(event + "\n\n" for event in events).encode("ascii")


def unpacked(content: bytes) -> list[str]:
    """The inverse of `packed`.

    Raises:
        SnapshotError: the bytes hold more than numbers, names of ours and ends of lines.
    """
    if not _OWN_TEXT.fullmatch(content):
        raise SnapshotError("pending events must be numbers under names of ours")
    return content.decode("ascii").split("\n\n")[:-1]
