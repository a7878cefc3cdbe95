"""The routes that look at one logged decision: as it is, taken again, explained."""

from collections.abc import Mapping
from typing import Any

from matinee_platform.log_rows import COMPONENTS
from matinee_platform.service.answers import (
    DecisionView,
    ExplanationAnswer,
    ReplayAnswer,
    RewardView,
)
from matinee_platform.service.decision_names import decision_number, decision_text
from matinee_platform.service.errors import NotFoundError, UnsupportedError
from matinee_platform.service.parts import Replayed
from matinee_platform.service.route import Route
from matinee_platform.service.running import Service
from matinee_platform.service.service_metrics import SERVED_WORDS
from matinee_platform.serving.asks import Decided
from matinee_platform.storage.ports import EventReader
from matinee_platform.storage.records import LoggedDecision, LoggedReward


def record_routes(service: Service) -> list[Route]:
    """The routes."""

    async def decision(decision_id: str) -> DecisionView:
        """A decision as the log has it, with its rewards."""
        parts = service.parts

        def look(reader: EventReader) -> tuple[LoggedDecision, list[LoggedReward]]:
            logged = _logged(service, reader, decision_id)
            return logged, reader.rewards_of([logged.record.decision_id])

        logged, rewards = await service.threads.read(look)
        return _view(logged, await parts.runtime.answer(logged.record), rewards)

    async def replay(decision_id: str) -> ReplayAnswer:
        """Take a decision again from its row and its snapshot, and compare."""
        take_again = service.parts.replay
        if take_again is None:
            raise UnsupportedError("this service was set up without replay")

        def call(reader: EventReader) -> tuple[LoggedDecision, Replayed]:
            logged = _logged(service, reader, decision_id)
            return logged, take_again(logged)

        logged, found = await service.threads.read(call)
        again = await service.parts.runtime.answer(found.record)
        return ReplayAnswer(
            decision_id=decision_text(logged.record.decision_id),
            equal=found.equal,
            items=again.items,
            propensities=again.propensities,
            note=found.note,
        )

    async def explain(decision_id: str) -> ExplanationAnswer:
        """Tell how a decision came about: values, redundancy, probabilities, the draw."""
        tell = service.parts.explain
        if tell is None:
            raise UnsupportedError("this service was set up without explanations")

        def call(reader: EventReader) -> tuple[LoggedDecision, Mapping[str, Any]]:
            logged = _logged(service, reader, decision_id)
            return logged, tell(logged, reader)

        logged, told = await service.threads.read(call)
        return ExplanationAnswer(
            decision_id=decision_text(logged.record.decision_id), explanation=dict(told)
        )

    one = "/v1/decisions/{decision_id}"
    return [
        Route(
            method="GET",
            path=path,
            endpoint=endpoint,
            scope="read",
            problems=problems,
            tag="decisions",
        )
        for path, endpoint, problems in (
            (one, decision, ("not_found", "gone")),
            (one + "/replay", replay, ("not_found", "gone", "unsupported")),
            (one + "/explain", explain, ("not_found", "gone", "unsupported")),
        )
    ]


def _logged(service: Service, reader: EventReader, decision_id: str) -> LoggedDecision:
    number = decision_number(decision_id, key=service.parts.secrets.decision_ids)
    logged = reader.decision(number)
    if logged is None:
        raise NotFoundError("there is no decision of this id in the log")
    return logged


def _view(logged: LoggedDecision, decided: Decided, rewards: list[LoggedReward]) -> DecisionView:
    record = logged.record
    return DecisionView(
        decision_id=decision_text(record.decision_id),
        seq=logged.seq,
        experiment=record.experiment,
        arm=record.arm,
        unit=f"{record.unit:016x}",
        bucket=record.bucket,
        decided_at=record.decided_at,
        page=record.page,
        snapshot=record.snapshot,
        feature_version=record.feature_version,
        catalogue_version=f"{record.catalogue_version:016x}",
        served_by=SERVED_WORDS[record.served_by],
        items=decided.items,
        propensities=decided.propensities,
        rewards=[
            RewardView(
                seq=one.seq,
                component=COMPONENTS[one.record.component],
                slot=None if one.record.slot < 0 else one.record.slot,
                value=one.record.value,
                received_at=one.record.received_at,
                occurred_at=one.record.occurred_at,
            )
            for one in rewards
        ],
    )
