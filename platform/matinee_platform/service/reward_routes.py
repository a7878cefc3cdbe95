"""The route that takes rewards: one or many."""

from matinee_platform.service.answers import RewardAnswer, RewardsAnswer
from matinee_platform.service.decision_names import decision_number
from matinee_platform.service.digests import reward_digest, reward_key
from matinee_platform.service.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    RewardCapError,
)
from matinee_platform.service.parts import Caller
from matinee_platform.service.problems import problem_answer
from matinee_platform.service.request_rules import check_rewards
from matinee_platform.service.requests import OneOrMoreRewards, RewardRequest, milliseconds
from matinee_platform.service.route import Route
from matinee_platform.service.running import Service
from matinee_platform.service.service_metrics import REWARD_WORDS
from matinee_platform.service.simulated_rewards import time_faults
from matinee_platform.storage.records import Outcome, RewardReceipt, RewardRecord
from matinee_policies.errors import MatineeError


def reward_routes(service: Service) -> list[Route]:
    """The route."""

    async def reward(body: OneOrMoreRewards, caller: Caller) -> RewardAnswer | RewardsAnswer:
        """Take in what happened after a decision.

        One reward is answered by itself: a conflict is 409, one beyond the cap 422. Of many, each
        has an outcome of its own.
        """
        rewards = check_rewards(body, service.limits)
        service.gate.spend(caller, len(rewards) - 1)
        alone = isinstance(body, RewardRequest)
        found = await _take_in(service, rewards)
        if not alone:
            return RewardsAnswer(
                results=[
                    one if isinstance(one, RewardAnswer) else _refused(service, one, request)
                    for one, request in zip(found, rewards, strict=True)
                ]
            )
        if isinstance(found[0], MatineeError):
            raise found[0]
        return found[0]

    return [
        Route(
            method="POST",
            path="/v1/rewards",
            endpoint=reward,
            scope="reward",
            problems=("conflict", "reward_cap", "log_busy", "log_unavailable"),
            tag="rewards",
        )
    ]


async def _take_in(
    service: Service, rewards: list[RewardRequest]
) -> list[RewardAnswer | MatineeError]:
    """Append those that may come in; one outcome for each."""
    parts, now_ms = service.parts, service.clock.now_ms()
    numbers = [decision_number(one.decision_id, key=parts.secrets.decision_ids) for one in rewards]
    asked = [(number, one.at is not None) for one, number in zip(rewards, numbers, strict=True)]
    faults = await time_faults(service, set(asked))
    found: list[RewardAnswer | MatineeError] = []
    for one, (number, brings_time) in zip(rewards, asked, strict=True):
        if (number, brings_time) in faults:
            found.append(faults[number, brings_time])
        elif parts.tokens is not None and not parts.tokens.valid(
            one.token or "", decision_id=number, now_ms=milliseconds(one.at) or now_ms
        ):
            found.append(ForbiddenError("the token is missing, over, or of another decision"))
        else:
            found.append(RewardAnswer(id=one.id, outcome="stored", state=None))
    let_in = [place for place, one in enumerate(found) if isinstance(one, RewardAnswer)]
    if let_in:
        records = [
            _record(service, rewards[place], numbers[place], now_ms=now_ms) for place in let_in
        ]
        receipts = await parts.appender.append_rewards(records)
        for place, receipt in zip(let_in, receipts, strict=True):
            found[place] = _outcome(service, rewards[place], receipt)
    for place, outcome in enumerate(found):
        if isinstance(outcome, ForbiddenError | InvalidError):
            service.metrics.reward(rewards[place].component, "refused")
    return found


def _record(service: Service, request: RewardRequest, number: int, *, now_ms: int) -> RewardRecord:
    key = service.parts.secrets.digests
    at = milliseconds(request.at)
    return RewardRecord(
        reward_key=reward_key(request, key=key),
        body_digest=reward_digest(request, key=key),
        decision_id=number,
        component=request.component_code,
        slot=request.slot_code,
        value=request.value,
        received_at=now_ms if at is None else at,
        occurred_at=milliseconds(request.occurred_at),
    )


def _outcome(
    service: Service, request: RewardRequest, receipt: RewardReceipt
) -> RewardAnswer | MatineeError:
    state = None if receipt.state is None else REWARD_WORDS[receipt.state]
    count = service.metrics.reward
    match receipt.outcome:
        case Outcome.STORED:
            count(request.component, state or "unjudged")
            return RewardAnswer(id=request.id, outcome="stored", state=state)
        case Outcome.REPEATED:
            count(request.component, "repeated")
            return RewardAnswer(id=request.id, outcome="repeated", state=state)
        case Outcome.CONFLICT:
            count(request.component, "conflict")
            return ConflictError("the id of the reward was used before, with another content")
        case Outcome.CAPPED:
            count(request.component, "refused")
            return RewardCapError(
                "the decision has as many rewards as it may have: "
                f"{service.limits.rewards_per_decision}"
            )


def _refused(service: Service, error: MatineeError, request: RewardRequest) -> RewardAnswer:
    problem, _ = problem_answer(error, request_id="")
    service.metrics.problem(problem.code)
    return RewardAnswer(
        id=request.id,
        outcome="conflict" if isinstance(error, ConflictError) else "refused",
        state=None,
        problem=problem,
    )
