"""What a route asks of the decision runtime, and what it gets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from matinee_platform.storage.records import DecisionRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A request for one slate, checked for form, not yet for meaning.

    Attributes:
        experiment: key.
        unit: the caller's id of the unit, in memory at the edge only.
        decision_id: within 0 and 2^64 - 1.
        body_digest: 16 bytes, of the request as parsed.
        candidates: item ids, distinct; None lets the arm's candidate source choose.
        scores: of the candidates, in (0, 1); None takes those of the arm's source.
        features: of the candidates, for an arm whose bundle takes the caller's features.
        slots: items wanted, at most the experiment's; None wants the experiment's.
        at: time of the decision, UTC milliseconds; of simulated users alone, who must bring theirs.
    """

    experiment: str
    unit: str
    decision_id: int
    body_digest: bytes
    candidates: Sequence[str] | None = None
    scores: Sequence[float] | None = None
    features: Sequence[Sequence[float]] | None = None
    slots: int | None = None
    at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A slate, not yet logged.

    Attributes:
        record: what must be logged before the answer; None for a unit outside the experiment, whose
            slate is the default ranking and is not logged.
        items: item ids, slot by slot.
        propensities: of the slots.
        fallback: why the policy did not choose, for metrics; None if it did.
    """

    record: DecisionRecord | None
    items: list[str]
    propensities: list[float]
    fallback: str | None = None


class DecisionRuntime(Protocol):
    """Turns asks into slates; `serving.runtime` has the real one."""

    async def decide(self, ask: Ask) -> Decided:
        """Choose a slate within the decision budget; asks of the same moment go together.

        Raises:
            UnknownExperimentError: there is none of this key that runs.
            ContextError: candidates, scores, features or a time of its own break a rule.
        """

    async def answer(self, record: DecisionRecord) -> Decided:
        """What was answered to a decision that is in the log, for a request that repeats it.

        Raises:
            GoneError: it was made with a catalogue that is not there any more.
            LogUnavailableError: the names of its items cannot be read.
        """
