"""Explain one decision as a log holds it, offline or live; the numbers are of `matinee_policies`.

Nothing is looked up here: whoever calls brings the context that was seen, the policy as it was when
it decided, and the secret that keyed the draws.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from matinee_platform.decision_keys import decision_keys
from matinee_platform.storage.records import DecisionRecord, ServedBy
from matinee_policies.arrays import FloatArray, IndexArray
from matinee_policies.config import Config
from matinee_policies.errors import ConfigError, ContextError
from matinee_policies.explain import Explanation, LoggedSlate, explain
from matinee_policies.policy import Policy
from matinee_policies.records import PAD, ContextBatch
from matinee_policies.rules import upper_bound_rule
from matinee_policies.snapshot import Snapshot
from matinee_policies.value_policy import ValuePolicy, config_of

NO_FEATURE_VERSION = 0
"""Feature version of decisions whose features the caller gave."""

_LARGEST_ID = 2**64 - 1
_STRANGER = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedDecision:
    """One logged decision with its explanation.

    Attributes:
        decision_id: within 0 and 2^64 - 1.
        arm: name of the arm.
        unit: pseudonym.
        day: day of the run, from 0.
        page: page within the session, from 0.
        decided_at: UTC milliseconds since 1970.
        snapshot: version of the policy that chose.
        served_by: who chose.
        explanation: why.
    """

    decision_id: int
    arm: str
    unit: int
    day: int
    page: int
    decided_at: int
    snapshot: int
    served_by: ServedBy
    explanation: Explanation

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values; ids as 16 hex digits."""
        return {
            "decision_id": f"{self.decision_id:016x}",
            "arm": self.arm,
            "unit": f"{self.unit:016x}",
            "day": self.day,
            "page": self.page,
            "decided_at": self.decided_at,
            "snapshot": self.snapshot,
            "served_by": self.served_by.name.lower(),
            **self.explanation.to_json(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateOrderConfig(Config):
    """`CandidateOrder` has no parameters."""


class CandidateOrder(ValuePolicy[CandidateOrderConfig]):
    """The order of the candidates, pins and eligibility apart: what a fallback serves.

    Example:
        >>> from matinee_policies.testing_data import example_contexts
        >>> context = example_contexts(1, decisions=1, candidates=5, dimension=1)
        >>> key = np.zeros(1, dtype=np.uint64)
        >>> CandidateOrder().decide(context, slots=3, keys=key).positions.tolist()
        [[0, 1, 2]]
    """

    name: ClassVar[str] = "candidate_order"

    def __init__(self, config: CandidateOrderConfig | None = None) -> None:
        super().__init__(config or CandidateOrderConfig(), rule=upper_bound_rule())

    @classmethod
    def from_snapshot(cls, snapshot: Snapshot) -> Self:
        """See `Policy.from_snapshot`."""
        return cls(config_of(snapshot, CandidateOrderConfig, kind=cls.name))

    @property
    def reads_features(self) -> bool:
        """See `ValuePolicy.reads_features`."""
        return type(self) is not CandidateOrder

    def values(self, contexts: ContextBatch) -> FloatArray:
        """Minus the place of each candidate, `float64 [B, K]`."""
        places = -np.arange(contexts.candidates.shape[1], dtype=np.float64)
        return np.tile(places, (len(contexts), 1))


def explain_slate(
    items: IndexArray,
    propensities: FloatArray,
    *,
    decision_id: int,
    served_by: ServedBy,
    context: ContextBatch,
    policy: Policy,
    secret: bytes | None,
    base: tuple[int, float] | None = None,
) -> Explanation:
    """Explain a slate as logged.

    Args:
        items: catalogue rows shown, -1 for empty slots, `int32 [L]`.
        propensities: as logged, `float64 [L]`.
        decision_id: within 0 and 2^64 - 1.
        served_by: who chose; what the policy did not choose is held against the order of the
            candidates, whatever `policy` is.
        context: what the policy saw, of this one decision.
        policy: restored from the snapshot that chose.
        secret: 16 bytes that key the arm's draws; None where they are not known.
        base: number and probability of the base that drew the slate of a mixture, if logged.

    Raises:
        ContextError: if context or slate are of another shape, or the policy refuses the context.
    """
    chose = policy if served_by == ServedBy.POLICY else CandidateOrder()
    key = None
    if secret is not None:
        ids = np.array([decision_id], dtype=np.uint64)
        key = int(decision_keys(secret, ids)[0])
    number, probability = (None, None) if base is None else base
    logged = LoggedSlate(items, propensities, number, probability)
    return explain(chose, context, slots=len(items), key=key, logged=logged)


def explain_record(
    record: DecisionRecord,
    *,
    context: ContextBatch,
    policy: Policy,
    secret: bytes | None,
) -> Explanation:
    """Explain a decision of the live service.

    Args:
        record: as the log holds it.
        context: what the policy saw, as `learning.live_contexts` builds it again.
        policy: restored from the snapshot that the record names.
        secret: 16 bytes that key the draws of the experiment's arm.

    Returns:
        The explanation; its items are those of the context.

    Raises:
        ContextError: if the record is of other candidates than the context, or as `explain_slate`.
    """
    candidates = np.frombuffer(record.candidates, dtype="<i4").astype(np.int32)
    items = np.frombuffer(record.slate, dtype="<i4").astype(np.int32)
    numbers = np.arange(candidates.size, dtype=np.int32)
    numbered = np.where(candidates == PAD, np.int32(PAD), numbers)
    is_given = record.feature_version == NO_FEATURE_VERSION
    if is_given and len(context) == 1 and np.array_equal(context.candidates[0], numbered):
        # Items of callers have numbers within their page; one that was no candidate has none.
        known = dict(zip(candidates.tolist(), numbered.tolist(), strict=True))
        known[PAD] = PAD
        items = np.array([known.get(row, _STRANGER) for row in items.tolist()], dtype=np.int32)
    elif len(context) != 1 or not np.array_equal(candidates, context.candidates[0]):
        raise ContextError("context must be of the record's candidates, got others")
    base = None
    if record.base is not None and record.base_propensity is not None:
        base = (record.base, record.base_propensity)
    return explain_slate(
        items,
        np.frombuffer(record.propensities, dtype="<f8").astype(np.float64),
        decision_id=record.decision_id,
        served_by=record.served_by,
        context=context,
        policy=policy,
        secret=secret,
        base=base,
    )


def parse_decision_id(text: str) -> int:
    """The decision id that a text means: 16 hexadecimal digits, or a whole number.

    Raises:
        ConfigError: if it is neither, or above 2^64 - 1.

    Example:
        >>> parse_decision_id("00000000000000ff"), parse_decision_id("255")
        (255, 255)
    """
    try:
        number = int(text, 16 if len(text) == 16 else 10)
    except ValueError:
        number = -1
    if not 0 <= number <= _LARGEST_ID or not text.isalnum():
        raise ConfigError(
            f"decision id must be 16 hexadecimal digits or a whole number below 2^64, got {text!r}"
        )
    return number
