"""What the key figures' process says to others: a small file, written after each look.

The service shows it as metrics; the supervisor starts a process anew whose file grows old.
"""

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from matinee_platform.kpis.figures import KpiFigures
from matinee_platform.kpis.week_by_week import WeekByWeek
from matinee_policies.errors import MatineeError

STATUS_FILE = "kpi.json"
"""In the service's data folder."""

LARGEST = 1e300
"""In place of larger evidence, and of proof: JSON knows no infinity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentKpis:
    """Key figures of an experiment.

    Attributes:
        key: of the experiment.
        until_ms: when its figures were last brought up to date, UTC milliseconds; 0 for never.
        arms: figures by arm.
        weeks: by arm, the week that runs and the one before.
        several: units that count for no arm.
        e_value: evidence against the split, None for one arm.
        unread: rows of the log that are not folded yet.
        reason: why there are no newer figures; empty while there are.
    """

    key: str
    until_ms: int = 0
    arms: Mapping[str, KpiFigures] = field(default_factory=dict)
    weeks: Mapping[str, WeekByWeek] = field(default_factory=dict)
    several: int = 0
    e_value: float | None = None
    unread: int = 0
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "key": self.key,
            "until_ms": self.until_ms,
            "arms": {arm: figures.to_json() for arm, figures in self.arms.items()},
            "weeks": {arm: weeks.to_json() for arm, weeks in self.weeks.items()},
            "several": self.several,
            "e_value": None if self.e_value is None else min(self.e_value, LARGEST),
            "unread": self.unread,
            "reason": self.reason,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        arms = {arm: KpiFigures.from_json(figures) for arm, figures in value["arms"].items()}
        weeks = {arm: WeekByWeek.from_json(told) for arm, told in value["weeks"].items()}
        return cls(**{**value, "arms": arms, "weeks": weeks})


@dataclass(frozen=True, slots=True, kw_only=True)
class KpiStatus:
    """How the process is.

    Attributes:
        process: its id.
        beats: how often it said so; rises whatever the machine's clock does.
        holds: whether it is the one that makes the figures of this database.
        experiments: those that run.
    """

    process: int
    beats: int
    holds: bool
    experiments: tuple[ExperimentKpis, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "process": self.process,
            "beats": self.beats,
            "holds": self.holds,
            "experiments": [one.to_json() for one in self.experiments],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        return cls(
            process=int(value["process"]),
            beats=int(value["beats"]),
            holds=bool(value["holds"]),
            experiments=tuple(ExperimentKpis.from_json(one) for one in value["experiments"]),
        )


def write_status(path: Path, status: KpiStatus) -> None:
    """Write the file at once or not at all; it need not survive the machine."""
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(status.to_json(), file, allow_nan=False)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def read_status(path: Path) -> KpiStatus | None:
    """What the process said last; None if it said nothing that can be read."""
    try:
        return KpiStatus.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError, MatineeError):
        return None
