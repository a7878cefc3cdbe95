"""The application: routes, OpenAPI document, and the life of its parts."""

import functools
import gc
import inspect
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, FastAPI, Response
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import BaseRoute
from starlette.routing import Route as PathRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from structlog.typing import FilteringBoundLogger

from matinee_platform.clock import Clock
from matinee_platform.service.admin_routes import admin_routes
from matinee_platform.service.answers import Problem
from matinee_platform.service.decision_routes import decision_routes
from matinee_platform.service.edge import REQUEST_ID, Edge
from matinee_platform.service.errors import METHOD, NOT_FOUND
from matinee_platform.service.examples import EXAMPLES
from matinee_platform.service.experiment_routes import experiment_routes
from matinee_platform.service.guarded_protocol import LEAVE, TURN_AWAY
from matinee_platform.service.health_routes import health_routes
from matinee_platform.service.log_lines import service_log
from matinee_platform.service.overload import Overload, RequestIds
from matinee_platform.service.parts import ServiceParts
from matinee_platform.service.problems import MEDIA_TYPE, documented
from matinee_platform.service.record_routes import record_routes
from matinee_platform.service.request_lines import RequestLines
from matinee_platform.service.reward_routes import reward_routes
from matinee_platform.service.route import Route, route_app
from matinee_platform.service.running import Service
from matinee_platform.service.settings import ServiceSettings

_GENERATIONS = (50_000, 20, 100)
"""Thresholds of garbage collection: what a request leaves is freed by reference counts."""

_SWITCH_SECONDS = 0.0005
"""How long the thread that writes the log may wait for its turn to run Python; 5 ms by default."""

OPENAPI_PATH = "/v1/openapi.json"


class _Application(FastAPI):
    """Hands requests to its layers at once: what FastAPI would add before them is not used here."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or start and end."""
        if scope["type"] == "http" and self.middleware_stack is not None:
            scope["app"] = self
            await self.middleware_stack(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def create_app(
    settings: ServiceSettings,
    *,
    clock: Clock,
    parts: ServiceParts | None = None,
    log: FilteringBoundLogger | None = None,
) -> FastAPI:
    """The service as an ASGI application.

    Nothing is opened here: the application's lifespan opens and closes.

    Args:
        settings: of the service.
        clock: tells the time.
        parts: what routes call; built by the settings (`compose.py`) if not given.
        log: takes the service's lines; standard error if not given.

    Example:
        >>> from pathlib import Path
        >>> from matinee_platform.clock import SystemClock
        >>> app = create_app(ServiceSettings(data_dir=Path("data")), clock=SystemClock())
        >>> "/v1/decisions" in app.openapi()["paths"]
        True
    """
    service = Service(settings, clock=clock, log=service_log() if log is None else log)
    ids, lines = RequestIds(), RequestLines(service.log) if settings.request_lines else None
    overload = Overload(settings.limits.in_flight, metrics=service.metrics, ids=ids, lines=lines)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        built = parts
        if built is None:
            from matinee_platform.service.compose import open_parts

            built = await open_parts(settings, clock=clock, log=service.log)
        service.run(built)
        # What start-up made lives as long as the process: no collection need look at it.
        before = gc.get_threshold()
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_GENERATIONS)
        patience = sys.getswitchinterval()
        sys.setswitchinterval(_SWITCH_SECONDS)
        try:
            # Called by the protocol: when the server begins to stop, and before a request is begun.
            yield {LEAVE: service.leave, TURN_AWAY: overload}
        finally:
            await service.stop()
            sys.setswitchinterval(patience)
            gc.set_threshold(*before)
            gc.unfreeze()

    app = _Application(
        title="matinee",
        version=version("matinee"),
        summary="Bandit decisions, rewards and experiments.",
        lifespan=lifespan,
        openapi_url=None,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
    )
    app.add_exception_handler(HTTPException, functools.partial(_http_problem, service))
    routes = service_routes(service)
    routes.append(_openapi_route(app, service, routes))
    direct: dict[tuple[str, str], ASGIApp] = {}
    for route in routes:
        answering = route_app(route, service)
        app.router.routes.append(_answered(route, answering))
        if "{" not in route.path:
            direct[route.method, route.path] = answering
    other_layers = app.build_middleware_stack

    def layers() -> ASGIApp:
        return Edge(
            other_layers(),
            direct=direct,
            metrics=service.metrics,
            body_bytes=settings.limits.body_bytes,
            overload=overload,
            ids=ids,
            report=lambda request_id, error, where: service.log.error(
                "exception", request_id=request_id, error=type(error).__name__, places=where
            ),
            lines=lines,
        )

    app.build_middleware_stack = layers  # type: ignore[method-assign]
    return app


def service_routes(service: Service) -> list[Route]:
    """All routes; those that are asked for most come first, as they are looked through in order."""
    return [
        *decision_routes(service),
        *reward_routes(service),
        *record_routes(service),
        *experiment_routes(service),
        *admin_routes(service),
        *health_routes(service),
    ]


def _answered(route: Route, answering: ASGIApp) -> BaseRoute:
    """A route that hands its requests over at once."""
    answered = PathRoute(route.path, route.endpoint)
    answered.methods = {route.method}
    answered.app = answering
    return answered


def _document(router: APIRouter, route: Route) -> None:
    """Have FastAPI know a route as it shall be described."""
    problems = ["internal"]
    if route.scope is not None:
        problems += ["unauthenticated", "forbidden", "rate_limited", "not_ready", "overloaded"]
        problems += ["invalid"]
    if route.method == "POST":
        problems += ["not_json", "too_deep", "too_large", "media_type"]
    responses = documented(*problems, *route.problems)
    responses.update((status, dict(described)) for status, described in route.others.items())
    if route.content is not None:
        responses[200] = {"content": {route.content: {"schema": {"type": "string"}}}}
    options: dict[str, Any] = {} if route.answer is None else {"response_model": route.answer}
    if route.content is not None:
        options["response_class"] = Response
    router.add_api_route(
        route.path,
        _shown(route.endpoint),
        methods=[route.method],
        tags=[route.tag],
        responses=responses,
        **options,
    )


def _shown(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """The endpoint as FastAPI documents it: without the caller, who is no part of a request."""
    signature = inspect.signature(endpoint)

    @functools.wraps(endpoint)
    async def shown(**values: Any) -> Any:
        return await endpoint(**values)

    shown.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[one for name, one in signature.parameters.items() if name != "caller"]
    )
    return shown


def _openapi_route(app: FastAPI, service: Service, routes: list[Route]) -> Route:
    async def openapi() -> Response:
        """This description of the service."""
        from starlette.responses import JSONResponse

        return JSONResponse(app.openapi())

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            # When first asked for: FastAPI looks at every model of every route, and a start waits.
            router = APIRouter()
            for route in routes:
                _document(router, route)
            made = get_openapi(
                title=app.title, version=app.version, summary=app.summary, routes=router.routes
            )
            app.openapi_schema = _finished(made, service)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]
    return Route(
        method="GET", path=OPENAPI_PATH, endpoint=openapi, scope=None, content="application/json"
    )


def _finished(document: dict[str, Any], service: Service) -> dict[str, Any]:
    """Add problems and keys, and put this service's own limits in."""
    schemas = document["components"]["schemas"]
    made = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(made.pop("$defs", {}))
    schemas["Problem"] = made
    for name, example in EXAMPLES.items():
        schemas[name]["examples"] = [example]
    document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"key": []}, {}]
    _put_limits(document, service)
    return document


def _put_limits(node: Any, service: Service) -> None:
    if isinstance(node, list):
        for one in node:
            _put_limits(one, service)
    if not isinstance(node, dict):
        return
    name = node.pop("x-limit", None)
    if name is not None:
        value = getattr(service.limits, name)
        for word in ("maxLength", "maxItems"):
            if word in node:
                node[word] = value
    for one in node.values():
        _put_limits(one, service)


async def _http_problem(service: Service, request: Request, error: Exception) -> Response:
    """Paths and methods that no route has."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    kind = METHOD if status == 405 else NOT_FOUND
    service.metrics.problem(kind.code)
    answer = Problem(
        title=kind.title,
        status=kind.status,
        code=kind.code,
        detail=kind.title,
        request_id=request.scope[REQUEST_ID],
    )
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    return Response(answer.model_dump_json(), kind.status, headers, MEDIA_TYPE)
