"""One way in for every route: let in, parse, call, answer.

FastAPI knows the routes and writes their OpenAPI document. Requests go a shorter way than its
own: there is no tree of dependencies, and pydantic parses and checks a body straight from its
bytes, and writes the answer straight to bytes.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qsl

from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from matinee_platform.service.edge import HEADERS, REQUEST_ID, ROUTE
from matinee_platform.service.errors import (
    Fault,
    InvalidError,
    MediaTypeError,
    NotJsonError,
    ServiceError,
)
from matinee_platform.service.parts import Scope
from matinee_platform.service.path_slashes import is_utf8, part_of_path
from matinee_platform.service.problems import MEDIA_TYPE, problem_answer
from matinee_platform.service.request_rules import check_depth, check_id
from matinee_platform.service.running import Service
from matinee_platform.service.settings import Limits
from matinee_policies.errors import MatineeError

_MOST_FAULTS = 10
_JSON = b"application/json"
_CONTENT_TYPE = (b"content-type", _JSON)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One route.

    Attributes:
        method: of HTTP.
        path: template.
        endpoint: a coroutine function whose return type is the answer's model, or that gives a
            `Response`. Of its arguments, `body` and `query` are models, `caller` is who calls,
            every other one is a part of the path. A `body` with a default need not be sent.
        scope: what the API key must allow; None lets everybody in.
        problems: codes of the problems that are its own.
        tag: heading in the OpenAPI document.
        answer: model of the answer, of an endpoint that gives a `Response`.
        content: media types of an answer that is not JSON.
        others: further statuses that are no problem, as FastAPI describes responses.
    """

    method: Literal["GET", "POST"]
    path: str
    endpoint: Callable[..., Awaitable[Any]]
    scope: Scope | None
    problems: tuple[str, ...] = ()
    tag: str = "service"
    answer: type[BaseModel] | None = None
    content: str | None = None
    others: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)


def route_app(route: Route, service: Service) -> ASGIApp:
    """The ASGI application that answers a route."""
    parameters = inspect.signature(route.endpoint, eval_str=True).parameters
    body: TypeAdapter[Any] | None = None
    unsent: Any = inspect.Parameter.empty
    if "body" in parameters:
        annotation: Any = parameters["body"].annotation
        body = TypeAdapter(annotation)
        unsent = parameters["body"].default
    query = parameters["query"].annotation if "query" in parameters else None
    query_model: type[BaseModel] | None = None
    if query is not None:
        query_model = query.__origin__ if hasattr(query, "__metadata__") else query
    wants_caller = "caller" in parameters
    from_path = [name for name in parameters if name not in ("body", "query", "caller")]
    endpoint = route.endpoint
    limits = service.limits

    async def arguments(scope: AsgiScope, receive: Receive) -> dict[str, Any] | None:
        """What the endpoint is called with; None if the caller went away."""
        values: dict[str, Any] = {}
        headers = scope[HEADERS]
        if route.scope is not None:
            gate = service.gate
            caller = gate.admit(headers, route.scope)
            gate.spend(caller, 1)
            if wants_caller:
                values["caller"] = caller
        for name in from_path:
            values[name] = _from_path(scope, name, limits)
        if query_model is not None:
            values["query"] = _query(query_model, scope["query_string"])
        if body is not None:
            kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
            if kind != _JSON and unsent is inspect.Parameter.empty:
                raise _media_type()
            sent = await _read(receive)
            if sent is None:
                return None
            if not sent and unsent is not inspect.Parameter.empty:
                values["body"] = unsent
            elif kind != _JSON:
                raise _media_type()
            else:
                values["body"] = parse(body, sent, limits)
        return values

    async def app(scope: AsgiScope, receive: Receive, send: Send) -> None:
        scope[ROUTE] = route.path
        values: dict[str, Any] | None = None
        try:
            values = await arguments(scope, receive)
            if values is None:
                return
            answer = await endpoint(**values)
        except MatineeError as error:
            await _send_problem(error, service, scope, send, hide=_unit_of(values))
            return
        if isinstance(answer, Response):
            await answer(scope, receive, send)
            return
        payload = answer.__pydantic_serializer__.to_json(answer)
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [_CONTENT_TYPE, (b"content-length", b"%d" % len(payload))],
            }
        )
        await send({"type": "http.response.body", "body": payload})

    return app


def _media_type() -> MediaTypeError:
    return MediaTypeError("send the body with Content-Type: application/json")


def parse(adapter: TypeAdapter[Any], body: bytes, limits: Limits) -> Any:
    """A body as its model.

    Raises:
        NotJsonError: it is no JSON.
        TooDeepError: it is nested too deeply.
        InvalidError: it breaks rules; they are named, what was sent is not.
    """
    try:
        return adapter.validate_json(body)
    except ValidationError as error:
        refused = error
    check_depth(body, limits)
    raise _refusal(refused) from None


def _refusal(error: ValidationError) -> ServiceError:
    found = error.errors(include_url=False, include_input=False, include_context=False)
    if found[0]["type"] == "json_invalid":
        return NotJsonError("the body is not valid JSON in UTF-8")
    faults = []
    for one in found[:_MOST_FAULTS]:
        where = [str(part) for part in one["loc"] if part not in ("one", "many")]
        rule = one["msg"].removeprefix("Value error, ")
        if one["type"] == "extra_forbidden":
            # The name itself is the caller's text.
            where, rule = where[:-1], "there is a field that is not known"
        faults.append(Fault(".".join(where) or "body", rule))
    first = faults[0]
    return InvalidError(f"{first.where}: {first.rule}", faults=tuple(faults))


def _query(model: type[BaseModel], sent: bytes) -> BaseModel:
    try:
        pairs = parse_qsl(sent.decode("latin-1"), keep_blank_values=True, max_num_fields=20)
        return model.model_validate(dict(pairs))
    except ValidationError as error:
        raise _refusal(error) from None
    except ValueError:
        raise InvalidError("query: there are too many parameters") from None


def _from_path(scope: AsgiScope, name: str, limits: Limits) -> str:
    text = part_of_path(scope, name)
    check_id(text, limits)
    if "\ufffd" in text and not is_utf8(scope):
        raise InvalidError("path: it must be UTF-8")
    return text


async def _read(receive: Receive) -> bytes | None:
    """The whole body; None if the caller went away."""
    message = await receive()
    if message["type"] == "http.disconnect":
        return None
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        return body
    parts = [body]
    while message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
    return b"".join(parts)


def _unit_of(values: dict[str, Any] | None) -> str | None:
    unit = getattr((values or {}).get("body"), "unit", None)
    return unit if isinstance(unit, str) else None


async def _send_problem(
    error: MatineeError, service: Service, scope: AsgiScope, send: Send, *, hide: str | None
) -> None:
    answer, extra = problem_answer(
        error, request_id=scope[REQUEST_ID], more=service.more_problems, hide=hide
    )
    service.metrics.problem(answer.code)
    if answer.status >= 500:
        service.log.warning("problem", code=answer.code, request_id=answer.request_id)
    payload = answer.model_dump_json().encode()
    headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", b"%d" % len(payload))]
    headers += [(name.encode(), value.encode()) for name, value in extra.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": payload})
