"""What the service answers: one model per route, as the OpenAPI document shows it."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from matinee_platform.experiments.definition import LiveExperiment

State = Literal["starting", "ready", "degraded", "down"]
Served = Literal["policy", "fallback", "default"]


def _example(**values: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [values]})


class Answer(BaseModel):
    """What all answers have in common."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class DecisionAnswer(Answer):
    """A slate."""

    model_config = _example(
        decision_id="visit 4711, page 1",
        experiment="home",
        arm="new",
        items=["heat", "alien"],
        propensities=[0.9, 0.95],
        served_by="policy",
        snapshot=12,
        token=None,
    )

    decision_id: str
    """The caller's text, or 16 hex digits that the service drew."""
    experiment: str
    arm: str | None
    """None for a unit outside the experiment; `holdout` for one that no experiment touches."""
    items: list[str]
    """Slot by slot."""
    propensities: list[float]
    """Probability of each item at its slot, given the items before it."""
    served_by: Served
    """`policy`; `fallback` if it failed or was late; `default` outside the experiment, in the
    holdout, and for an apprentice."""
    snapshot: int | None
    """Version of the policy that decided; None outside the experiment."""
    token: str | None = None
    """To be sent with rewards, if the service wants tokens."""


class Fault(Answer):
    """One place of a request that breaks a rule."""

    where: str
    rule: str


class Problem(Answer):
    """What went wrong (RFC 9457); sent as application/problem+json."""

    model_config = _example(
        type="about:blank",
        title="The request breaks a rule",
        status=422,
        code="invalid",
        detail="candidates: items must be distinct",
        request_id="5f2c0a9e00000017",
        faults=[{"where": "candidates", "rule": "items must be distinct"}],
    )

    type: Literal["about:blank"] = "about:blank"
    title: str
    status: int
    code: str
    """Short name for programs; docs/service.md lists them."""
    detail: str
    request_id: str
    """Names this request in the service's own lines."""
    faults: list[Fault] = []


class DecisionResult(Answer):
    """What became of one decision of several: a slate or a problem."""

    status: int
    """What a request for it alone would have been answered with."""
    decision: DecisionAnswer | None = None
    problem: Problem | None = None


class DecisionsAnswer(Answer):
    """Slates, in the order of the requests."""

    results: list[DecisionResult]


class RewardAnswer(Answer):
    """What became of a reward."""

    model_config = _example(id="click 99", outcome="stored", state="joined")

    id: str | None
    """The caller's id of the event."""
    outcome: Literal["stored", "repeated", "conflict", "refused"]
    """`repeated`: it was there already, with the same content. `conflict`: the id was there with
    another content. `refused`: see `problem`."""
    state: Literal["joined", "early", "late", "duplicate", "orphan"] | None
    """What it counted as when stored; None while the database is away, and if nothing was."""
    problem: Problem | None = None


class RewardsAnswer(Answer):
    """What became of rewards, in their order."""

    results: list[RewardAnswer]


class ExperimentAnswer(Answer):
    """An experiment and where it stands."""

    state: Literal["created", "running", "stopped"]
    version: int
    """Rises by one with each change."""
    created_at: int
    """UTC milliseconds since 1970, as all times here."""
    changed_at: int
    definition: LiveExperiment
    """With the salt and the coverage of now."""


class ExperimentsAnswer(Answer):
    """All experiments, by key."""

    experiments: list[ExperimentAnswer]


class ArmResults(Answer):
    """Counts of one arm."""

    arm: str
    exposed_units: int
    """Units with at least one decision."""
    decisions: int
    served_by: dict[str, int]
    """Decisions by who chose."""
    rewards: dict[str, int]
    """Events within their windows by component, one per decision and slot."""
    reward_sums: dict[str, float]
    """Sum of their values by component."""


class ResultsAnswer(Answer):
    """Counts by arm, and what the declared analysis says of them."""

    model_config = _example(
        experiment="home",
        since=1767225600000,
        upto=4711,
        statistics="none",
        note="experiment 'home' has not started yet",
        arms=[
            {
                "arm": "new",
                "exposed_units": 812,
                "decisions": 2040,
                "served_by": {"policy": 2038, "fallback": 2},
                "rewards": {"click": 611, "watch": 402},
                "reward_sums": {"click": 611.0, "watch": 187.5},
            }
        ],
        analysis=None,
    )

    experiment: str
    since: int | None
    """Last start of the experiment, UTC milliseconds: what was decided before does not count."""
    upto: int
    """Place of the log up to which rows are counted."""
    statistics: Literal["none", "pending", "analysis"] = "none"
    """`pending`: the analysis is being made, ask again after `retry_after` seconds."""
    note: str = "This service makes no analysis."
    """Why there is no analysis; empty if there is one."""
    retry_after: int | None = None
    arms: list[ArmResults]
    analysis: dict[str, Any] | None = None
    """As `matinee analyze --json` prints it (docs/statistics.md): verdict in words, gates, metrics
    with their intervals, retention, survival. Some seconds old."""


class LearnedArmAnswer(Answer):
    """How far an arm was learned."""

    arm: str
    reached: bool
    """Whether every window that ended by the time asked for was learned."""
    version: int
    """Of its newest snapshot by that time, -1 before any."""
    snapshot_hash: str


class LearnUntilAnswer(Answer):
    """Whether a simulated experiment was learned up to a time."""

    model_config = _example(
        experiment="drive",
        reached=True,
        arms=[{"arm": "new", "reached": True, "version": 3, "snapshot_hash": "9f2c"}],
    )

    experiment: str
    reached: bool
    """Whether all arms were, and serve what they learned; if not yet, ask again."""
    arms: list[LearnedArmAnswer]


class RewardView(Answer):
    """A reward of a decision, as the log has it."""

    seq: int
    component: str
    slot: int | None
    value: float
    received_at: int
    occurred_at: int | None


class DecisionView(Answer):
    """A decision as the log has it; the unit by its pseudonym."""

    decision_id: str
    """16 hex digits."""
    seq: int
    experiment: str
    arm: str
    unit: str
    """Keyed pseudonym, 16 hex digits."""
    bucket: int
    decided_at: int
    page: int
    snapshot: int
    feature_version: int
    catalogue_version: str
    served_by: Served
    items: list[str]
    propensities: list[float]
    rewards: list[RewardView]


class ReplayAnswer(Answer):
    """Whether a decision, taken again from its log row and snapshot, comes out the same."""

    decision_id: str
    equal: bool
    """Whether slate and propensities are the logged ones, bit for bit."""
    items: list[str]
    propensities: list[float]
    note: str = ""
    """Why it could not be taken again, if it could not."""


class ExplanationAnswer(BaseModel):
    """How a decision came about: values, redundancy and probabilities of the candidates."""

    decision_id: str
    explanation: dict[str, Any]
    """As `matinee explain --json` prints it."""


class AuditEntry(Answer):
    """One change of an experiment, a key or the log."""

    number: int
    """Rises by one with each entry."""
    at: int
    who: str
    """Name of the API key, or who ran the command."""
    action: str
    subject: str
    details: dict[str, Any] = {}


class AuditAnswer(Answer):
    """Entries of the audit, oldest first."""

    entries: list[AuditEntry]


class ForgetAnswer(Answer):
    """What was removed of a unit."""

    model_config = _example(decisions=12, rewards=5, settled=True)

    decisions: int
    rewards: int
    settled: bool
    """Whether the content has left the files of the database too. If not, a reader stands in the
    way; the service goes on, and tells in the audit (`data.settle`) when it is done."""


class RetentionAnswer(Answer):
    """What was deleted for its age."""

    model_config = _example(
        decisions=120_000, rewards=41_000, settled=True, before=1_767_225_600_000
    )

    decisions: int
    rewards: int
    settled: bool
    """As that of `ForgetAnswer`."""
    before: int
    """Rows of before this time were deleted, UTC milliseconds."""


class Health(Answer):
    """The process answers."""

    model_config = _example(status="ok")

    status: Literal["ok"] = "ok"


class Readiness(Answer):
    """Whether the service takes requests, and what is not as it should be."""

    model_config = _example(state="degraded", reasons=["the log is spooling"])

    state: State
    reasons: Annotated[list[str], Field(default_factory=list)]
