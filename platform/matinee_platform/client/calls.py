"""The calls of the service as data: what is sent, what comes back, whether it may be sent twice."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from secrets import token_hex
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError

from matinee_platform.client.errors import CallError, error_of, kind_of
from matinee_platform.experiments.definition import STORED, LiveExperiment
from matinee_platform.service.answers import (
    AuditAnswer,
    DecisionAnswer,
    DecisionsAnswer,
    DecisionView,
    ExperimentAnswer,
    ExperimentsAnswer,
    ExplanationAnswer,
    ForgetAnswer,
    LearnUntilAnswer,
    Problem,
    Readiness,
    ReplayAnswer,
    ResultsAnswer,
    RetentionAnswer,
    RewardAnswer,
    RewardsAnswer,
)
from matinee_policies.errors import ConfigError

A = TypeVar("A", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Call(Generic[A]):
    """One call.

    Attributes:
        method: of HTTP.
        path: after the address of the service.
        answer: model of what comes back.
        body: JSON values, if something is sent.
        repeatable: whether sending it twice does no more than once.
        fine: statuses that are an answer.
    """

    method: str
    path: str
    answer: type[A]
    body: Any = None
    repeatable: bool = True
    fine: tuple[int, ...] = (200,)

    def read(self, response: httpx.Response) -> A:
        """The answer.

        Raises:
            CallError: the service answered with a problem, or with something unknown.
        """
        if response.status_code in self.fine:
            try:
                return self.answer.model_validate_json(response.content, context=STORED)
            except ValidationError:
                raise CallError(
                    f"{self.method} {self.path} was answered in a form that is not known",
                    status=response.status_code,
                ) from None
        raise _error(response)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One decision of several.

    Attributes:
        experiment: key.
        unit: the user.
        decision_id: an own id; drawn if not given.
        candidates: items to choose from.
        scores: of the candidates.
        features: of the candidates.
        slots: items wanted.
        at: when, with its offset from UTC; of simulated users alone.
    """

    experiment: str
    unit: str
    decision_id: str | None = None
    candidates: Sequence[str] | None = None
    scores: Sequence[float] | None = None
    features: Sequence[Sequence[float]] | None = None
    slots: int | None = None
    at: datetime | None = None

    def body(self) -> dict[str, Any]:
        """As the service takes it; without an id it gets one, so that a retry is the same."""
        return _given(
            experiment=self.experiment,
            unit=self.unit,
            decision_id=new_id() if self.decision_id is None else self.decision_id,
            candidates=None if self.candidates is None else list(self.candidates),
            scores=None if self.scores is None else [float(one) for one in self.scores],
            features=(
                None
                if self.features is None
                else [[float(one) for one in row] for row in self.features]
            ),
            slots=self.slots,
            at=None if self.at is None else self.at.isoformat(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One reward of several.

    Attributes:
        decision_id: of the decision that it follows.
        component: click, watch, rating or return_visit.
        value: of the event.
        slot: place within the slate; None for a return visit.
        event_id: an own id; drawn if not given.
        occurred_at: when, with its offset from UTC.
        token: of the decision, if the service wants tokens.
        at: when it reaches the service, with its offset from UTC; of simulated users alone.
    """

    decision_id: str
    component: str
    value: float = 1.0
    slot: int | None = None
    event_id: str | None = None
    occurred_at: datetime | None = None
    token: str | None = None
    at: datetime | None = None

    def body(self) -> dict[str, Any]:
        """As the service takes it; without an id it gets one, so that a retry is the same."""
        return _given(
            id=new_id() if self.event_id is None else self.event_id,
            decision_id=self.decision_id,
            component=self.component,
            slot=self.slot,
            value=float(self.value),
            occurred_at=None if self.occurred_at is None else self.occurred_at.isoformat(),
            at=None if self.at is None else self.at.isoformat(),
            token=self.token,
        )


def checked_address(address: str) -> str:
    """The address of a service, which may hold a password and is never told.

    Raises:
        ConfigError: it is none of HTTP.
    """
    if not address.lower().startswith(("http://", "https://")):
        raise ConfigError("address of the service must begin with http:// or https://")
    return address


def new_id() -> str:
    """An id of 64 random bits, 16 hex digits."""
    return token_hex(8)


def decide(ask: Ask) -> Call[DecisionAnswer]:
    """Asks for one slate."""
    return Call("POST", "/v1/decisions", DecisionAnswer, ask.body())


def decide_batch(asks: Sequence[Ask]) -> Call[DecisionsAnswer]:
    """Asks for several slates."""
    body = {"decisions": [ask.body() for ask in asks]}
    return Call("POST", "/v1/decisions:batch", DecisionsAnswer, body)


def reward(event: Event) -> Call[RewardAnswer]:
    """Tells one reward."""
    return Call("POST", "/v1/rewards", RewardAnswer, event.body())


def rewards(events: Sequence[Event]) -> Call[RewardsAnswer]:
    """Tells several rewards."""
    body = {"rewards": [event.body() for event in events]}
    return Call("POST", "/v1/rewards", RewardsAnswer, body)


def decision(decision_id: str) -> Call[DecisionView]:
    """Looks at a logged decision."""
    return Call("GET", _path("decisions", decision_id), DecisionView)


def replay(decision_id: str) -> Call[ReplayAnswer]:
    """Takes a logged decision again."""
    return Call("GET", _path("decisions", decision_id, "replay"), ReplayAnswer)


def explain(decision_id: str) -> Call[ExplanationAnswer]:
    """Has a logged decision explained."""
    return Call("GET", _path("decisions", decision_id, "explain"), ExplanationAnswer)


def experiments() -> Call[ExperimentsAnswer]:
    """Lists experiments."""
    return Call("GET", "/v1/experiments", ExperimentsAnswer)


def create_experiment(definition: LiveExperiment | Mapping[str, Any]) -> Call[ExperimentAnswer]:
    """Adds an experiment."""
    body = TypeAdapter(LiveExperiment).validate_python(definition).model_dump(mode="json")
    return Call("POST", "/v1/experiments", ExperimentAnswer, body, repeatable=False)


def start_experiment(
    key: str, *, salt: str | None = None, coverage: float | None = None
) -> Call[ExperimentAnswer]:
    """Starts an experiment."""
    return _change(key, "start", _given(salt=salt, coverage=coverage))


def ramp_experiment(key: str, *, coverage: float) -> Call[ExperimentAnswer]:
    """Lets more units in."""
    return _change(key, "ramp", {"coverage": coverage})


def stop_experiment(key: str) -> Call[ExperimentAnswer]:
    """Stops an experiment."""
    return _change(key, "stop", None)


def learn_until(key: str, at: datetime) -> Call[LearnUntilAnswer]:
    """Has a simulated experiment learned up to a time."""
    path = f"{_path('experiments', key)}:learn-until"
    return Call("POST", path, LearnUntilAnswer, {"at": at.isoformat()})


def results(key: str) -> Call[ResultsAnswer]:
    """Asks for counts by arm and the analysis, which may have to be asked for again."""
    return Call("GET", _path("experiments", key, "results"), ResultsAnswer, fine=(200, 202))


def forget(unit: str) -> Call[ForgetAnswer]:
    """Has a unit forgotten."""
    return Call("POST", "/v1/admin/forget", ForgetAnswer, {"unit": unit})


def retention(days: int | None = None) -> Call[RetentionAnswer]:
    """Has old raw events deleted."""
    return Call("POST", "/v1/admin/retention", RetentionAnswer, _given(days=days))


def audit(*, after: int = 0, limit: int = 100) -> Call[AuditAnswer]:
    """Lists entries of the audit."""
    return Call("GET", f"/v1/audit?after={after}&limit={limit}", AuditAnswer)


def ready() -> Call[Readiness]:
    """Asks for readiness; down and starting are answers too."""
    return Call("GET", "/readyz", Readiness, fine=(200, 503))


def _change(key: str, verb: str, body: Any) -> Call[ExperimentAnswer]:
    path = f"{_path('experiments', key)}:{verb}"
    return Call("POST", path, ExperimentAnswer, body, repeatable=False)


def _path(*parts: str) -> str:
    return "/v1/" + "/".join(quote(part, safe="") for part in parts)


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _error(response: httpx.Response) -> CallError:
    header = response.headers.get("retry-after", "")
    retry_after = float(header) if header.isascii() and header.isdigit() else None
    try:
        problem = Problem.model_validate_json(response.content)
    except ValidationError:
        return kind_of(response.status_code)(
            f"the service answered with status {response.status_code}",
            status=response.status_code,
            retry_after=retry_after,
        )
    return error_of(problem, retry_after=retry_after)
