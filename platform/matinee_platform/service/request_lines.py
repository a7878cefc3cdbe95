"""A line for every request, for whoever wants to follow one: off unless the settings want it.

A line has the id that the answer has in `X-Request-Id`, the caller's trace id if it sent one (W3C
Trace Context, `traceparent`), the route as the OpenAPI document names it, the method, the status
and the time. No address, no path as sent, no id of a unit, a decision or a reward.
"""

import re
from collections.abc import Mapping
from typing import Any

from structlog.typing import FilteringBoundLogger

from matinee_platform.service.service_metrics import METHODS

_TRACE_PARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}\Z")


class RequestLines:
    """Writes a line for each request.

    Args:
        log: takes the lines.
    """

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log

    def answered(
        self,
        request_id: str,
        headers: Mapping[bytes, bytes],
        *,
        route: str,
        method: str,
        status: int,
        seconds: float,
    ) -> None:
        """A request was answered.

        Args:
            request_id: as the answer has it.
            headers: of the request.
            route: template of its path.
            method: of HTTP.
            status: of the answer.
            seconds: that it took.
        """
        line: dict[str, Any] = {"request_id": request_id}
        trace = trace_id(headers.get(b"traceparent", b""))
        if trace is not None:
            line["trace_id"] = trace
        line["route"] = route
        line["method"] = method if method in METHODS else "other"
        self._log.info("request", **line, status=status, ms=round(1_000.0 * seconds, 3))


def trace_id(parent: bytes) -> str | None:
    """The trace that a `traceparent` header names; None if it names none.

    Example:
        >>> trace_id(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        '0af7651916cd43dd8448eb211c80319c'
        >>> trace_id(b"whatever else")
    """
    found = _TRACE_PARENT.match(parent)
    if found is None or parent.startswith(b"ff") or not int(found[1], 16) or not int(found[2], 16):
        return None
    return found[1].decode()
