"""The plain client of the live service."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Self, TypeVar

import httpx
from pydantic import BaseModel
from tenacity import Retrying

from matinee_platform.client import calls
from matinee_platform.client.calls import Ask, Call, Event
from matinee_platform.client.errors import UnavailableError
from matinee_platform.client.retries import Retries, may_try_again
from matinee_platform.experiments.definition import LiveExperiment
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
    Readiness,
    ReplayAnswer,
    ResultsAnswer,
    RetentionAnswer,
    RewardAnswer,
    RewardsAnswer,
)

A = TypeVar("A", bound=BaseModel)


class Client:
    """Calls a service; safe to use from several threads.

    Decisions and rewards carry ids that are drawn here if none is given, so a call that is sent
    again after a failure counts once. Failures raise the errors of `client.errors`.

    Args:
        address: of the service, e.g. `http://127.0.0.1:8400`.
        key: API key; None for a service on this machine without keys.
        timeout: seconds for one sending.
        retries: how hard to try.
        transport: how requests travel; over the network if not given.

    Raises:
        ConfigError: the address does not begin with `http://` or `https://`.
    """

    def __init__(
        self,
        address: str,
        *,
        key: str | None = None,
        timeout: float = 5.0,
        retries: Retries | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._retries = Retries() if retries is None else retries
        self._http = httpx.Client(
            base_url=calls.checked_address(address),
            headers={} if key is None else {"authorization": f"Bearer {key}"},
            timeout=timeout,
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def send(self, call: Call[A]) -> A:
        """Send a call, again if that can help.

        Raises:
            CallError: it did not succeed.
        """
        retrying = Retrying(
            retry=may_try_again(call.repeatable),
            stop=self._retries.stop(),
            wait=self._retries.wait(),
            reraise=True,
        )
        answer: A = retrying(self._send_once, call)
        return answer

    def decide(
        self,
        experiment: str,
        unit: str,
        *,
        decision_id: str | None = None,
        candidates: Sequence[str] | None = None,
        scores: Sequence[float] | None = None,
        features: Sequence[Sequence[float]] | None = None,
        slots: int | None = None,
    ) -> DecisionAnswer:
        """A slate for a user; the arguments are those of `calls.Ask`."""
        ask = Ask(
            experiment=experiment,
            unit=unit,
            decision_id=decision_id,
            candidates=candidates,
            scores=scores,
            features=features,
            slots=slots,
        )
        return self.send(calls.decide(ask))

    def decide_batch(self, asks: Sequence[Ask]) -> DecisionsAnswer:
        """Several slates; each has a status of its own."""
        return self.send(calls.decide_batch(asks))

    def reward(
        self,
        decision_id: str,
        component: str,
        value: float = 1.0,
        *,
        slot: int | None = None,
        event_id: str | None = None,
        occurred_at: datetime | None = None,
        token: str | None = None,
    ) -> RewardAnswer:
        """Tell what happened after a decision; the arguments are those of `calls.Event`."""
        event = Event(
            decision_id=decision_id,
            component=component,
            value=value,
            slot=slot,
            event_id=event_id,
            occurred_at=occurred_at,
            token=token,
        )
        return self.send(calls.reward(event))

    def rewards(self, events: Sequence[Event]) -> RewardsAnswer:
        """Tell several rewards; each has an outcome of its own."""
        return self.send(calls.rewards(events))

    def decision(self, decision_id: str) -> DecisionView:
        """A decision as the log has it."""
        return self.send(calls.decision(decision_id))

    def replay(self, decision_id: str) -> ReplayAnswer:
        """The decision, taken again from the log."""
        return self.send(calls.replay(decision_id))

    def explain(self, decision_id: str) -> ExplanationAnswer:
        """How the decision came about."""
        return self.send(calls.explain(decision_id))

    def experiments(self) -> ExperimentsAnswer:
        """All experiments."""
        return self.send(calls.experiments())

    def create_experiment(self, definition: LiveExperiment | Mapping[str, Any]) -> ExperimentAnswer:
        """Add an experiment that does not run yet."""
        return self.send(calls.create_experiment(definition))

    def start_experiment(
        self, key: str, *, salt: str | None = None, coverage: float | None = None
    ) -> ExperimentAnswer:
        """Let units in; one that ran before needs a new salt."""
        return self.send(calls.start_experiment(key, salt=salt, coverage=coverage))

    def ramp_experiment(self, key: str, *, coverage: float) -> ExperimentAnswer:
        """Let more units in."""
        return self.send(calls.ramp_experiment(key, coverage=coverage))

    def stop_experiment(self, key: str) -> ExperimentAnswer:
        """Let no unit in any more."""
        return self.send(calls.stop_experiment(key))

    def learn_until(self, key: str, at: datetime) -> LearnUntilAnswer:
        """Have a simulated experiment learned up to a time; waits for some seconds at most."""
        return self.send(calls.learn_until(key, at))

    def results(self, key: str) -> ResultsAnswer:
        """Counts by arm, and the analysis once `statistics` is no longer `pending`."""
        return self.send(calls.results(key))

    def forget(self, unit: str) -> ForgetAnswer:
        """Remove everything that is kept of a unit."""
        return self.send(calls.forget(unit))

    def retention(self, days: int | None = None) -> RetentionAnswer:
        """Delete raw events that are older than the retention allows."""
        return self.send(calls.retention(days))

    def audit(self, *, after: int = 0, limit: int = 100) -> AuditAnswer:
        """Entries of the audit, oldest first."""
        return self.send(calls.audit(after=after, limit=limit))

    def ready(self) -> Readiness:
        """Whether the service takes requests."""
        return self.send(calls.ready())

    def _send_once(self, call: Call[A]) -> A:
        try:
            response = self._http.request(call.method, call.path, json=call.body)
        except httpx.TransportError as error:
            # The message of the transport may hold the address, and with it a password.
            raise UnavailableError(f"the service gave no answer: {type(error).__name__}") from error
        return call.read(response)
