"""The parts of a service as its routes see them: ports, and what they hand over.

`compose.py` builds the real ones by the settings. Calls without `async` may touch a database; the
routes make them in a thread. None of those is on the path of a decision.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from matinee_platform.experiments.definition import LiveExperiment
from matinee_platform.service.errors import Problem
from matinee_platform.service.secrets import Secrets
from matinee_platform.serving.asks import DecisionRuntime
from matinee_platform.storage.arm_counts import ArmCounts
from matinee_platform.storage.ports import EventAppender, EventReader
from matinee_platform.storage.records import DecisionRecord, LoggedDecision

Scope = Literal["decide", "reward", "read", "admin"]
SCOPES: tuple[Scope, ...] = ("decide", "reward", "read", "admin")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends a request.

    Attributes:
        key_id: names the API key, in the audit and for rate limits; never the key itself.
        scopes: what it may do.
    """

    key_id: str
    scopes: frozenset[str]


NOBODY = Caller("anonymous", frozenset(SCOPES))
"""Whoever calls a service on loopback that has no keys."""


class KeyRing(Protocol):
    """The API keys, held in memory."""

    @property
    def empty(self) -> bool:
        """Whether there are none at all: then the service is for this machine alone."""

    def identify(self, presented: str, *, now_ms: int) -> Caller | None:
        """Whose key this is, compared in constant time; None for one that is unknown or over."""


class ExperimentState(Protocol):
    """An experiment and where it stands."""

    @property
    def definition(self) -> LiveExperiment:
        """With the salt and the coverage of now."""

    @property
    def state(self) -> str:
        """`created`, `running` or `stopped`."""

    @property
    def version(self) -> int:
        """Rises by one with each change."""

    @property
    def created_at(self) -> int:
        """UTC milliseconds."""

    @property
    def changed_at(self) -> int:
        """UTC milliseconds of the last change."""

    @property
    def started_at(self) -> int | None:
        """UTC milliseconds of the last start; None before any."""

    @property
    def started_seq(self) -> int | None:
        """Last place of the log at the last start; None before any, or if nobody noted it."""


class AuditLine(Protocol):
    """One entry of the audit."""

    @property
    def number(self) -> int:
        """Rises, from 1."""

    @property
    def at(self) -> int:
        """UTC milliseconds."""

    @property
    def who(self) -> str:
        """Who made the change."""

    @property
    def action(self) -> str:
        """Such as `experiment.ramp`."""

    @property
    def subject(self) -> str:
        """What was changed."""

    @property
    def details(self) -> Mapping[str, Any]:
        """JSON values."""


class ExperimentControl(Protocol):
    """Creates and changes experiments; every change is in the audit before it counts."""

    def experiments(self) -> Sequence[ExperimentState]:
        """All of them, by key."""

    def experiment(self, key: str) -> ExperimentState:
        """One.

        Raises:
            UnknownExperimentError: there is none of this key.
        """

    def create(self, definition: LiveExperiment, *, who: str) -> ExperimentState:
        """Add one that does not run yet."""

    def start(
        self, key: str, *, salt: str | None, coverage: float | None, who: str
    ) -> ExperimentState:
        """Let units in."""

    def ramp(self, key: str, *, coverage: float, who: str) -> ExperimentState:
        """Let more units in."""

    def stop(self, key: str, *, who: str) -> ExperimentState:
        """Let no unit in any more."""

    def audit(self, *, after: int, limit: int) -> Sequence[AuditLine]:
        """Entries with numbers above `after`, oldest first."""


class ArmCounter(Protocol):
    """Counts by arm, in one pass of the database."""

    def arm_counts(
        self,
        experiment: str,
        *,
        windows: Sequence[int],
        upto: int,
        since_ms: int = 0,
        since_seq: int | None = None,
    ) -> Sequence[ArmCounts]:
        """Counts of every arm with a decision at or below `upto` and after a start, by name."""


class Removed(Protocol):
    """Rows that maintenance removed."""

    @property
    def decisions(self) -> int:
        """How many of them."""

    @property
    def rewards(self) -> int:
        """How many of them."""

    @property
    def settled(self) -> bool:
        """Whether their content has left the files of the database too."""


class Maintenance(Protocol):
    """Removes rows for good, and says so in the audit."""

    def forget(self, unit: str, *, who: str) -> Removed:
        """Remove everything of a unit, given by its raw id."""

    def retain(self, *, before_ms: int, who: str) -> Removed:
        """Remove raw events of before a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """A logged decision, taken again.

    Attributes:
        equal: whether it came out the same, bit for bit.
        record: with the slate and the propensities of now.
        note: why it could not be taken again, if it could not.
    """

    equal: bool
    record: DecisionRecord
    note: str = ""


class LearnedArm(Protocol):
    """How far an arm of a simulated experiment was learned."""

    @property
    def arm(self) -> str:
        """Name."""

    @property
    def reached(self) -> bool:
        """Whether every window that ended by the time asked for was learned."""

    @property
    def version(self) -> int:
        """Of its newest snapshot by that time, -1 before any."""

    @property
    def snapshot_hash(self) -> str:
        """Of its content."""


class DecisionTokens(Protocol):
    """Tokens that prove that a decision was made here."""

    def sign(self, decision_id: int, *, expires_ms: int) -> str:
        """The token of a decision."""

    def valid(self, token: str, *, decision_id: int, now_ms: int) -> bool:
        """Whether it was signed here for this decision and is not over, in constant time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """How the parts are, as they know without asking anyone.

    Attributes:
        log: as `EventAppender.state` says.
        policies: `ok`, or `fallback` if some arm serves the order of its candidates for now.
        learner: `ok`, `away` if the one that is supervised does not run, `none` if none is.
        control: `ok`, or `stale` if experiments and keys could not be read again lately.
        bundles: `ok`, or `missing` if an experiment runs whose bundles cannot be served.
    """

    log: str = "ok"
    policies: Literal["ok", "fallback"] = "ok"
    learner: Literal["ok", "away", "none"] = "none"
    control: Literal["ok", "stale"] = "ok"
    bundles: Literal["ok", "missing"] = "ok"


async def _nothing() -> None:
    """Close nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceParts:
    """Everything that routes call.

    Attributes:
        secrets: keys by purpose.
        appender: of the event log.
        reader: makes a reader of the event log, for one thread.
        runtime: decides.
        control: experiments and audit.
        counts: results.
        keys: API keys.
        maintenance: forget and retention.
        tokens: of decisions; None without `signed_tokens`.
        replay: takes a logged decision again; None if this service cannot.
        explain: tells how a logged decision came about, as JSON values; None likewise.
        analysis: what an experiment says so far, as JSON values, or soon; None if this service
            cannot tell.
        conditions: how the parts are; must not wait for anything.
        collectors: further metrics of the parts, for the registry of the service.
        learn_until: has a simulated experiment learned up to a time; None if this service cannot.
        is_simulated: whether an experiment is marked simulated, by its key.
        has_simulated: whether any is.
        changed: takes up changes of experiments at once; called after each change.
        problems: what further classes of errors become.
        close: lets go of everything, the log last.
    """

    secrets: Secrets
    appender: EventAppender
    reader: Callable[[], EventReader]
    runtime: DecisionRuntime
    control: ExperimentControl
    counts: ArmCounter
    keys: KeyRing
    maintenance: Maintenance
    conditions: Callable[[], Conditions]
    tokens: DecisionTokens | None = None
    replay: Callable[[LoggedDecision], Replayed] | None = None
    explain: Callable[[LoggedDecision, EventReader], Mapping[str, Any]] | None = None
    analysis: Callable[[str], Awaitable[Mapping[str, Any]]] | None = None
    collectors: Sequence[Any] = ()
    learn_until: Callable[[str, int], Awaitable[Sequence[LearnedArm]]] | None = None
    is_simulated: Callable[[str], bool] = lambda key: False
    has_simulated: Callable[[], bool] = lambda: False
    changed: Callable[[], Awaitable[None]] = _nothing
    problems: Mapping[type[BaseException], Problem] = field(default_factory=dict)
    close: Callable[[], Awaitable[None]] = _nothing
