"""Callers of a second experiment in real time, whose requests can be lost for one arm."""

import contextlib
import random
import threading
import time
from typing import Any

from matinee_platform.client import Client
from matinee_platform.client.errors import CallError
from matinee_platform.experiments.definition import LiveExperiment
from matinee_platform.experiments.layers import Assigner
from matinee_platform.service.settings import Holdout
from stack.side_by_side import Stack

EXPERIMENT = "probe"
CONTROL, FRAGILE = "probe_control", "probe_fragile"

_FEATURES = 4
_ITEMS = [f"item {number}" for number in range(10)]
_SLOTS = 3


def deploy(stack: Stack) -> None:
    """Ship both arms; nothing to do where they are."""
    kinds = {CONTROL: "score_order", FRAGILE: "stack.fragile_policy:Fragile"}
    for name, kind in kinds.items():
        if not (stack.places.data / "bundles" / name / "bundle.json").exists():
            options = ("--features", str(_FEATURES), "--slots", str(_SLOTS), "--candidates", "10")
            to = ("--as", name, "--to", str(stack.places.data))
            stack.run("deploy", "--policy", kind, *options, *to)


def definition(salt: str) -> dict[str, Any]:
    """The experiment, with halves by this salt."""
    return {
        "key": EXPERIMENT,
        "salt": salt,
        "slots": _SLOTS,
        "candidates": len(_ITEMS),
        "engagement_minutes": 0.05,
        "control": CONTROL,
        "arms": [
            {"name": name, "bundle": name, "learning": "log_only"} for name in (CONTROL, FRAGILE)
        ],
    }


class ProbeTraffic:
    """New users who ask for one page each, and click.

    Args:
        client: that asks; closed by whoever opened it.
        rate: pages a second, about.
        salt: of the experiment that runs.

    Attributes:
        lost: arm whose requests get lost on their way, if any.
    """

    def __init__(self, client: Client, *, rate: float, salt: str) -> None:
        self.lost: str | None = None
        self._client, self._pause = client, 1.0 / rate
        self._random = random.Random(11)  # noqa: S311 - not a secret
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.salt = salt

    @property
    def salt(self) -> str:
        """Of the experiment that runs."""
        return self._salt

    @salt.setter
    def salt(self, salt: str) -> None:
        self._salt = salt
        experiment = LiveExperiment.model_validate(definition(salt))
        self._assigner = Assigner([experiment], Holdout())

    def __enter__(self) -> "ProbeTraffic":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)

    def _run(self) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            # A page that failed is a page less; the dashboards tell of it.
            with contextlib.suppress(CallError):
                self._page(f"{self._salt} {self._random.getrandbits(48):x}")
            self._stop.wait(max(0.0, self._pause - (time.monotonic() - began)))

    def _page(self, unit: str) -> None:
        if self.lost is not None and self._assigner.assign(EXPERIMENT, unit).arm == self.lost:
            return
        features = [[self._random.random() for _ in range(_FEATURES)] for _ in _ITEMS]
        scores = [self._random.random() for _ in _ITEMS]
        answer = self._client.decide(
            EXPERIMENT, unit, candidates=_ITEMS, scores=scores, features=features
        )
        if self._random.random() < 0.3:
            self._client.reward(answer.decision_id, "click", slot=0)
