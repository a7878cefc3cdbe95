"""Faults that are put into a running stack, and what its alerts make of them."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from matinee_platform.client import Client
from stack.probe_traffic import CONTROL, EXPERIMENT, ProbeTraffic, definition
from stack.side_by_side import Stack

_LONGEST_S = 900.0

_Words = tuple[str, str, str]
"""Fault, alert, repair."""


@dataclass(frozen=True, slots=True)
class Injected:
    """One fault.

    Attributes:
        fault: in words.
        alert: that is meant to see it.
        fired_s: from the fault to the alert.
        cleared_s: from the repair to its end.
        repair: in words.
    """

    fault: str
    alert: str
    fired_s: float
    cleared_s: float
    repair: str


def inject_all(stack: Stack, client: Client, traffic: ProbeTraffic, broken: Path) -> list[Injected]:
    """All faults at once, which have nothing to do with each other; each has its own repair.

    Args:
        stack: that runs.
        client: with the scope admin.
        traffic: that comes to the second experiment.
        broken: the file that breaks its policy while it is there.
    """

    def new_split() -> None:
        traffic.lost = None
        client.stop_experiment(EXPERIMENT)
        traffic.salt = f"probe-{time.time_ns()}"
        client.start_experiment(EXPERIMENT, salt=traffic.salt)

    def lose_one_arm() -> None:
        traffic.lost = CONTROL

    lost = ("requests of one arm lost", "MatineeSampleRatioMismatch", "begun anew, with a new salt")
    steps: dict[_Words, tuple[Callable[[], None], Callable[[], None]]] = {
        ("a policy that raises", "MatineeFallbacks", "mended"): (broken.touch, broken.unlink),
        ("the learner killed", "MatineeLearnerSilent", "started again"): (
            stack.learner.kill,
            stack.learner.start,
        ),
        lost: (lose_one_arm, new_split),
    }
    with ThreadPoolExecutor(len(steps)) as pool:
        return list(pool.map(lambda words: _one(stack, words, *steps[words]), steps))


def _one(
    stack: Stack,
    words: _Words,
    inject: Callable[[], None],
    repair: Callable[[], None],
) -> Injected:
    fault, alert, mended = words
    if stack.fires(alert):
        raise RuntimeError(f"{alert} fires before its fault")
    inject()
    fired = stack.wait(f"{alert} fires", lambda: stack.fires(alert), seconds=_LONGEST_S)
    repair()
    cleared = stack.wait(f"{alert} ends", lambda: not stack.fires(alert), seconds=_LONGEST_S)
    return Injected(fault, alert, fired, cleared, mended)


def start_probe(client: Client, salt: str) -> None:
    """Create the second experiment and let units in."""
    client.create_experiment(definition(salt))
    client.start_experiment(EXPERIMENT)
