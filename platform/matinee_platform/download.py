"""Download one file over HTTP: retried, resumed, limited in size and in time.

What the file means, and whether its content is right, is for the caller to check.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    wait_exponential,
)

from matinee_policies.errors import MatineeError

T = TypeVar("T")

Progress = Callable[[int, int | None], None]
"""Told of the bytes so far, and of their total if the server says it."""

_TRANSIENT_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
_SMALL = 1 << 16


class FetchError(MatineeError):
    """Data cannot be fetched: no network, no such file, a wrong checksum, no room."""


class _TransientError(Exception):
    """Worth another attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to try.

    Attributes:
        attempts: in all, at least 1.
        connect: seconds to wait for a connection.
        read: seconds to wait for the next bytes.
        total: seconds for everything, None for no limit.
        pause: seconds before the second attempt; doubled for each further one.
    """

    attempts: int = 5
    connect: float = 10.0
    read: float = 30.0
    total: float | None = None
    pause: float = 0.5


def download(
    url: str,
    target: Path,
    *,
    limit: int,
    patience: Patience,
    progress: Progress = lambda done, total: None,
) -> None:
    """Download into a file; what an earlier attempt left there is continued.

    A part is continued only if the server's entity tag is still the one kept beside it.

    Args:
        url: of the file.
        target: grows as bytes arrive.
        limit: largest accepted size in bytes.
        patience: how long to try.
        progress: told of the bytes that arrived.

    Raises:
        FetchError: in one line, after the last attempt, or at once where another would not help.
    """
    deadline = None if patience.total is None else time.monotonic() + patience.total
    with _client(patience) as client:
        _retried(
            lambda: _attempt(
                client, url, target, limit=limit, deadline=deadline, progress=progress
            ),
            url,
            patience,
            deadline,
        )


def read_small(url: str, *, patience: Patience) -> str | None:
    """A short text, or None if the server has no such file.

    Raises:
        FetchError: as `download`.
    """
    deadline = None if patience.total is None else time.monotonic() + patience.total

    def attempt() -> str | None:
        with _client(patience) as client, client.stream("GET", url) as response:
            if response.status_code in (403, 404, 410):
                return None
            _check_status(response, url)
            body = b""
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > _SMALL:
                    raise FetchError(f"{url}: must be at most {_SMALL:,} bytes")
                _check_deadline(url, deadline)
            return body.decode("utf-8", errors="replace")

    return _retried(attempt, url, patience, deadline)


def _client(patience: Patience) -> httpx.Client:
    timeout = httpx.Timeout(patience.read, connect=patience.connect)
    return httpx.Client(timeout=timeout, follow_redirects=True)


def _retried(attempt: Callable[[], T], url: str, patience: Patience, deadline: float | None) -> T:
    def once() -> T:
        try:
            return attempt()
        except httpx.TimeoutException as error:
            raise _TransientError(f"the server did not answer in time ({_words(error)})") from None
        except httpx.TransportError as error:
            raise _TransientError(f"no connection ({_words(error)})") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise FetchError(f"{url}: cannot be fetched ({_words(error)})") from None

    def enough(state: RetryCallState) -> bool:
        late = deadline is not None and time.monotonic() + state.upcoming_sleep >= deadline
        return late or state.attempt_number >= patience.attempts

    retrying = Retrying(
        retry=retry_if_exception_type(_TransientError),
        stop=enough,
        wait=wait_exponential(multiplier=patience.pause, max=20),
        reraise=True,
    )
    try:
        return retrying(once)
    except _TransientError as error:
        raise FetchError(f"{url}: {error}") from None


def _attempt(
    client: httpx.Client,
    url: str,
    target: Path,
    *,
    limit: int,
    deadline: float | None,
    progress: Progress,
) -> None:
    tag_file = target.with_name(f"{target.name}.etag")
    done = target.stat().st_size if target.exists() else 0
    tag = tag_file.read_text("utf-8") if tag_file.exists() else ""
    headers = {"Accept-Encoding": "identity"}
    if done and tag:
        headers |= {"Range": f"bytes={done}-", "If-Range": tag}
    with client.stream("GET", url, headers=headers) as response:
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            if _is_whole(response, done, tag):
                progress(done, done)
                return
            target.unlink()
            raise _TransientError("the server changed the file meanwhile")
        _check_status(response, url)
        resumed = response.status_code == httpx.codes.PARTIAL_CONTENT
        if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {done}-"):
            target.unlink()
            raise _TransientError("the server sent another part than asked for")
        done = done if resumed else 0
        total = _total(response, done)
        if total is not None and total > limit:
            raise FetchError(f"{url}: must be at most {limit:,} bytes, got {total:,}")
        if not resumed:
            target.unlink(missing_ok=True)
            tag = response.headers.get("ETag", "")
            # A weak tag does not promise equal bytes.
            tag_file.write_text("" if tag.startswith("W/") else tag, "utf-8")
        with target.open("ab") as file:
            # Unbuffered: what arrived before the connection broke is kept.
            for chunk in response.iter_raw():
                done += len(chunk)
                if done > limit:
                    raise FetchError(f"{url}: must be at most {limit:,} bytes, got more")
                file.write(chunk)
                progress(done, total)
                _check_deadline(url, deadline)
    if total is not None and done < total:
        raise _TransientError(f"the connection ended after {done:,} of {total:,} bytes")


def _is_whole(response: httpx.Response, done: int, tag: str) -> bool:
    """Whether nothing was left to send: the part is as long as the file, and of the same tag."""
    same = response.headers.get("ETag", tag) == tag
    return bool(same and response.headers.get("Content-Range", "") == f"bytes */{done}")


def _total(response: httpx.Response, done: int) -> int | None:
    length = response.headers.get("Content-Length", "")
    return done + int(length) if length.isdigit() else None


def _check_status(response: httpx.Response, url: str) -> None:
    status = response.status_code
    if status in _TRANSIENT_STATUS:
        raise _TransientError(f"the server answered {status} {response.reason_phrase}")
    if not response.is_success:
        raise FetchError(f"{url}: the server answered {status} {response.reason_phrase}")


def _check_deadline(url: str, deadline: float | None) -> None:
    if deadline is not None and time.monotonic() > deadline:
        raise FetchError(f"{url}: took longer than it may")


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
