"""Readiness as a table: from how the parts are to what a load balancer should think.

| phase | log | anything else | state | HTTP |
|---|---|---|---|---|
| starting | any | any | starting | 503 |
| running | ok | ok | ready | 200 |
| running | ok | policies, learner, control or bundles not | degraded | 200 |
| running | spooling | any | degraded | 200 |
| running | away | any | down | 503 |
| stopping | any | any | down | 503 |

No database is asked: the parts know how they were when they last did something.
"""

from dataclasses import dataclass
from typing import Literal

from matinee_platform.service.parts import Conditions

Phase = Literal["starting", "running", "stopping"]
State = Literal["starting", "ready", "degraded", "down"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What readiness says.

    Attributes:
        state: in one word.
        reasons: what is not as it should be, for people.
    """

    state: State
    reasons: tuple[str, ...] = ()

    @property
    def status(self) -> int:
        """Of HTTP."""
        return 200 if self.state in ("ready", "degraded") else 503


def judge(phase: Phase, conditions: Conditions | None) -> Verdict:
    """Read the table.

    Args:
        phase: of the process.
        conditions: of the parts; None while they are not there.

    Example:
        >>> judge("running", Conditions(log="spooling")).state
        'degraded'
    """
    if phase == "stopping":
        return Verdict("down", ("the service is stopping",))
    if phase == "starting" or conditions is None:
        return Verdict("starting")
    if conditions.log not in ("ok", "spooling"):
        return Verdict("down", ("the log cannot be written",))
    reasons = tuple(
        reason
        for holds, reason in (
            (conditions.log == "spooling", "the database is away and the log goes to the spool"),
            (conditions.policies == "fallback", "an arm serves the order of its candidates"),
            (conditions.learner == "away", "the learner does not run"),
            (conditions.control == "stale", "experiments and keys cannot be read again"),
            (conditions.bundles == "missing", "an experiment that runs cannot be served"),
        )
        if holds
    )
    return Verdict("degraded", reasons) if reasons else Verdict("ready")
