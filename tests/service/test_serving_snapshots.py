"""The runtime takes up no snapshot and no bundle that it cannot trust."""

import asyncio
import random
from pathlib import Path

import numpy as np
import pytest

from matinee_platform.serving.bundle import MANIFEST, load_bundle
from matinee_platform.serving.deploy import deploy_policy
from matinee_platform.serving.errors import BundleError
from matinee_platform.serving.swap import SnapshotPoller
from matinee_platform.serving.testing_runtime import (
    KEYS,
    Arms,
    D,
    L,
    Watcher,
    ask,
    running,
    runtime_of,
)
from matinee_platform.storage.records import Barrier
from matinee_policies.records import OutcomeBatch
from matinee_policies.registry import restore_policy
from matinee_policies.snapshot import Snapshot
from matinee_policies.snapshot_signature import SigningKeys


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
