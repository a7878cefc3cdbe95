"""The routes that decide: one slate, or several at once."""

import asyncio
from typing import NamedTuple

from matinee_platform.experiments.errors import UnknownExperimentError
from matinee_platform.service.answers import DecisionAnswer, DecisionResult, DecisionsAnswer
from matinee_platform.service.decision_names import decision_number, decision_text, new_decision
from matinee_platform.service.digests import decision_digest
from matinee_platform.service.errors import ConflictError
from matinee_platform.service.parts import Caller
from matinee_platform.service.problems import problem_answer
from matinee_platform.service.request_rules import check_decision, check_decisions
from matinee_platform.service.requests import DecisionRequest, DecisionsRequest, milliseconds
from matinee_platform.service.route import Route
from matinee_platform.service.running import Service
from matinee_platform.service.service_metrics import SERVED_WORDS
from matinee_platform.serving.asks import Ask, Decided
from matinee_platform.storage.errors import LogBusyError, LogUnavailableError
from matinee_platform.storage.records import Outcome
from matinee_policies.errors import MatineeError

TOKEN_LIFE_MS = 29 * 86_400_000
"""How long a decision's token lets rewards in: the longest window there can be, and a day."""

_OTHER_REQUEST = "decision_id was used before, with another request"
_PROBLEMS = ("not_found", "conflict", "gone", "log_busy", "log_unavailable")


def decision_routes(service: Service) -> list[Route]:
    """The routes."""

    async def decide(body: DecisionRequest) -> DecisionAnswer:
        """Choose a slate, log it, then answer.

        A request that repeats an id with the same content is answered as the first time, also
        after its experiment was stopped; one with other content is a conflict.
        """
        return await decide_one(service, body)

    async def decide_batch(body: DecisionsRequest, caller: Caller) -> DecisionsAnswer:
        """Choose several slates; each has an answer or a problem of its own."""
        requests = body.decisions
        check_decisions(body, service.limits)
        service.gate.spend(caller, len(requests) - 1)
        found = await _decide_all(service, requests)
        for one in found:
            if isinstance(one, BaseException) and not isinstance(one, MatineeError):
                raise one
        if isinstance(found[0], LogBusyError | LogUnavailableError) and all(
            isinstance(one, LogBusyError | LogUnavailableError) for one in found
        ):
            raise found[0]
        return DecisionsAnswer(
            results=[
                _result(service, one, request) for one, request in zip(found, requests, strict=True)
            ]
        )

    return [
        Route(
            method="POST",
            path="/v1/decisions",
            endpoint=decide,
            scope="decide",
            problems=_PROBLEMS,
            tag="decisions",
        ),
        Route(
            method="POST",
            path="/v1/decisions:batch",
            endpoint=decide_batch,
            scope="decide",
            problems=("log_busy", "log_unavailable"),
            tag="decisions",
        ),
    ]


async def _decide_all(
    service: Service, requests: list[DecisionRequest]
) -> list[DecisionAnswer | BaseException]:
    """Decide all at once; of those with one id, the first comes first."""
    firsts: dict[str | int, int] = {}
    for place, request in enumerate(requests):
        firsts.setdefault(place if request.decision_id is None else request.decision_id, place)
    found: dict[int, DecisionAnswer | BaseException] = {}
    again = sorted(set(range(len(requests))) - set(firsts.values()))
    for places in (list(firsts.values()), again):
        chosen = await asyncio.gather(
            *(_chosen(service, requests[place]) for place in places), return_exceptions=True
        )
        # Whatever was chosen first: the log has them in the order of the request.
        answers = await asyncio.gather(
            *(
                _logged(service, requests[place], one)
                for place, one in zip(places, chosen, strict=True)
            ),
            return_exceptions=True,
        )
        found.update(zip(places, answers, strict=True))
    return [found[place] for place in range(len(requests))]


async def decide_one(service: Service, request: DecisionRequest) -> DecisionAnswer:
    """Choose a slate, log it, and give the answer."""
    return await _logged(service, request, await _chosen(service, request))


class _Chosen(NamedTuple):
    """A slate under the text of its decision's id."""

    text: str
    decided: Decided
    is_logged: bool = False


async def _chosen(service: Service, request: DecisionRequest) -> _Chosen:
    """Choose a slate; not logged yet, but for a repeat after its experiment was stopped."""
    check_decision(request, service.limits)
    parts = service.parts
    text = request.decision_id
    if text is None:
        number = new_decision()
        text = decision_text(number)
    else:
        number = decision_number(text, key=parts.secrets.decision_ids)
    ask = Ask(
        experiment=request.experiment,
        unit=request.unit,
        decision_id=number,
        body_digest=decision_digest(request, key=parts.secrets.digests),
        candidates=request.candidates,
        scores=request.scores,
        features=request.features,
        slots=request.slots,
        at=milliseconds(request.at),
    )
    try:
        return _Chosen(text, await parts.runtime.decide(ask))
    except UnknownExperimentError:
        found = None
        if request.decision_id is not None:
            # Whoever repeats what was decided before the stop has the first answer coming.
            found = await service.threads.read(lambda reader: reader.decision(number))
        if found is None:
            raise
    if found.record.body_digest != ask.body_digest:
        raise ConflictError(_OTHER_REQUEST)
    return _Chosen(text, await parts.runtime.answer(found.record), is_logged=True)


async def _logged(
    service: Service, request: DecisionRequest, chosen: _Chosen | BaseException
) -> DecisionAnswer:
    """Log a slate, then give the answer; raises what kept it from being chosen."""
    if isinstance(chosen, BaseException):
        raise chosen
    text, decided, is_logged = chosen
    parts = service.parts
    record = decided.record
    if record is None:
        service.metrics.outside(request.experiment)
        return DecisionAnswer(
            decision_id=text,
            experiment=request.experiment,
            arm=None,
            items=decided.items,
            propensities=decided.propensities,
            served_by="default",
            snapshot=None,
        )
    if is_logged:
        service.metrics.repeated(record.experiment)
        return _answer(service, decided, text)
    receipt = await parts.appender.append_decision(record)
    if receipt.outcome is Outcome.STORED:
        service.metrics.served(
            record.experiment, record.arm, record.served_by, fallback=decided.fallback
        )
    elif receipt.outcome is Outcome.REPEATED:
        service.metrics.repeated(record.experiment)
        if receipt.stored is not None:
            decided = await parts.runtime.answer(receipt.stored)
    else:
        raise ConflictError(_OTHER_REQUEST)
    return _answer(service, decided, text)


def _answer(service: Service, decided: Decided, text: str) -> DecisionAnswer:
    record = decided.record
    if record is None:
        raise AssertionError("an answer from the log has its record")
    token = None
    if service.parts.tokens is not None:
        token = service.parts.tokens.sign(
            record.decision_id, expires_ms=record.decided_at + TOKEN_LIFE_MS
        )
    return DecisionAnswer(
        decision_id=text,
        experiment=record.experiment,
        arm=record.arm,
        items=decided.items,
        propensities=decided.propensities,
        served_by=SERVED_WORDS[record.served_by],
        snapshot=record.snapshot,
        token=token,
    )


def _result(
    service: Service, found: DecisionAnswer | BaseException, request: DecisionRequest
) -> DecisionResult:
    if isinstance(found, DecisionAnswer):
        return DecisionResult(status=200, decision=found)
    problem, _ = problem_answer(found, request_id="", more=service.more_problems, hide=request.unit)
    service.metrics.problem(problem.code)
    return DecisionResult(status=problem.status, problem=problem)
