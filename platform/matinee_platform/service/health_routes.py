"""The routes for machines that watch the service: alive, ready, metrics."""

import asyncio

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from matinee_platform.service.answers import Health, Readiness
from matinee_platform.service.route import Route
from matinee_platform.service.running import Service


def health_routes(service: Service) -> list[Route]:
    """The routes."""

    async def healthz() -> Health:
        """Whether the process answers; no database is asked."""
        return Health()

    async def readyz() -> Response:
        """Whether requests should come here: ready and degraded are 200, starting and down 503."""
        verdict = service.verdict()
        answer = Readiness(state=verdict.state, reasons=list(verdict.reasons))
        return Response(
            answer.model_dump_json(), status_code=verdict.status, media_type="application/json"
        )

    async def metrics() -> Response:
        """Prometheus metrics."""
        # In a thread: a large scrape takes longer than a decision may wait.
        text = await asyncio.to_thread(service.metrics.text, service.verdict())
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    return [
        Route(method="GET", path="/healthz", endpoint=healthz, scope=None),
        Route(method="GET", path="/readyz", endpoint=readyz, scope=None, answer=Readiness),
        Route(method="GET", path="/metrics", endpoint=metrics, scope="read", content="text/plain"),
    ]
