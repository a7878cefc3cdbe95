"""Whoever ends waits for threads at work: what they use is let go afterwards."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from matinee_platform.service.background_task import BackgroundTask
from matinee_platform.service.in_thread import in_thread
from matinee_platform.storage.postgres_tail import PostgresTail
from matinee_platform.storage.records import LoggedDecision, LoggedReward
from matinee_platform.storage.testing_events import Told, asynchronous


class Slow:
    """A reader whose look takes until it may end; says in which order things happened."""

    def __init__(self) -> None:
        self.at_work, self.go = threading.Event(), threading.Event()
        self.order: list[str] = []

    def last_seq(self) -> int:
        self.at_work.set()
        assert self.go.wait(30)
        self.order.append("looked")
        return 0

    def between(
        self, *, after: int, upto: int, without: Sequence[int]
    ) -> tuple[list[LoggedDecision], list[LoggedReward]]:
        return [], []

    def close(self) -> None:
        self.order.append("closed")


async def ended(ending: "asyncio.Task[None]", slow: Slow) -> list[str]:
    """In which order things happen if the thread goes on while something ends."""
    for _ in range(20):
        await asyncio.sleep(0.001)
    assert not ending.done()
    assert slow.order == []
    slow.go.set()
    await ending
    return slow.order


@asynchronous
async def test_a_tail_closes_its_reader_after_the_last_look() -> None:
    slow = Slow()
    slow.go.set()
    tail = PostgresTail(slow, published=Told(), poll_seconds=0.001)
    await tail.start()
    slow.order.clear()
    slow.go.clear()
    slow.at_work.clear()
    assert await asyncio.to_thread(slow.at_work.wait, 30)
    slow.order.clear()
    assert await ended(asyncio.create_task(tail.close()), slow) == ["looked", "closed"]


@asynchronous
async def test_a_task_that_is_stopped_waits_for_its_thread() -> None:
    slow = Slow()

    class Looks(BackgroundTask):
        async def _run(self) -> None:
            await in_thread(slow.last_seq)

    looks = Looks()
    looks.start()
    assert await asyncio.to_thread(slow.at_work.wait, 30)

    async def end() -> None:
        await looks.stop()
        slow.close()

    assert await ended(asyncio.create_task(end()), slow) == ["looked", "closed"]


@asynchronous
async def test_what_a_thread_raises_is_told() -> None:
    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await in_thread(fail)
