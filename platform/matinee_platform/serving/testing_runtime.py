"""A runtime of one arm, who watches it, and how it is asked, for tests."""

# ruff: noqa: D101, D102, D103 -- names say what they are for

import random
from pathlib import Path
from typing import Any

from matinee_platform.clock import FakeClock
from matinee_platform.experiments.definition import HOLDOUT_ARM, LiveExperiment
from matinee_platform.experiments.errors import UnknownExperimentError
from matinee_platform.serving.asks import Ask
from matinee_platform.serving.bundle import load_bundle
from matinee_platform.serving.observer import Nobody
from matinee_platform.serving.runtime import LiveRuntime, Running
from matinee_platform.serving.testing_log import TestingLog
from matinee_policies.snapshot_signature import SigningKeys

KEYS = SigningKeys({"service": bytes(range(32))})
BUDGET_MS = 150.0
D, K, L = 3, 8, 4


class Arms:
    """Assigns by the first letter of the unit."""

    def __init__(self, arm: str | None) -> None:
        self.arm = arm
        self.bucket = 3

    def assign(self, experiment: str, unit: str) -> "Arms":
        if experiment != "home":
            raise UnknownExperimentError(f"no experiment {experiment!r} runs")
        return Arms({"h": HOLDOUT_ARM, "o": None}.get(unit[0], self.arm))


class Watcher(Nobody):
    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.refused: list[int] = []
        self.versions: list[int] = []

    def fell_back(self, experiment: str, arm: str, *, reason: str) -> None:
        self.reasons.append(reason)

    def swapped(self, experiment: str, arm: str, *, version: int) -> None:
        self.versions.append(version)

    def refused_snapshot(self, experiment: str, arm: str, *, version: int, reason: str) -> None:
        self.refused.append(version)


def running(bundle: str, **arm: Any) -> Running:
    definition = {
        "key": "home",
        "salt": "s",
        "slots": L,
        "candidates": K,
        "arms": [{"name": "new", "bundle": bundle, **arm}],
    }
    return Running(LiveExperiment.model_validate(definition), 0)


def ask(number: int, unit: str = "unit", **changes: Any) -> Ask:
    luck = random.Random(number)  # noqa: S311
    values: dict[str, Any] = {
        "experiment": "home",
        "unit": unit,
        "decision_id": number,
        "body_digest": bytes(16),
        "candidates": [f"item-{luck.randrange(50)}-{place}" for place in range(K - number % 3)],
        "features": [[luck.random() for _ in range(D)] for _ in range(K - number % 3)],
    }
    return Ask(**{**values, **changes})


def runtime_of(folder: Path, watcher: Watcher, *, keys: SigningKeys | None = KEYS) -> LiveRuntime:
    return LiveRuntime(
        bundles=lambda name: load_bundle(folder, name, keys=keys),
        pseudonym_secret=bytes(32),
        draws=lambda experiment, arm: bytes(16),
        clock=FakeClock(),
        names=TestingLog(),
        budget_ms=BUDGET_MS,
        observer=watcher,
    )
