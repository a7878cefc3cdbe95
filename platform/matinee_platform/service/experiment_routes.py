"""The routes of experiments: create, start, ramp, stop, results, audit."""

from typing import Annotated, Literal, cast

from fastapi import Query
from starlette.responses import Response

from matinee_platform.experiments.definition import LiveExperiment
from matinee_platform.log_rows import COMPONENTS
from matinee_platform.service.answers import (
    ArmResults,
    AuditAnswer,
    AuditEntry,
    ExperimentAnswer,
    ExperimentsAnswer,
    LearnedArmAnswer,
    LearnUntilAnswer,
    ResultsAnswer,
)
from matinee_platform.service.errors import UnsupportedError
from matinee_platform.service.live_analysis import (
    RETRY_AFTER_SECONDS,
    AnalysisError,
    AnalysisPendingError,
)
from matinee_platform.service.parts import Caller, ExperimentState
from matinee_platform.service.requests import (
    AuditQuery,
    LearnUntilRequest,
    RampRequest,
    StartRequest,
)
from matinee_platform.service.route import Route
from matinee_platform.service.running import Service
from matinee_platform.service.service_metrics import SERVED_WORDS
from matinee_platform.storage.arm_counts import ArmCounts
from matinee_platform.storage.ports import EventReader
from matinee_platform.storage.records import ServedBy

_AS_DEFINED = StartRequest()
_CHANGE = ("not_found", "conflict")
_PENDING = {
    202: {
        "model": ResultsAnswer,
        "description": "The analysis is being made",
        "headers": {
            "Retry-After": {
                "description": "Seconds after which it may be there.",
                "schema": {"type": "integer", "minimum": 1},
            }
        },
    }
}


def experiment_routes(service: Service) -> list[Route]:
    """The routes."""

    async def list_experiments() -> ExperimentsAnswer:
        """All experiments, by key."""
        control = service.parts.control
        found = await service.threads.run(control.experiments)
        return ExperimentsAnswer(experiments=[_answer(one) for one in found])

    async def create_experiment(body: LiveExperiment, caller: Caller) -> ExperimentAnswer:
        """Add an experiment; it runs once it is started."""
        control = service.parts.control
        made = await service.threads.run(lambda: control.create(body, who=caller.key_id))
        return _answer(made)

    async def start_experiment(
        key: str, caller: Caller, body: StartRequest = _AS_DEFINED
    ) -> ExperimentAnswer:
        """Let units in. An experiment that ran before needs a new salt."""
        control = service.parts.control
        changed = await service.threads.run(
            lambda: control.start(key, salt=body.salt, coverage=body.coverage, who=caller.key_id)
        )
        await service.parts.changed()
        return _answer(changed)

    async def ramp_experiment(key: str, body: RampRequest, caller: Caller) -> ExperimentAnswer:
        """Let more units in; those inside keep their arm."""
        control = service.parts.control
        changed = await service.threads.run(
            lambda: control.ramp(key, coverage=body.coverage, who=caller.key_id)
        )
        await service.parts.changed()
        return _answer(changed)

    async def stop_experiment(key: str, caller: Caller) -> ExperimentAnswer:
        """Let no unit in any more. Rewards of decisions made before still come in."""
        control = service.parts.control
        changed = await service.threads.run(lambda: control.stop(key, who=caller.key_id))
        await service.parts.changed()
        return _answer(changed)

    async def learn_until(key: str, body: LearnUntilRequest, caller: Caller) -> LearnUntilAnswer:
        """Learn what has matured by a time of simulated users, and serve it from now on.

        Waits for some seconds; asked again, it waits on.
        """
        parts = service.parts
        if parts.learn_until is None:
            raise UnsupportedError("this service cannot have a simulated experiment learned")
        arms = await parts.learn_until(key, round(body.at.timestamp() * 1_000))
        return LearnUntilAnswer(
            experiment=key,
            reached=all(one.reached for one in arms),
            arms=[
                LearnedArmAnswer(
                    arm=one.arm,
                    reached=one.reached,
                    version=one.version,
                    snapshot_hash=one.snapshot_hash,
                )
                for one in arms
            ],
        )

    async def results(key: str) -> ResultsAnswer | Response:
        """Counts by arm since the last start, and what the declared analysis says of them.

        A start with a new salt assigns units anew: what was decided before it is no part of the
        comparison, and does not count. While the analysis is being made the answer is 202, with
        the counts alone.
        """
        parts = service.parts

        def count(reader: EventReader) -> tuple[int | None, int, list[ArmCounts]]:
            found = parts.control.experiment(key)
            upto = reader.last_seq()
            counts = parts.counts.arm_counts(
                key,
                windows=found.definition.windows_ms(),
                upto=upto,
                since_ms=found.started_at or 0,
                since_seq=found.started_seq,
            )
            return found.started_at, upto, list(counts)

        since, upto, counts = await service.threads.read(count)
        found = ResultsAnswer(
            experiment=key, since=since, upto=upto, arms=[_arm_results(one) for one in counts]
        )
        if parts.analysis is None:
            return found
        try:
            analysis = dict(await parts.analysis(key))
        except AnalysisPendingError as error:
            return _pending(found, note=str(error))
        except AnalysisError as error:
            return found.model_copy(update={"note": str(error)})
        if analysis.get("source", {}).get("since_ms", since) != since:
            # It is held for a while: one of a former start is no part of these counts.
            return _pending(found, note="the analysis since the last start is being made")
        return found.model_copy(update={"statistics": "analysis", "note": "", "analysis": analysis})

    async def audit(query: Annotated[AuditQuery, Query()]) -> AuditAnswer:
        """What was changed, by whom and when; oldest first."""
        control = service.parts.control
        lines = await service.threads.run(
            lambda: control.audit(after=query.after, limit=query.limit)
        )
        return AuditAnswer(
            entries=[
                AuditEntry(
                    number=line.number,
                    at=line.at,
                    who=line.who,
                    action=line.action,
                    subject=line.subject,
                    details=dict(line.details),
                )
                for line in lines
            ]
        )

    tag, one = "experiments", "/v1/experiments/{key}"
    return [
        Route(
            method="GET", path="/v1/experiments", endpoint=list_experiments, scope="read", tag=tag
        ),
        Route(
            method="POST",
            path="/v1/experiments",
            endpoint=create_experiment,
            scope="admin",
            problems=("conflict",),
            tag=tag,
        ),
        Route(
            method="POST",
            path=one + ":start",
            endpoint=start_experiment,
            scope="admin",
            problems=_CHANGE,
            tag=tag,
        ),
        Route(
            method="POST",
            path=one + ":ramp",
            endpoint=ramp_experiment,
            scope="admin",
            problems=_CHANGE,
            tag=tag,
        ),
        Route(
            method="POST",
            path=one + ":stop",
            endpoint=stop_experiment,
            scope="admin",
            problems=_CHANGE,
            tag=tag,
        ),
        Route(
            method="POST",
            path=one + ":learn-until",
            endpoint=learn_until,
            scope="admin",
            problems=(*_CHANGE, "unsupported"),
            tag=tag,
        ),
        Route(
            method="GET",
            path=one + "/results",
            endpoint=results,
            scope="read",
            problems=("not_found",),
            tag=tag,
            answer=ResultsAnswer,
            others=_PENDING,
        ),
        Route(method="GET", path="/v1/audit", endpoint=audit, scope="admin", tag=tag),
    ]


def _answer(found: ExperimentState) -> ExperimentAnswer:
    return ExperimentAnswer(
        state=cast("Literal['created', 'running', 'stopped']", str(found.state)),
        version=found.version,
        created_at=found.created_at,
        changed_at=found.changed_at,
        definition=found.definition,
    )


def _pending(found: ResultsAnswer, *, note: str) -> Response:
    """The counts, until the analysis is there."""
    told = found.model_copy(
        update={"statistics": "pending", "note": note, "retry_after": RETRY_AFTER_SECONDS}
    )
    return Response(
        told.model_dump_json(),
        status_code=202,
        headers={"retry-after": str(RETRY_AFTER_SECONDS)},
        media_type="application/json",
    )


def _arm_results(counts: ArmCounts) -> ArmResults:
    return ArmResults(
        arm=counts.arm,
        exposed_units=counts.units,
        decisions=sum(counts.served_by.values()),
        served_by={SERVED_WORDS[ServedBy(code)]: n for code, n in counts.served_by.items()},
        rewards={COMPONENTS[code]: n for code, n in counts.rewards.items()},
        reward_sums={COMPONENTS[code]: value for code, value in counts.reward_sums.items()},
    )
