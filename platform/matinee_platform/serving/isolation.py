"""Call code that may hang, in a thread of its own, and wait no longer than a budget.

A call that has not come back in time is given up, and so is every call after it, at once, until the
thread is back: then calls are taken again. The thread is never killed (Python cannot); it does not
keep the process from ending. A call that holds the interpreter's lock in C holds everything up,
which no thread can help.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

_T = TypeVar("_T")


class LateError(Exception):
    """A call did not come back in time."""


class HungError(Exception):
    """A call before this one has not come back yet."""


class Isolation:
    """One thread for the calls of one arm.

    Args:
        name: of the thread.
        budget: seconds that a call may take, waiting for calls before it included.
    """

    def __init__(self, name: str, *, budget: float) -> None:
        self._name = name
        self._budget = budget
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._given_up = 0

    @property
    def is_open(self) -> bool:
        """Whether calls are refused, since one has not come back."""
        return self._given_up > 0

    async def run(self, call: Callable[[], _T]) -> _T:
        """Call in the thread.

        Raises:
            LateError: after the budget.
            HungError: at once, while an earlier call has not come back.
            Exception: whatever the call raises.
        """
        if self.is_open:
            raise HungError
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[_T] = loop.create_future()
        self._calls.put(lambda: _answer(loop, answer, call, self._came_back))
        done, _ = await asyncio.wait({answer}, timeout=self._budget)
        if not done:
            self._given_up += 1
            answer.cancel()
            raise LateError
        return answer.result()

    def close(self) -> None:
        """Let the thread end once its calls have come back."""
        self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()

    def _came_back(self, given_up: bool) -> None:
        if given_up:
            self._given_up -= 1


def _answer(
    loop: asyncio.AbstractEventLoop,
    answer: "asyncio.Future[Any]",
    call: Callable[[], Any],
    came_back: Callable[[bool], None],
) -> None:
    result: Any = None
    failure: BaseException | None = None
    try:
        result = call()
    except BaseException as error:  # a thread has nobody to raise to
        failure = error if isinstance(error, Exception) else RuntimeError(repr(error))

    def tell() -> None:
        came_back(answer.cancelled())
        if answer.cancelled():
            return
        if failure is not None:
            answer.set_exception(failure)
        else:
            answer.set_result(result)

    try:
        loop.call_soon_threadsafe(tell)
    except RuntimeError:
        # The loop is closed: nobody waits any more.
        return
