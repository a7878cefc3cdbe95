"""Gather the asks of one arm, decide them together, and tell those who wait.

A policy of the user's own is asked in a thread of its own, within the budget; where it raises, is
late or hangs, the order of the candidates takes its place.
"""

import asyncio
import time
from collections.abc import Sequence
from functools import partial

from matinee_platform.serving.arm_runtime import MOST_TOGETHER, ArmRuntime
from matinee_platform.serving.batching import Batcher
from matinee_platform.serving.fallback import HUNG, LATE, RAISED
from matinee_platform.serving.isolation import HungError, Isolation, LateError
from matinee_platform.serving.observer import Observer
from matinee_platform.serving.work import Chosen, Page, Work


class ArmAsks:
    """An arm with what gathers its asks; belongs to the event loop's thread.

    Args:
        runtime: of the arm.
        isolation: where its policy is asked; None to ask it at once.
        observer: told of decisions and fallbacks.

    Attributes:
        runtime: as given.
    """

    def __init__(
        self, runtime: ArmRuntime, isolation: Isolation | None, *, observer: Observer
    ) -> None:
        self.runtime = runtime
        self._isolation = isolation
        self._observer = observer
        self._tasks: set[asyncio.Task[None]] = set()
        decide = self._decide if isolation is None else partial(self._start_apart, isolation)
        self._batcher = Batcher[Work](decide, most=MOST_TOGETHER)

    def add(self, work: Work) -> None:
        """Decide an ask with those of the same turn of the loop."""
        self._batcher.add(work)

    def close(self) -> None:
        """Let go of the thread, once its calls have come back."""
        if self._isolation is not None:
            self._isolation.close()

    def _decide(self, asked: list[Work]) -> None:
        runtime = self.runtime
        started = time.perf_counter()
        for page in _pages(runtime, asked):
            default = runtime.is_default(page)
            chosen = runtime.instead(page) if default else runtime.choose(page)
            self._answer(page, chosen)
        self._settle(asked, started)

    def _start_apart(self, isolation: Isolation, asked: list[Work]) -> None:
        task = asyncio.get_running_loop().create_task(self._decide_apart(isolation, asked))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _decide_apart(self, isolation: Isolation, asked: list[Work]) -> None:
        runtime = self.runtime
        started = time.perf_counter()
        for page in _pages(runtime, asked):
            if runtime.is_default(page):
                chosen = runtime.instead(page)
            else:
                try:
                    chosen = await isolation.run(partial(runtime.choose, page))
                except LateError:
                    chosen = runtime.instead(page, LATE)
                except HungError:
                    chosen = runtime.instead(page, HUNG)
                except Exception:  # what was no error in its thread, as the wish to end
                    chosen = runtime.instead(page, RAISED)
            self._answer(page, chosen)
        self._settle(asked, started)

    def _answer(self, page: Page, chosen: Chosen) -> None:
        runtime = self.runtime
        try:
            answers = runtime.answers(page, chosen)
        except Exception as error:  # nobody else would tell those who wait
            _fail(page.works, error)
            return
        for work, decided in zip(page.works, answers, strict=True):
            if decided.fallback is not None:
                self._observer.fell_back(runtime.experiment, runtime.name, reason=decided.fallback)
            if work.answer is not None and not work.answer.done():
                work.answer.set_result(decided)

    def _settle(self, asked: list[Work], started: float) -> None:
        runtime = self.runtime
        memory = runtime.memory
        if memory is not None:
            for work in asked:
                if work.unit is not None:
                    memory.done(work.unit)
        self._observer.decided(
            runtime.experiment,
            runtime.name,
            decisions=len(asked),
            seconds=time.perf_counter() - started,
        )


def _pages(runtime: ArmRuntime, works: Sequence[Work]) -> list[Page]:
    """What can be decided; who asked for something else is told, and nobody for another's fault."""
    try:
        return runtime.pages(works)
    except Exception as error:
        if len(works) == 1:
            _fail(works, error)
            return []
    return [page for work in works for page in _pages(runtime, [work])]


def _fail(works: Sequence[Work], error: Exception) -> None:
    for work in works:
        if work.answer is not None and not work.answer.done():
            work.answer.set_exception(error)
