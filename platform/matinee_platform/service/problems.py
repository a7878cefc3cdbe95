"""Problems as answers (RFC 9457): body and headers, and their place in the OpenAPI document."""

import json
import re
from collections.abc import Mapping
from typing import Any

from matinee_platform.service.answers import Fault, Problem
from matinee_platform.service.errors import PROBLEMS, ServiceError, problem_of
from matinee_platform.service.errors import Problem as Kind

MEDIA_TYPE = "application/problem+json"

_SHORT = 8
"""Characters of a text that a message may hold by chance."""

_BY_CODE = {kind.code: kind for kind in PROBLEMS}


def problem_answer(
    error: BaseException,
    *,
    request_id: str,
    more: Mapping[type[BaseException], Kind] | None = None,
    hide: str | None = None,
) -> tuple[Problem, dict[str, str]]:
    """The answer to an error, and the headers that belong to it.

    Args:
        error: what was raised.
        request_id: of the request.
        more: kinds of problems beyond the table.
        hide: text that must not appear, such as the id of a unit.
    """
    kind = problem_of(error, more=more)
    detail = kind.title if kind.status == 500 else str(error)
    if hide and _names(detail, hide):
        detail = kind.title
    faults = error.faults if isinstance(error, ServiceError) else ()
    retry_after = error.retry_after if isinstance(error, ServiceError) else None
    retry_after = retry_after if retry_after is not None else kind.retry_after
    answer = Problem(
        title=kind.title,
        status=kind.status,
        code=kind.code,
        detail=detail,
        request_id=request_id,
        faults=[Fault(where=one.where, rule=one.rule) for one in faults],
    )
    headers = {} if retry_after is None else {"retry-after": str(retry_after)}
    if kind.status == 401:
        headers["www-authenticate"] = "Bearer"
    if kind.status == 413:
        headers["connection"] = "close"
    return answer, headers


def _names(detail: str, text: str) -> bool:
    """Whether a message names a text of the caller's.

    A short word or number counts in quotes alone, as messages give what callers sent: rules have
    words and numbers of their own, and `1` is within 1 and 10.
    """
    if len(text) <= _SHORT and text.isalnum():
        return f"'{text}'" in detail
    return re.search(rf"(?<!\w){re.escape(text)}(?!\w)", detail) is not None


def documented(*codes: str) -> dict[int | str, dict[str, Any]]:
    """Responses of a route for its OpenAPI entry: one per status, an example per code."""
    responses: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        kind = _BY_CODE[code]
        response = responses.setdefault(
            kind.status,
            {
                "description": kind.title,
                "content": {
                    MEDIA_TYPE: {
                        "schema": {"$ref": "#/components/schemas/Problem"},
                        "examples": {},
                    }
                },
            },
        )
        example = Problem(
            title=kind.title,
            status=kind.status,
            code=code,
            detail=kind.title,
            request_id="5f2c0a9e00000017",
        )
        response["content"][MEDIA_TYPE]["examples"][code] = {
            "summary": kind.title,
            "value": json.loads(example.model_dump_json()),
        }
        if kind.retry_after is not None:
            response["headers"] = {
                "Retry-After": {
                    "description": "Seconds after which another try makes sense.",
                    "schema": {"type": "integer", "minimum": 1},
                }
            }
    return responses
