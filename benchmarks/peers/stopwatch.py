"""The stopwatch that we and every peer use, and how a peer answers for its own process.

A peer is a process of its own: it reads one number of seconds per line, measures for at least as
long, and prints one line of JSON each time. It ends when its input does.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np


def rate(run: Callable[[], object], *, units: float, seconds: float) -> float:
    """Units of work per CPU second of this process.

    Args:
        run: the work; called once untimed, then until the time is up, once at least.
        units: how much one call does.
        seconds: CPU seconds to spend at least.
    """
    run()
    calls = 0
    start = time.process_time()
    while True:
        run()
        calls += 1
        spent = time.process_time() - start
        if spent >= seconds and spent > 0.0:
            return calls * units / spent


def answer(run: Callable[[], object], *, units: float, version: str) -> None:
    """Measure whenever asked, until the input ends."""
    for line in sys.stdin:
        figures = {
            "rate": rate(run, units=units, seconds=float(line)),
            "version": version,
            "python": ".".join(map(str, sys.version_info[:3])),
            "numpy": np.__version__,
        }
        print(json.dumps(figures), flush=True)


def arguments() -> dict[str, Any]:
    """The settings of this process: `name=number` or `name=word`, each."""
    pairs = [argument.split("=", 1) for argument in sys.argv[1:]]
    return {name: int(value) if value.isdigit() else value for name, value in pairs}
