"""The outermost layer of every request: its number, its size, its count, its time, its headers.

Pure ASGI. A body that is announced as too large is refused before a byte of it is read; one that
is not announced is read up to the limit and no further.
"""

from collections.abc import Callable, Mapping
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from matinee_platform.service.errors import TooLargeError
from matinee_platform.service.log_lines import places
from matinee_platform.service.overload import (
    ALWAYS_ANSWERED,
    SECURITY_HEADERS,
    Overload,
    RequestIds,
    problem_headers,
    start,
)
from matinee_platform.service.path_slashes import keep_slashes
from matinee_platform.service.problems import problem_answer
from matinee_platform.service.request_lines import RequestLines
from matinee_platform.service.service_metrics import UNMATCHED, ServiceMetrics
from matinee_policies.errors import MatineeError

HEADERS = "matinee.headers"
"""Key of the request's headers in the scope, as a dict; of a repeated one, the last."""

REQUEST_ID = "matinee.request_id"
ROUTE = "matinee.route"
"""Key of the template of the route, set by the route."""

Report = Callable[[str, BaseException, list[str]], None]
"""Told of an exception that nobody foresaw: request id, exception, places."""


class Edge:
    """Wraps the application.

    Args:
        app: what is wrapped.
        direct: applications that answer a method and path themselves, past all other layers.
        metrics: counts requests.
        body_bytes: most bytes of a body.
        overload: turns requests away when there are too many.
        ids: of requests.
        report: told of exceptions that nobody foresaw.
        lines: writes a line for each request; None writes none.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        direct: Mapping[tuple[str, str], ASGIApp],
        metrics: ServiceMetrics,
        body_bytes: int,
        overload: Overload,
        ids: RequestIds,
        report: Report,
        lines: RequestLines | None = None,
    ) -> None:
        self._app = app
        self._direct = direct
        self._metrics = metrics
        self._body_bytes = body_bytes
        self._overload = overload
        self._report = report
        self._lines = lines
        self._ids = ids

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = perf_counter()
        metrics = self._metrics
        request_id = self._ids.next()
        headers = scope[HEADERS] = dict(scope["headers"])
        scope[REQUEST_ID] = request_id
        keep_slashes(scope)
        status = 0
        method, path = scope["method"], scope["path"]
        without_body = method == "HEAD" and path in ALWAYS_ANSWERED

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", ()),
                    *SECURITY_HEADERS,
                    (b"x-request-id", request_id.encode()),
                ]
            elif without_body:
                message["body"] = b""
            await send(message)

        metrics.in_flight += 1
        try:
            if self._overload.turns_away(path):
                status = self._overload.status
                await self._overload.send(request_id, send)
                return
            app = self._direct.get(("GET" if without_body else method, path), self._app)
            await app(scope, self._bounded(headers, receive), send_on)
        except Exception as error:
            if not isinstance(error, MatineeError):
                self._report(request_id, error, places(error))
            if status == 0:
                await self._send_problem(error, request_id, send_on)
        finally:
            metrics.in_flight -= 1
            # 499 as other servers write it: the caller went away before there was an answer.
            route, seconds = scope.get(ROUTE, UNMATCHED), perf_counter() - started
            metrics.answered(route, method, status or 499, seconds)
            if self._lines is not None:
                self._lines.answered(
                    request_id,
                    headers,
                    route=route,
                    method=method,
                    status=status or 499,
                    seconds=seconds,
                )

    def _bounded(self, headers: dict[bytes, bytes], receive: Receive) -> Receive:
        """What reads the body, up to the limit; the server holds callers to announced lengths."""
        announced = headers.get(b"content-length")
        if announced is not None:
            # As many digits as the limit has are enough to compare; longer numbers are larger.
            if not announced.isdigit() or len(announced) > 18 or int(announced) > self._body_bytes:
                raise self._too_large()
            return receive
        if b"transfer-encoding" not in headers:
            return receive
        read = 0

        async def receive_on() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._body_bytes:
                raise self._too_large()
            return message

        return receive_on

    def _too_large(self) -> TooLargeError:
        return TooLargeError(f"a body must have at most {self._body_bytes} bytes")

    async def _send_problem(self, error: Exception, request_id: str, send: Send) -> None:
        answer, extra = problem_answer(error, request_id=request_id)
        self._metrics.problem(answer.code)
        body = answer.model_dump_json().encode()
        await send(start(answer.status, problem_headers(extra), body))
        await send({"type": "http.response.body", "body": body})
