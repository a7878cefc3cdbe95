"""Restart two workers one after the other under load (R16): no call of a client may fail.

    python -m load.rolling_restart [--seconds N]

`matinee serve` with two workers on a PostgreSQL of its own gets SIGHUP, twice. Threads call through
the project's client, with its own retries and nothing else; a user must stay in its arm.
"""

import signal
import threading
import time
from dataclasses import dataclass, field

from chaos.databases import database
from chaos.served_arm import EXPERIMENT
from live_service import LiveService, children_of
from load.deployed import Deployed
from load.promise import end, main
from matinee_platform.client import CallError, Client
from promises import Promise

_CALLERS = 4
_RESTARTS = 2
_UNITS = 500
_PATIENCE_SECONDS = 300.0
_PAUSE_SECONDS = 0.02


@dataclass(slots=True)
class Called:
    """What the callers saw.

    Attributes:
        calls: that were answered.
        failures: errors that the client could not help.
        moved: units that came to another arm.
        slowest: seconds of one call, with its retries.
        arms: of the units.
    """

    calls: int = 0
    failures: list[str] = field(default_factory=list)
    moved: int = 0
    slowest: float = 0.0
    arms: dict[str, str | None] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


def measure(deployed: Deployed, seconds: float) -> list[Promise]:
    """Failures through two restarts."""
    called, over = Called(), threading.Event()
    with (
        database("postgresql", deployed.scratch) as kept,
        deployed.service("rolling", database=kept.address, workers=2) as service,
    ):
        service.start(wait_s=_PATIENCE_SECONDS)
        callers = [
            threading.Thread(target=_call, args=(service, called, over, number))
            for number in range(_CALLERS)
        ]
        for one in callers:
            one.start()
        time.sleep(seconds / 2.0)
        replaced = all(_restart(service) for _ in range(_RESTARTS))
        time.sleep(seconds / 2.0)
        over.set()
        for one in callers:
            one.join()
        service.stop()
    return [
        Promise(
            name="R16 calls through two rolling restarts",
            measured=f"{len(called.failures)} failed of {called.calls:,} "
            f"{sorted(set(called.failures))[:3] or ''}(slowest {called.slowest:.1f} s)",
            asked="0 failed, every worker replaced",
            kept=replaced and not called.failures and called.calls > 0,
        ),
        Promise(
            name="R16 the same user, the same arm",
            measured=f"{called.moved} of {len(called.arms)} users moved",
            asked="0",
            kept=not called.moved,
        ),
    ]


def _call(service: LiveService, called: Called, over: threading.Event, number: int) -> None:
    with Client(f"http://127.0.0.1:{service.port}") as client:
        while not over.wait(_PAUSE_SECONDS):
            number = (number + _CALLERS) % _UNITS
            unit = f"unit-{number}"
            began = time.perf_counter()
            try:
                answer = client.decide(EXPERIMENT, unit)
                client.reward(answer.decision_id, "click", slot=0)
            except CallError as error:
                with called.lock:
                    called.failures.append(f"{type(error).__name__}: {error}")
                continue
            with called.lock:
                called.calls += 2
                called.slowest = max(called.slowest, time.perf_counter() - began)
                called.moved += called.arms.setdefault(unit, answer.arm) != answer.arm


def _restart(service: LiveService) -> bool:
    """Restart the workers and wait; whether all of them are others now."""
    assert service.process is not None  # noqa: S101 - for the type checker
    before = set(_workers(service))
    service.process.send_signal(signal.SIGHUP)
    until = time.perf_counter() + _PATIENCE_SECONDS
    while time.perf_counter() < until:
        now = set(_workers(service))
        if len(now) == len(before) and not now & before:
            return True
        time.sleep(0.2)
    return False


def _workers(service: LiveService) -> list[int]:
    return children_of(service, "--multiprocessing-fork")


if __name__ == "__main__":
    end(main(__doc__, [measure], seconds=10.0))
