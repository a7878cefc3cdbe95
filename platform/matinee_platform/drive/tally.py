"""What a drive came to, counted as it goes."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

_COUNTERS = ("rewards", "errors", "served_by")
_NUMBERS = ("visits", "pages", "older_snapshots", "seconds")


@dataclass(slots=True)
class Tally:
    """Counts of a drive, over all the calls that it took.

    Attributes:
        visits: sessions of users.
        pages: decisions that were answered.
        served_by: the same by who chose.
        older_snapshots: of these, by a snapshot that was not the newest.
        rewards: by component and what became of them, `component/outcome`.
        errors: decisions and rewards that were refused, by the code of the problem.
        seconds: of driving.
    """

    visits: int = 0
    pages: int = 0
    served_by: Counter[str] = field(default_factory=Counter)
    older_snapshots: int = 0
    rewards: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def failures(self) -> int:
        """How many answers were not as they must be."""
        return self.errors.total() + self.older_snapshots

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            **{name: getattr(self, name) for name in _NUMBERS},
            **{name: dict(sorted(getattr(self, name).items())) for name in _COUNTERS},
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Take up what `to_json` gave."""
        found = cls()
        for name in _NUMBERS:
            setattr(found, name, values[name])
        for name in _COUNTERS:
            setattr(found, name, Counter(values[name]))
        return found
