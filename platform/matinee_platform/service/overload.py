"""What callers are told while too many requests are being answered: made once, and cheap to send.

Under three times the load that can be answered, two requests of three are turned away on the very
core that answers the third: what a refusal costs is taken from the answers. So it is made of bytes
that are there, and where the web server can send it, it does so without a task for the request.
"""

import itertools
import os
from collections.abc import Mapping, Sequence
from typing import Protocol

from starlette.types import Message, Send

from matinee_platform.service.errors import OverloadedError
from matinee_platform.service.problems import MEDIA_TYPE, problem_answer
from matinee_platform.service.request_lines import RequestLines
from matinee_platform.service.service_metrics import UNMATCHED, ServiceMetrics

ALWAYS_ANSWERED = frozenset({"/healthz", "/readyz", "/metrics"})
"""Whatever else is asked; HEAD too, as GET without a body."""

SECURITY_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)

Headers = Sequence[tuple[bytes, bytes]]


class TurnAway(Protocol):
    """Answers requests before anybody looks at them."""

    def is_full(self) -> bool:
        """Whether one more request is too many."""

    def at_once(self, method: str, path: bytes, headers: Headers) -> tuple[int, bytes] | None:
        """Status, and headers and body as they are sent; None if it shall be looked at."""


_PLACE = "0" * 16


class RequestIds:
    """Numbers of requests, that no other process gives."""

    def __init__(self) -> None:
        self._prefix = os.urandom(4).hex()
        self._numbers = itertools.count(1)

    def next(self) -> str:
        """The next one."""
        return f"{self._prefix}{next(self._numbers):08x}"


class Overload:
    """Turns requests away while there are too many.

    Args:
        most: requests being answered at once; probes and scrapes do not count.
        metrics: knows how many there are, and counts the refusals.
        ids: of requests.
        lines: writes a line for each request; None writes none.
    """

    def __init__(
        self,
        most: int,
        *,
        metrics: ServiceMetrics,
        ids: RequestIds,
        lines: RequestLines | None = None,
    ) -> None:
        error = OverloadedError("too many requests are being answered, try again")
        answer, extra = problem_answer(error, request_id=_PLACE)
        before, after = answer.model_dump_json().encode().split(_PLACE.encode())
        self.status = answer.status
        self._most, self._metrics, self._ids, self._lines = most, metrics, ids, lines
        self._code = answer.code
        self._before, self._after = before, after
        self._headers = [*problem_headers(extra), *SECURITY_HEADERS]
        length = len(before) + len(_PLACE) + len(after)
        head = [*self._headers, (b"content-length", b"%d" % length)]
        self._head = b"".join(b"%b: %b\r\n" % pair for pair in head) + b"x-request-id: "
        self._always = frozenset(path.encode() for path in ALWAYS_ANSWERED)

    def turns_away(self, path: str) -> bool:
        """Whether one request among those in flight, of this path, is too many."""
        return self._metrics.in_flight > self._most and path not in ALWAYS_ANSWERED

    async def send(self, request_id: str, send: Send) -> None:
        """Answer a request that is in flight, and counted when it is answered."""
        self._metrics.problem(self._code)
        number = request_id.encode()
        headers = [*self._headers, (b"x-request-id", number)]
        body = self._before + number + self._after
        await send(start(self.status, headers, body))
        await send({"type": "http.response.body", "body": body})

    def is_full(self) -> bool:
        """See `TurnAway`."""
        return self._metrics.in_flight >= self._most

    def at_once(self, method: str, path: bytes, headers: Headers) -> tuple[int, bytes] | None:
        """Answer a request that is not in flight yet, and count it; see `TurnAway`.

        Args:
            method: of HTTP.
            path: as it was sent.
            headers: of the request.
        """
        if not self.is_full() or method == "HEAD" or path in self._always:
            return None
        request_id = self._ids.next()
        self._metrics.problem(self._code)
        self._metrics.answered(UNMATCHED, method, self.status, 0.0)
        if self._lines is not None:
            self._lines.answered(
                request_id,
                dict(headers),
                route=UNMATCHED,
                method=method,
                status=self.status,
                seconds=0.0,
            )
        number = request_id.encode()
        rest = (self._head, number, b"\r\n\r\n", self._before, number, self._after)
        return self.status, b"".join(rest)


def problem_headers(extra: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Headers of a problem, with more of its own."""
    more = ((name.encode(), value.encode()) for name, value in extra.items())
    return [(b"content-type", MEDIA_TYPE.encode()), *more]


def start(status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> Message:
    """The first message of an answer whose body is there."""
    headers = [*headers, (b"content-length", b"%d" % len(body))]
    return {"type": "http.response.start", "status": status, "headers": headers}
