"""The runtime answers whatever the policy does, and takes up no snapshot that it cannot trust."""

import asyncio
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matinee_platform.clock import FakeClock
from matinee_platform.experiments.definition import HOLDOUT_ARM, LiveExperiment
from matinee_platform.experiments.errors import UnknownExperimentError
from matinee_platform.serving.asks import Ask, Decided
from matinee_platform.serving.bundle import MANIFEST, load_bundle, write_bundle
from matinee_platform.serving.deploy import deploy_policy
from matinee_platform.serving.errors import BundleError
from matinee_platform.serving.observer import Nobody
from matinee_platform.serving.runtime import LiveRuntime, Running
from matinee_platform.serving.swap import SnapshotPoller
from matinee_platform.serving.testing_log import TestingLog
from matinee_platform.storage.records import Barrier, ServedBy
from matinee_policies.errors import ConfigError, ContextError
from matinee_policies.records import OutcomeBatch
from matinee_policies.registry import restore_policy
from matinee_policies.snapshot import Snapshot
from matinee_policies.snapshot_signature import SigningKeys

KEYS = SigningKeys({"service": bytes(range(32))})
BUDGET_MS = 150.0
D, K, L = 3, 8, 4

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
        self.served: list[tuple[str, str]] = []

    def serves(self, experiment: str, arm: str) -> None:
        self.served.append((experiment, arm))

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
        assert watcher.served == [("home", "new")]
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


class Stores:
    """Barriers and snapshots of one arm."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.newest: Barrier | None = None

    def last(self, experiment: str, arm: str) -> Barrier | None:
        return self.newest

    def path(self, version: int) -> Path:
        return self.folder / f"{version}.npz"

    def load(self, experiment: str, arm: str, version: int) -> Snapshot:
        return Snapshot.load(self.path(version), keys=KEYS)

    def add(self, snapshot: Snapshot, version: int, keys: SigningKeys | None = KEYS) -> None:
        snapshot.save(self.path(version), keys=keys)
        self.newest = Barrier(
            experiment="home",
            arm="new",
            version=version,
            seq=1,
            time_ms=1,
            snapshot_hash=snapshot.content_hash,
            created_at=1,
        )


def learned(snapshot: Snapshot, seed: int) -> Snapshot:
    policy = restore_policy(snapshot)
    rng = np.random.default_rng(seed)
    policy.learn(
        OutcomeBatch(
            component="engagement",
            first=True,
            features=rng.random((20, L, D), dtype=np.float32),
            rewards=rng.random((20, L)),
            shown=np.ones((20, L), dtype=np.bool_),
            propensities=np.ones((20, L)),
            shards=np.zeros(20, dtype=np.uint8),
        )
    )
    return policy.snapshot()


def test_damaged_and_forged_snapshots_are_refused(tmp_path: Path) -> None:
    deploy_policy("lin_ucb", {}, features=D, name="b", data_dir=tmp_path, keys=KEYS, slots=L)
    watcher, stores = Watcher(), Stores(tmp_path)
    runtime = runtime_of(tmp_path, watcher)

    async def scene() -> None:
        await runtime.apply([running("b")], Arms("new"))
        arm = runtime.arms[0]
        poller = SnapshotPoller(stores, stores, observer=watcher)  # type: ignore[arg-type]
        assert poller.poll(runtime.arms) == []
        second = learned(arm.bundle.snapshot, 1)
        stores.add(second, 1)
        for swap in poller.poll(runtime.arms):
            swap.take()
        assert (arm.version, watcher.versions) == (1, [1])
        before = await runtime.decide(ask(5))
        stores.add(learned(second, 2), 2)
        whole = stores.path(2).read_bytes()
        luck = random.Random(3)  # noqa: S311
        for _ in range(1_000):
            place = luck.randrange(len(whole))
            spoilt = bytearray(whole)
            spoilt[place] ^= 1 << luck.randrange(8)
            stores.path(2).write_bytes(spoilt)
            assert poller.poll(runtime.arms) == []
        # Forged: another state under the same version, unsigned or signed by somebody else.
        other = learned(second, 9)
        for keys in (None, SigningKeys({"service": bytes(32)})):
            other.save(stores.path(2), keys=keys)
            assert poller.poll(runtime.arms) == []
        # A state of ours, but not the one that the barrier names.
        other.save(stores.path(2), keys=KEYS)
        assert poller.poll(runtime.arms) == []
        assert await runtime.decide(ask(5)) == before
        assert watcher.refused == [2]
        stores.path(2).write_bytes(whole)
        for swap in poller.poll(runtime.arms):
            swap.take()
        after = await runtime.decide(ask(5))
        assert after.record is not None
        assert (arm.version, after.record.snapshot) == (2, 2)
        await runtime.close()

    asyncio.run(scene())


def test_a_bundle_holds_what_its_manifest_says_and_nothing_else(tmp_path: Path) -> None:
    deploy_policy("lin_ucb", {}, features=D, name="b", data_dir=tmp_path, keys=KEYS, slots=L)
    folder = tmp_path / "bundles" / "b"
    assert load_bundle(tmp_path, "b", keys=KEYS).verified
    assert not load_bundle(tmp_path, "b").verified
    files = {path: path.read_bytes() for path in sorted(folder.iterdir())}
    luck = random.Random(4)  # noqa: S311
    for number in range(300):
        path = list(files)[number % len(files)]
        spoilt = bytearray(files[path])
        spoilt[luck.randrange(len(spoilt))] ^= 1 << luck.randrange(8)
        path.write_bytes(spoilt)
        with pytest.raises(BundleError):
            load_bundle(tmp_path, "b", keys=KEYS)
        path.write_bytes(files[path])
    (folder / "more.py").write_text("raise SystemExit")
    with pytest.raises(BundleError, match=r"must hold no other file .*got 'more.py'"):
        load_bundle(tmp_path, "b", keys=KEYS)
    (folder / "more.py").unlink()
    (folder / "link").symlink_to(folder / MANIFEST)
    with pytest.raises(BundleError, match="regular files alone"):
        load_bundle(tmp_path, "b", keys=KEYS)
    (folder / "link").unlink()
    with pytest.raises(BundleError, match="is not that of key 'service'"):
        load_bundle(tmp_path, "b", keys=SigningKeys({"service": bytes(32)}))
    with pytest.raises(BundleError, match="there is no bundle 'c'"):
        load_bundle(tmp_path, "c", keys=KEYS)
    # A bundle that somebody renamed is not what was signed.
    folder.rename(folder.with_name("c"))
    with pytest.raises(BundleError, match="must have its own name"):
        load_bundle(tmp_path, "c", keys=KEYS)


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
