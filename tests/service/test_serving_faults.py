"""What is logged is what decided: versions, bases and reasons, also when a policy fails midway."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matinee_platform.clock import FakeClock
from matinee_platform.experiments.definition import LiveExperiment
from matinee_platform.experiments.layers import Assigner
from matinee_platform.service.live_control import check_bundles
from matinee_platform.service.settings import Holdout
from matinee_platform.serving.asks import Ask
from matinee_platform.serving.bundle import load_bundle
from matinee_platform.serving.deploy import deploy_policy
from matinee_platform.serving.errors import BundleError
from matinee_platform.serving.observer import Nobody
from matinee_platform.serving.runtime import LiveRuntime, Running
from matinee_platform.serving.testing_log import TestingLog
from matinee_platform.storage.records import ServedBy
from matinee_policies.snapshot_signature import SigningKeys

KEYS = SigningKeys({"service": bytes(range(32))})
D, K, L = 3, 6, 3

MODULE = """
import threading
from matinee_policies import ScoreOrder
from matinee_policies.score_order import ScoreOrderConfig

GATE = {"entered": threading.Event(), "go_on": threading.Event(), "mode": "fine"}

class Slow(ScoreOrder):
    config_type = ScoreOrderConfig

    def decide(self, contexts, *, slots, keys):
        if GATE["mode"] == "wait":
            GATE["entered"].set()
            GATE["go_on"].wait(60)
        if GATE["mode"] == "exit":
            raise SystemExit(3)
        return super().decide(contexts, slots=slots, keys=keys)
"""


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    (tmp_path / "slow_policies.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    ship(tmp_path, "slow_policies:Slow")
    yield sys.modules["slow_policies"].GATE
    sys.modules["slow_policies"].GATE["go_on"].set()
    del sys.modules["slow_policies"]


def ship(folder: Path, kind: str, config: dict[str, Any] | None = None) -> None:
    deploy_policy(kind, config or {}, features=D, name="one", data_dir=folder, keys=KEYS, slots=L)


def runtime_of(folder: Path) -> LiveRuntime:
    return LiveRuntime(
        bundles=lambda name: load_bundle(folder, name, keys=KEYS),
        pseudonym_secret=bytes(32),
        draws=lambda experiment, arm: bytes(16),
        clock=FakeClock(),
        names=TestingLog(),
        budget_ms=10_000.0,
        observer=Nobody(),
    )


async def serve(runtime: LiveRuntime) -> None:
    definition = LiveExperiment.model_validate(
        {
            "key": "home",
            "salt": "s",
            "slots": L,
            "candidates": K,
            "arms": [{"name": "new", "bundle": "one"}],
        }
    )
    await runtime.apply([Running(definition, 0)], Assigner([definition], Holdout()))


def ask(number: int, *, first: float = 0.0) -> Ask:
    rng = np.random.default_rng(number)
    features = rng.random((K, D))
    features[0, 0] += first
    return Ask(
        experiment="home",
        unit=f"unit {number}",
        decision_id=number,
        body_digest=bytes(16),
        candidates=[f"item {place}" for place in range(K)],
        features=features.tolist(),
    )


def test_the_version_logged_is_that_of_the_policy_that_chose(
    tmp_path: Path, gate: dict[str, Any]
) -> None:
    """A snapshot that is swapped in while a policy apart is at work does not take the credit."""
    runtime = runtime_of(tmp_path)

    async def scene() -> None:
        await serve(runtime)
        (arm,) = runtime.arms
        gate["mode"] = "wait"
        waiting = asyncio.create_task(runtime.decide(ask(1)))
        await asyncio.to_thread(gate["entered"].wait, 60)
        gate["mode"] = "fine"
        arm.swap(arm.bundle.policy(), version=7)
        gate["go_on"].set()
        found = await waiting
        assert found.record is not None
        assert (found.record.served_by, found.record.snapshot) == (ServedBy.POLICY, 0)
        after = await runtime.decide(ask(2))
        assert after.record is not None
        assert after.record.snapshot == 7
        await runtime.close()

    asyncio.run(scene())


def test_a_policy_that_wants_to_end_the_process_is_one_that_raised(
    tmp_path: Path, gate: dict[str, Any]
) -> None:
    runtime = runtime_of(tmp_path)

    async def scene() -> None:
        await serve(runtime)
        gate["mode"] = "exit"
        async with asyncio.timeout(60):
            found = await runtime.decide(ask(1))
        assert found.fallback == "raised"
        gate["mode"] = "fine"
        assert (await runtime.decide(ask(2))).fallback is None
        await runtime.close()

    asyncio.run(scene())


def test_the_base_of_a_mixture_is_logged_when_its_batch_was_taken_apart(tmp_path: Path) -> None:
    """One page of a batch makes the policy fail: the others come out as they would alone."""
    bases = [
        {"kind": "lin_ucb", "weight": 0.5, "policy": {"floor": 0.1}},
        {"kind": "uniform", "weight": 0.5},
    ]
    ship(tmp_path, "mixture", {"bases": bases})
    runtime = runtime_of(tmp_path)

    async def scene() -> None:
        await serve(runtime)
        (arm,) = runtime.arms
        policy = arm.policy

        class Touchy:
            name = policy.name
            config = policy.config

            def decide(self, contexts: Any, *, slots: int, keys: Any) -> Any:
                if (contexts.features[:, 0, 0] > 5.0).any():
                    raise ValueError("not this one")
                return policy.decide(contexts, slots=slots, keys=keys)

        asks = [ask(number) for number in range(1, 9)]
        alone = [await runtime.decide(one) for one in asks]
        assert all(found.record is not None for found in alone)
        assert {found.record.base for found in alone if found.record} == {0, 1}
        arm.swap(Touchy(), version=0)  # type: ignore[arg-type]
        *others, fallen = await asyncio.gather(
            *(runtime.decide(one) for one in [*asks, ask(9, first=9.0)])
        )
        assert others == alone
        assert fallen.fallback == "raised"
        assert fallen.record is not None
        assert (fallen.record.base, fallen.record.base_propensity) == (None, None)
        await runtime.close()

    asyncio.run(scene())


def test_arms_that_need_other_requests_are_refused(tmp_path: Path) -> None:
    """A caller does not know the arm beforehand: all take the same number of features."""
    for name, features in (("three", 3), ("four", 4)):
        deploy_policy(
            "uniform", {}, features=features, name=name, data_dir=tmp_path, keys=KEYS, slots=L
        )
    arms = [{"name": name, "bundle": name} for name in ("three", "four")]
    definition = LiveExperiment.model_validate({"key": "home", "salt": "s", "arms": arms})
    with pytest.raises(BundleError, match="same requests, got three: 3 features of the caller, "):
        check_bundles(definition, lambda name: load_bundle(tmp_path, name, keys=KEYS))
    alone = definition.model_copy(update={"arms": [definition.arms[0]]})
    check_bundles(alone, lambda name: load_bundle(tmp_path, name, keys=KEYS))
