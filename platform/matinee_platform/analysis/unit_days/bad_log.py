"""Refuse a bad log as a whole: every rule it breaks, how often, and up to three examples."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from matinee_policies.arrays import AnyArray, BoolArray
from matinee_policies.errors import DataError

EXAMPLES = 3
"""Most examples of a broken rule."""


class BadLog:
    """What is wrong with a log, gathered before any number is made of it.

    Example:
        >>> found = BadLog()
        >>> found.add("day must be below 28", 2, ["decision 7: 28", "decision 9: 30"])
        >>> found.refuse("runs/demo")
        Traceback (most recent call last):
        matinee_policies.errors.DataError: runs/demo: day must be below 28: 2 times, such as \
decision 7: 28, decision 9: 30
    """

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._examples: dict[str, list[str]] = {}

    def add(self, rule: str, count: int, examples: Iterable[str]) -> None:
        """Add cases; counts of one rule add up, its first examples stay."""
        if not count:
            return
        self._counts[rule] = self._counts.get(rule, 0) + count
        kept = self._examples.setdefault(rule, [])
        kept.extend(list(examples)[: EXAMPLES - len(kept)])

    def add_rows(
        self, rule: str, wrong: BoolArray, *, names: Sequence[tuple[str, AnyArray]]
    ) -> None:
        """Add the rows of a table for which `wrong` is true, each told by some of its values.

        Args:
            rule: that they break.
            wrong: `bool [n]`.
            names: what to tell of each, words and values `[n]`.
        """
        places = np.flatnonzero(wrong)
        told = (
            " ".join(f"{name} {values[place]}" for name, values in names)
            for place in places[:EXAMPLES]
        )
        self.add(rule, int(places.size), told)

    def refuse(self, where: Path | str) -> None:
        """Raise if anything is wrong.

        Args:
            where: the log.

        Raises:
            DataError: with all that is wrong.
        """
        if not self._counts:
            return
        lines = []
        for rule, count in self._counts.items():
            times = "once" if count == 1 else f"{count:,} times"
            such = f", such as {', '.join(self._examples[rule])}" if self._examples[rule] else ""
            lines.append(f"{rule}: {times}{such}")
        raise DataError(where, rule="; ".join(lines))
