"""When a call is tried again, and how long is waited before."""

from dataclasses import dataclass
from random import SystemRandom

import httpx
from tenacity import RetryCallState, retry_if_exception, stop_after_attempt, stop_after_delay
from tenacity.stop import stop_base
from tenacity.wait import wait_base

from matinee_platform.client.errors import UnavailableError

_FIRST_WAIT = 0.1
_CHANCE = SystemRandom()


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How hard a client tries.

    Attributes:
        attempts: most sendings of a call.
        seconds: after which no other sending begins.
        longest_wait: most seconds between two sendings, whatever the service says.
    """

    attempts: int = 5
    seconds: float = 30.0
    longest_wait: float = 10.0

    def stop(self) -> stop_base:
        """When to give up."""
        return stop_after_attempt(self.attempts) | stop_after_delay(self.seconds)

    def wait(self) -> wait_base:
        """How long to wait."""
        return _Wait(self)


def may_try_again(repeatable: bool) -> retry_if_exception:
    """Whether an error lets a call be sent again.

    A service that answers 429 or 503 has done nothing. If there was no answer, it may have: only
    calls that do the same once or twice are sent again then.
    """

    def check(error: BaseException) -> bool:
        if not isinstance(error, UnavailableError):
            return False
        if error.status in (429, 503):
            return True
        return repeatable or isinstance(error.__cause__, httpx.ConnectError)

    return retry_if_exception(check)


class _Wait(wait_base):
    """What the service asks for; else longer each time, with chance in it."""

    def __init__(self, retries: Retries) -> None:
        self._longest = retries.longest_wait

    def __call__(self, retry_state: RetryCallState) -> float:
        outcome = retry_state.outcome
        error = None if outcome is None else outcome.exception()
        asked = error.retry_after if isinstance(error, UnavailableError) else None
        growing = _CHANCE.uniform(0.5, 1.0) * _FIRST_WAIT * 2.0 ** (retry_state.attempt_number - 1)
        return min(self._longest, growing if asked is None else asked + growing)
