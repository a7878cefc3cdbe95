"""The asynchronous client of the live service."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Self, TypeVar

import httpx
from pydantic import BaseModel
from tenacity import AsyncRetrying

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


class AsyncClient:
    """Calls a service from asyncio.

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
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._retries = Retries() if retries is None else retries
        self._http = httpx.AsyncClient(
            base_url=calls.checked_address(address),
            headers={} if key is None else {"authorization": f"Bearer {key}"},
            timeout=timeout,
            transport=transport,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def send(self, call: Call[A]) -> A:
        """Send a call, again if that can help.

        Raises:
            CallError: it did not succeed.
        """
        retrying = AsyncRetrying(
            retry=may_try_again(call.repeatable),
            stop=self._retries.stop(),
            wait=self._retries.wait(),
            reraise=True,
        )
        return await retrying(self._send_once, call)

    async def decide(
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
        return await self.send(calls.decide(ask))

    async def decide_batch(self, asks: Sequence[Ask]) -> DecisionsAnswer:
        """Several slates; each has a status of its own."""
        return await self.send(calls.decide_batch(asks))

    async def reward(
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
        return await self.send(calls.reward(event))

    async def rewards(self, events: Sequence[Event]) -> RewardsAnswer:
        """Tell several rewards; each has an outcome of its own."""
        return await self.send(calls.rewards(events))

    async def decision(self, decision_id: str) -> DecisionView:
        """A decision as the log has it."""
        return await self.send(calls.decision(decision_id))

    async def replay(self, decision_id: str) -> ReplayAnswer:
        """The decision, taken again from the log."""
        return await self.send(calls.replay(decision_id))

    async def explain(self, decision_id: str) -> ExplanationAnswer:
        """How the decision came about."""
        return await self.send(calls.explain(decision_id))

    async def experiments(self) -> ExperimentsAnswer:
        """All experiments."""
        return await self.send(calls.experiments())

    async def create_experiment(
        self, definition: LiveExperiment | Mapping[str, Any]
    ) -> ExperimentAnswer:
        """Add an experiment that does not run yet."""
        return await self.send(calls.create_experiment(definition))

    async def start_experiment(
        self, key: str, *, salt: str | None = None, coverage: float | None = None
    ) -> ExperimentAnswer:
        """Let units in; one that ran before needs a new salt."""
        return await self.send(calls.start_experiment(key, salt=salt, coverage=coverage))

    async def ramp_experiment(self, key: str, *, coverage: float) -> ExperimentAnswer:
        """Let more units in."""
        return await self.send(calls.ramp_experiment(key, coverage=coverage))

    async def stop_experiment(self, key: str) -> ExperimentAnswer:
        """Let no unit in any more."""
        return await self.send(calls.stop_experiment(key))

    async def learn_until(self, key: str, at: datetime) -> LearnUntilAnswer:
        """Have a simulated experiment learned up to a time; waits for some seconds at most."""
        return await self.send(calls.learn_until(key, at))

    async def results(self, key: str) -> ResultsAnswer:
        """Counts by arm, and the analysis once `statistics` is no longer `pending`."""
        return await self.send(calls.results(key))

    async def forget(self, unit: str) -> ForgetAnswer:
        """Remove everything that is kept of a unit."""
        return await self.send(calls.forget(unit))

    async def retention(self, days: int | None = None) -> RetentionAnswer:
        """Delete raw events that are older than the retention allows."""
        return await self.send(calls.retention(days))

    async def audit(self, *, after: int = 0, limit: int = 100) -> AuditAnswer:
        """Entries of the audit, oldest first."""
        return await self.send(calls.audit(after=after, limit=limit))

    async def ready(self) -> Readiness:
        """Whether the service takes requests."""
        return await self.send(calls.ready())

    async def _send_once(self, call: Call[A]) -> A:
        try:
            response = await self._http.request(call.method, call.path, json=call.body)
        except httpx.TransportError as error:
            # The message of the transport may hold the address, and with it a password.
            raise UnavailableError(f"the service gave no answer: {type(error).__name__}") from error
        return call.read(response)
