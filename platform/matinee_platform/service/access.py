"""Who may do what, and how often: keys, scopes, token buckets."""

from matinee_platform.clock import Clock
from matinee_platform.service.errors import (
    ForbiddenError,
    RateLimitedError,
    UnauthenticatedError,
)
from matinee_platform.service.loopback import names_loopback
from matinee_platform.service.parts import NOBODY, Caller, KeyRing, Scope
from matinee_platform.service.rate_limit import TokenBuckets, retry_after
from matinee_platform.service.settings import Limits

_LONGEST_KEY = 200


class Gate:
    """Lets requests in.

    Args:
        keys: the API keys.
        limits: of the service.
        clock: tells the time.
    """

    def __init__(self, keys: KeyRing, *, limits: Limits, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock
        self._known_hosts: set[bytes] = set()
        self._buckets = TokenBuckets(
            rate=limits.requests_per_second, burst=limits.burst, clock=clock
        )

    def admit(self, headers: dict[bytes, bytes], scope: Scope) -> Caller:
        """Who calls, if the caller may do what `scope` says.

        Without any keys, everybody on this machine may do everything; a request must then name
        this machine in its `Host`, and in its `Origin` if it has one, so that no page of another
        site can send it.

        Raises:
            UnauthenticatedError: no key, or one that is not known.
            ForbiddenError: the key has another scope, or the host is another one.
        """
        if self._keys.empty:
            self._check_host(headers.get(b"host", b""))
            if b"origin" in headers:
                self._check_host(headers[b"origin"].partition(b"://")[2])
            return NOBODY
        sent = headers.get(b"authorization", b"")
        kind, _, presented = sent.partition(b" ")
        if kind.lower() != b"bearer" or not 0 < len(presented) <= _LONGEST_KEY:
            raise UnauthenticatedError("send the API key as 'Authorization: Bearer KEY'")
        caller = self._keys.identify(
            presented.decode("latin-1").strip(), now_ms=self._clock.now_ms()
        )
        if caller is None:
            raise UnauthenticatedError("the API key is not known, or it is over")
        if scope not in caller.scopes:
            raise ForbiddenError(f"the API key must have the scope {scope!r}")
        return caller

    def spend(self, caller: Caller, count: int) -> None:
        """Take tokens for `count` decisions, rewards or other requests.

        Raises:
            RateLimitedError: the bucket of this key is empty.
        """
        wait = self._buckets.take(caller.key_id, count)
        if wait > 0.0:
            raise RateLimitedError(
                "the API key has sent more than its rate allows", retry_after=retry_after(wait)
            )

    def _check_host(self, host: bytes) -> None:
        if host in self._known_hosts:
            return
        if not names_loopback(host.decode("latin-1")):
            raise ForbiddenError(
                "a service without API keys answers to the names of this machine alone"
            )
        if len(self._known_hosts) < 100:
            self._known_hosts.add(host)
