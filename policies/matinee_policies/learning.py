"""A step of learning that is worked out before any of it is put in."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Change:
    """What outcomes do to a state; whatever they break has been refused by now.

    Attributes:
        rows: impressions learned from, once it is taken.
        take: puts it into the state that it was worked out for, once; does not fail.
    """

    rows: int
    take: Callable[[], None]
