"""Hold what a service decided to what an offline run did: every slate, every propensity, every bit.

A service and a run with the same arms, users and seed differ in nothing but the way in which pages
are asked for.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from matinee_platform.decision_log import read_parts
from matinee_platform.drive.service_calls import Slates
from matinee_platform.log_schema import column_values
from matinee_policies.arrays import UInt64Array

_COLUMNS = ["decision_id", "slate", "propensities", "snapshot"]


@dataclass(slots=True)
class Comparison:
    """What a comparison came to.

    Attributes:
        equal: decisions that are the same, bit for bit, of the same version of the policy.
        unequal: decisions that are not, by what differs first.
        missing: decisions of the run that the service was not asked for.
        first: the first difference, in words.
        snapshots: states of policies that were compared.
        unequal_snapshots: of these, those that differ, `arm/version`.
    """

    equal: int = 0
    unequal: Counter[str] = field(default_factory=Counter)
    missing: int = 0
    first: str = ""
    snapshots: int = 0
    unequal_snapshots: list[str] = field(default_factory=list)

    @property
    def differs(self) -> bool:
        """Whether anything was not the same."""
        return bool(self.unequal or self.missing or self.unequal_snapshots)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "equal": self.equal,
            "unequal": dict(sorted(self.unequal.items())),
            "missing": self.missing,
            "first": self.first,
            "snapshots": self.snapshots,
            "unequal_snapshots": self.unequal_snapshots,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Comparison":
        """Take up what `to_json` gave."""
        return cls(**{**values, "unequal": Counter(values["unequal"])})


class ArmDay:
    """The decisions that one arm of a run logged on one day.

    Args:
        run: folder of the run.
        arm: name.
        day: which.
        found: told of what is compared.

    Raises:
        DataError: the log cannot be read.
    """

    def __init__(self, run: Path, arm: str, day: int, found: Comparison) -> None:
        parts = [
            column_values(table) for table in read_parts(run, "decisions", arm, _COLUMNS, day=day)
        ]
        self._rows = {
            name: np.concatenate([part[name] for part in parts]) if parts else np.empty(0)
            for name in _COLUMNS
        }
        ids = self._rows["decision_id"].astype(np.uint64)
        self._order = np.argsort(ids, kind="stable")
        self._ids = ids[self._order]
        self._seen = 0
        self._label = f"{arm}, day {day}"
        self._found = found

    def hold(self, ids: UInt64Array, slates: Slates) -> None:
        """Compare decisions of the service.

        Args:
            ids: of the decisions, `uint64 [n]`.
            slates: as answered.
        """
        for place in np.flatnonzero(slates.answered).tolist():
            at = int(np.searchsorted(self._ids, ids[place]))
            if at == self._ids.size or self._ids[at] != ids[place]:
                self._tell("of no decision of the run", int(ids[place]))
                continue
            self._seen += 1
            row = int(self._order[at])
            what = self._difference(row, slates, place)
            if what:
                self._tell(what, int(ids[place]))
            else:
                self._found.equal += 1

    def close(self) -> None:
        """Count what was not asked for."""
        self._found.missing += int(self._ids.size) - self._seen

    def _difference(self, row: int, slates: Slates, place: int) -> str:
        rows = self._rows
        if rows["snapshot"][row] != slates.snapshots[place]:
            return "snapshot"
        if rows["slate"][row].tolist() != slates.items[place].tolist():
            return "slate"
        own = rows["propensities"][row].astype(np.float64)
        if own.tobytes() != slates.propensities[place].tobytes():
            return "propensities"
        return ""

    def _tell(self, what: str, decision: int) -> None:
        self._found.unequal[what] += 1
        self._found.first = self._found.first or f"{what}: decision {decision:016x}, {self._label}"


def compare_snapshots(
    found: Comparison,
    learned: Mapping[str, tuple[int, str]],
    hashes: Mapping[str, list[str]],
) -> None:
    """Compare states of policies.

    Args:
        found: told of what is compared.
        learned: version and content hash of each arm's newest, as the service has it.
        hashes: of the run, by arm and version.
    """
    for arm, (version, content) in learned.items():
        found.snapshots += 1
        own = hashes[arm]
        if version >= len(own) or own[version] != content:
            found.unequal_snapshots.append(f"{arm}/{version}")
