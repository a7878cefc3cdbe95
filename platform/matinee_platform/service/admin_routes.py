"""The routes that remove rows for good: forget a unit, keep to the retention."""

from matinee_platform.service.answers import ForgetAnswer, RetentionAnswer
from matinee_platform.service.parts import Caller
from matinee_platform.service.request_rules import check_id
from matinee_platform.service.requests import ForgetRequest, RetentionRequest
from matinee_platform.service.route import Route
from matinee_platform.service.running import Service

_DAY_MS = 86_400_000
_OF_SETTINGS = RetentionRequest()


def admin_routes(service: Service) -> list[Route]:
    """The routes."""

    async def forget(body: ForgetRequest, caller: Caller) -> ForgetAnswer:
        """Remove everything that is kept of a unit; the audit says so, by its pseudonym."""
        check_id(body.unit, service.limits)
        maintenance = service.parts.maintenance
        removed = await service.threads.run(
            lambda: maintenance.forget(body.unit, who=caller.key_id)
        )
        return ForgetAnswer(
            decisions=removed.decisions, rewards=removed.rewards, settled=removed.settled
        )

    async def retention(caller: Caller, body: RetentionRequest = _OF_SETTINGS) -> RetentionAnswer:
        """Delete raw events that are older than the retention allows."""
        maintenance = service.parts.maintenance
        days = service.settings.retention_days if body.days is None else body.days
        before = service.clock.now_ms() - days * _DAY_MS
        removed = await service.threads.run(
            lambda: maintenance.retain(before_ms=before, who=caller.key_id)
        )
        return RetentionAnswer(
            decisions=removed.decisions,
            rewards=removed.rewards,
            settled=removed.settled,
            before=before,
        )

    return [
        Route(
            method="POST",
            path="/v1/admin/forget",
            endpoint=forget,
            scope="admin",
            problems=("log_unavailable",),
            tag="admin",
        ),
        Route(
            method="POST",
            path="/v1/admin/retention",
            endpoint=retention,
            scope="admin",
            problems=("log_unavailable",),
            tag="admin",
        ),
    ]
