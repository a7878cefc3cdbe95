"""A step of learning that is worked out before any of it is put in."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from matinee_policies.records import OutcomeBatch


@dataclass(frozen=True, slots=True)
class Change:
    """What outcomes do to a state; whatever they break has been refused by now.

    Attributes:
        rows: impressions learned from, once it is taken.
        take: puts it into the state that it was worked out for, once; does not fail.
    """

    rows: int
    take: Callable[[], None]


@runtime_checkable
class Prepares(Protocol):
    """A policy whose `learn` is `prepared(outcomes).take()`."""

    def prepared(self, outcomes: OutcomeBatch) -> Change:
        """Work out what one matured component of many slates changes; leaves the state alone.

        Raises:
            ContextError: if `outcomes` break a rule.
        """
