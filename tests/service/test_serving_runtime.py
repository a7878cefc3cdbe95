"""The runtime answers whatever the policy does."""

import asyncio
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from matinee_platform.experiments.definition import HOLDOUT_ARM
from matinee_platform.experiments.errors import UnknownExperimentError
from matinee_platform.serving.asks import Ask, Decided
from matinee_platform.serving.bundle import load_bundle, write_bundle
from matinee_platform.serving.deploy import deploy_policy
from matinee_platform.serving.errors import BundleError
from matinee_platform.serving.testing_runtime import (
    BUDGET_MS,
    KEYS,
    Arms,
    D,
    K,
    L,
    Watcher,
    ask,
    running,
    runtime_of,
)
from matinee_platform.storage.records import ServedBy
from matinee_policies.errors import ConfigError, ContextError

MODULE = """
import threading, time
import numpy as np
from matinee_policies import ScoreOrder
from matinee_policies.score_order import ScoreOrderConfig

MODE = {"mode": "fine", "stop": threading.Event()}

class Moody(ScoreOrder):
    config_type = ScoreOrderConfig

    def decide(self, contexts, *, slots, keys):
        mode = MODE["mode"]
        slates = super().decide(contexts, slots=slots, keys=keys)
        if mode == "raise":
            raise KeyError("no")
        if mode == "raise on unit" and (contexts.features[:, 0, 0] > 5).any():
            raise ValueError("one of them")
        if mode == "sleep":
            MODE["stop"].wait(60)
        if mode == "spin":
            while not MODE["stop"].is_set():
                pass
        if mode == "nan":
            slates.propensities[:, 1] = np.nan
        if mode == "zero":
            slates.propensities[:, 1] = 0.0
        if mode == "above one":
            slates.propensities[:, 0] = 1.5
        if mode == "shape":
            object.__setattr__(slates, "positions", slates.positions[:, :-1])
        if mode == "type":
            return slates.items
        if mode == "outside":
            slates.positions[:, 0] = 99
        return slates
"""


@pytest.fixture
def moods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    (tmp_path / "moody_policies.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    deploy_policy(
        "moody_policies:Moody", {}, features=D, name="moody", data_dir=tmp_path, keys=KEYS, slots=L
    )
    module = sys.modules["moody_policies"]
    yield module.MODE
    module.MODE["stop"].set()
    del sys.modules["moody_policies"]


def is_default(found: Decided, asked: Ask) -> bool:
    record = found.record
    return (
        asked.candidates is not None
        and found.items == list(asked.candidates[:L])
        and found.propensities == [1.0] * L
        and record is not None
        and record.arm == "new"
        and record.served_by == ServedBy.FALLBACK
    )


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("raise", "raised"),
        ("nan", "raised"),
        ("zero", "raised"),
        ("above one", "raised"),
        ("shape", "raised"),
        ("type", "raised"),
        ("outside", "raised"),
    ],
)
def test_a_broken_policy_gives_way_to_the_order_of_the_candidates(
    tmp_path: Path, moods: dict[str, Any], mode: str, reason: str
) -> None:
    watcher = Watcher()
    runtime = runtime_of(tmp_path, watcher)

    async def scene() -> None:
        await runtime.apply([running("moody")], Arms("new"))
        fine = await runtime.decide(ask(1))
        assert fine.record is not None
        assert (fine.fallback, fine.record.served_by) == (None, ServedBy.POLICY)
        moods["mode"] = mode
        asks = [ask(number) for number in range(2, 7)]
        for asked, found in zip(
            asks, await asyncio.gather(*(runtime.decide(one) for one in asks)), strict=True
        ):
            assert is_default(found, asked)
            assert found.fallback == reason
        assert watcher.reasons == [reason] * 5
        moods["mode"] = "fine"
        assert (await runtime.decide(ask(9))).fallback is None
        await runtime.close()

    asyncio.run(scene())


@pytest.mark.parametrize("spoil", ["nan", "zero", "above one", "shape", "type", "outside"])
def test_own_kinds_are_held_to_the_same_form(
    tmp_path: Path, moods: dict[str, Any], spoil: str
) -> None:
    """Without the guard of classes of the user's own: what a fault of ours would give."""
    watcher = Watcher()
    deploy_policy("lin_ucb", {}, features=D, name="ours", data_dir=tmp_path, keys=KEYS, slots=L)
    runtime = runtime_of(tmp_path, watcher)

    async def scene() -> None:
        await runtime.apply([running("ours")], Arms("new"))
        moods["mode"] = spoil
        runtime.arms[0].swap(sys.modules["moody_policies"].Moody(), version=0)
        found = await runtime.decide(ask(2))
        assert is_default(found, ask(2))
        assert found.fallback == "invalid"
        await runtime.close()

    asyncio.run(scene())


def test_one_page_that_fails_does_not_take_the_others_with_it(
    tmp_path: Path, moods: dict[str, Any]
) -> None:
    runtime = runtime_of(tmp_path, Watcher())

    async def scene() -> None:
        await runtime.apply([running("moody")], Arms("new"))
        asks = [ask(number) for number in range(1, 6)]
        alone = [await runtime.decide(one) for one in asks]
        moods["mode"] = "raise on unit"
        bad = ask(7, features=[[9.0] * D] * (K - 1))
        *others, fallen = await asyncio.gather(*(runtime.decide(one) for one in [*asks, bad]))
        assert others == alone
        assert is_default(fallen, bad)
        with pytest.raises(ContextError, match="scores must be within 0 and 1"):
            await asyncio.gather(
                *(runtime.decide(one) for one in asks),
                runtime.decide(ask(3, scores=[2.0] * K)),
            )
        await runtime.close()

    asyncio.run(scene())


@pytest.mark.parametrize("mode", ["sleep", "spin"])
def test_a_hung_policy_is_given_up_until_it_comes_back(
    tmp_path: Path, moods: dict[str, Any], mode: str
) -> None:
    watcher = Watcher()
    runtime = runtime_of(tmp_path, watcher)

    async def scene() -> None:
        await runtime.apply([running("moody")], Arms("new"))
        assert (await runtime.decide(ask(1))).fallback is None
        moods["mode"] = mode
        found = await runtime.decide(ask(2))
        assert is_default(found, ask(2))
        assert found.fallback == "late"
        # The breaker is open: nobody waits for the budget again.
        began = time.monotonic()
        for number in range(3, 13):
            found = await runtime.decide(ask(number))
            assert is_default(found, ask(number))
            assert found.fallback == "hung"
        assert time.monotonic() - began < 10 * BUDGET_MS / 1_000 or mode == "spin"
        moods["mode"] = "fine"
        moods["stop"].set()
        while (found := await runtime.decide(ask(20))).fallback is not None:
            assert found.fallback in ("late", "hung")
            await asyncio.sleep(0.001)
        assert found.record is not None
        assert found.record.served_by == ServedBy.POLICY
        assert watcher.reasons[:11] == ["late"] + ["hung"] * 10
        await runtime.close()

    asyncio.run(scene())


def test_modes_holdout_and_units_outside(tmp_path: Path) -> None:
    deploy_policy("uniform", {}, features=D, name="u", data_dir=tmp_path, keys=KEYS, slots=L)
    runtime = runtime_of(tmp_path, Watcher())

    async def scene() -> None:
        await runtime.apply([running("u", learning="apprentice")], Arms("new"))
        for unit, arm, served in (
            ("unit", "new", ServedBy.DEFAULT),
            ("held", HOLDOUT_ARM, ServedBy.DEFAULT),
            ("outside", None, None),
        ):
            asked = ask(4, unit=unit)
            found = await runtime.decide(asked)
            assert asked.candidates is not None
            assert found.items == list(asked.candidates[:L])
            assert found.fallback is None
            if arm is None:
                assert found.record is None
            else:
                assert found.record is not None
                assert (found.record.arm, found.record.served_by) == (arm, served)
                assert (await runtime.answer(found.record)).items == found.items
        with pytest.raises(UnknownExperimentError):
            await runtime.decide(ask(1, experiment="none"))
        with pytest.raises(ContextError, match="slots must be within 1 and 4"):
            await runtime.decide(ask(1, slots=5))
        with pytest.raises(ContextError, match="features must be"):
            await runtime.decide(ask(1, features=[[1.0]] * (K - 1)))
        short = await runtime.decide(ask(1, slots=2))
        assert short.record is not None
        assert len(short.items) == 2
        assert len(short.record.slate) == 8
        await runtime.apply([], Arms("new"))
        with pytest.raises(UnknownExperimentError):
            await runtime.decide(ask(1))
        assert (await runtime.answer(short.record)).items == short.items
        await runtime.close()

    asyncio.run(scene())


def test_features_of_callers_give_the_same_slate_alone_and_together(tmp_path: Path) -> None:
    config = {"alpha": 0.3, "diversity": 0.3, "floor": 0.2}
    deploy_policy("lin_ucb", config, features=D, name="d", data_dir=tmp_path, keys=KEYS, slots=L)
    runtime = runtime_of(tmp_path, Watcher())

    async def scene() -> None:
        await runtime.apply([running("d")], Arms("new"))
        asks = [ask(number, unit=f"unit-{number}") for number in range(40)]
        alone = [await runtime.decide(one) for one in asks]
        together = await asyncio.gather(*(runtime.decide(one) for one in asks))
        assert together == alone
        assert len({tuple(one.items) for one in alone}) == 40
        await runtime.close()

    asyncio.run(scene())
    with pytest.raises(ConfigError, match="caps need a catalogue"):
        deploy_policy("lin_ucb", {"caps": {"aspect": 1}}, features=D, name="c", data_dir=tmp_path)


def test_a_class_of_the_users_own_needs_a_verified_bundle(
    tmp_path: Path, moods: dict[str, Any]
) -> None:
    bundle = load_bundle(tmp_path, "moody")
    with pytest.raises(BundleError, match="must be signed"):
        bundle.policy()
    assert load_bundle(tmp_path, "moody", keys=KEYS).policy().name == "score_order"
    with pytest.raises(BundleError, match="already"):
        write_bundle(
            tmp_path,
            bundle.manifest,
            snapshot=bundle.snapshot,
            model=None,
            item_ids=(),
            keys=None,
        )
