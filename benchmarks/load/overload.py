"""Three times as many requests as can be answered (R10): the rest must be turned away, and soon.

    python -m load.overload [--seconds N]

The capacity is what 32 connections get that ask as soon as they are answered; then three times that
comes by the clock, over so many connections that none waits for another.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvloop

from load.asks import decision
from load.deployed import WIDE_OPEN, Deployed
from load.process_watch import memory_mb
from load.promise import end, main
from open_loop import Measured, closed_loop, open_loop
from promises import Promise

TIMES = 3.0
IN_FLIGHT = 256
MOST_GROWTH_MB = 256.0
_CONNECTIONS = 2_000
_PAUSE_SECONDS = 0.2


def measure(deployed: Deployed, seconds: float) -> list[Promise]:
    """Goodput and statuses while there is too much to do."""
    limits = {**WIDE_OPEN, "in_flight": IN_FLIGHT}
    with deployed.service("overload", limits=limits) as service:
        service.start()
        uvloop.run(closed_loop(service.port, decision, connections=32, seconds=5.0))
        capacity = uvloop.run(
            closed_loop(service.port, _from(10**6), connections=32, seconds=seconds)
        ).goodput
        assert service.process is not None  # noqa: S101 - for the type checker
        began = time.perf_counter()
        with _peak(service.process.pid) as memory:
            found = uvloop.run(
                open_loop(
                    service.port,
                    _from(10**8),
                    rate=TIMES * capacity,
                    seconds=seconds,
                    most_connections=_CONNECTIONS,
                )
            )
        # What was taken in is answered after the last request fell due: that time counts.
        found.seconds = time.perf_counter() - began
        after = uvloop.run(closed_loop(service.port, _from(10**9), connections=8, seconds=2.0))
        service.stop()
    return [*_promises(found, capacity), _memory(memory), _recovers(after)]


def _promises(found: Measured, capacity: float) -> list[Promise]:
    others = {status for status in found.statuses if status not in (200, 429, 503)}
    share = found.goodput / capacity
    return [
        Promise(
            name="R10 goodput at three times the capacity",
            measured=f"{share:.0%} of {capacity:.0f}/s (p99 {found.percentile_ms(0.99):.0f} ms)",
            asked="at least 80 %",
            kept=share >= 0.8,
        ),
        Promise(
            name="R10 others are turned away with Retry-After",
            measured=f"{dict(sorted(found.statuses.items()))}, {found.without_hint} without",
            asked="429 or 503 alone",
            kept=not others and not found.without_hint,
        ),
    ]


def _memory(memory: list[float]) -> Promise:
    growth = max(memory) - memory[0]
    return Promise(
        name="R10 memory under overload",
        measured=f"{max(memory):.0f} MB, {growth:+.0f} MB",
        asked=f"at most {MOST_GROWTH_MB:.0f} MB more",
        kept=growth <= MOST_GROWTH_MB,
    )


def _recovers(after: Measured) -> Promise:
    bad = sum(after.statuses.values()) - after.good
    return Promise(
        name="R10 afterwards",
        measured=f"{after.goodput:.0f}/s, {bad} turned away",
        asked="none turned away",
        kept=not bad and after.good > 0,
    )


def _from(first: int) -> Callable[[int], bytes]:
    """Decisions from a number on."""
    return lambda number: decision(first + number)


@contextmanager
def _peak(process: int) -> Iterator[list[float]]:
    """Memory of a process, looked at again and again while the block runs."""
    seen, over = [memory_mb(process)], threading.Event()

    def look() -> None:
        while not over.wait(_PAUSE_SECONDS):
            seen.append(memory_mb(process))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


if __name__ == "__main__":
    end(main(__doc__, [measure], seconds=10.0))
