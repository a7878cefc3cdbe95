"""What the learner says of itself to other processes: a small file, written after each look.

The service shows it as metrics and in its readiness; its supervisor restarts a learner whose file
grows old. Nothing is decided by it.
"""

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from matinee_policies.errors import MatineeError

STATUS_FILE = "learner.json"
"""In the service's data folder."""

ArmState = Literal["learning", "waiting", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmStatus:
    """Where the learning of one arm stands.

    Attributes:
        experiment: key.
        arm: name.
        state: `learning`; `waiting` while another process learns it; `failed` with `reason`.
        version: of the newest snapshot, -1 for none.
        caught_up_ms: every window that ended by then has been learned.
        learned: decisions learned by this process, by lesson.
        refused: decisions that its policy refused to learn from this process, by lesson.
        refused_noted: refused decisions whose later lessons are left out, one by one.
        refused_ranges: of the log, where later lessons of all large decisions are left out.
        events: what became of their reward events, by component and outcome.
        seconds: time that the last barrier took.
        delay_seconds: from the earliest end of a window that the last barrier learned to it.
        reason: what went wrong.
    """

    experiment: str
    arm: str
    state: ArmState = "learning"
    version: int = -1
    caught_up_ms: int = 0
    learned: Mapping[str, int] = field(default_factory=dict)
    refused: Mapping[str, int] = field(default_factory=dict)
    refused_noted: int = 0
    refused_ranges: int = 0
    events: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    seconds: float = 0.0
    delay_seconds: float = 0.0
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnerStatus:
    """How the learner is.

    Attributes:
        process: id of the process.
        beat_ms: when it last did something, UTC milliseconds.
        beats: how often it said so; rises whatever the machine's clock does.
        arms: by experiment and name.
    """

    process: int
    beat_ms: int
    beats: int = 0
    arms: tuple[ArmStatus, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        return cls(
            process=int(value["process"]),
            beat_ms=int(value["beat_ms"]),
            beats=int(value["beats"]),
            arms=tuple(ArmStatus(**one) for one in value["arms"]),
        )


def write_status(path: Path, status: LearnerStatus) -> None:
    """Write the file at once or not at all; it need not survive the machine."""
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(status.to_json(), file)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def read_status(path: Path) -> LearnerStatus | None:
    """What the learner said last; None if it said nothing that can be read."""
    try:
        return LearnerStatus.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError, MatineeError):
        return None
