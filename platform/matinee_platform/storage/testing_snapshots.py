"""The tests that every home of snapshots passes, a folder and a table: `SnapshotStoreContract`.

Subclass it, and give the fixtures that it asks for. Needs pytest.
"""

# ruff: noqa: D102, S101 -- names say what tests promise; they assert

import numpy as np
import pytest

from matinee_platform.storage.ports import SnapshotStore
from matinee_platform.storage.testing_control import example_snapshot
from matinee_policies.errors import ConfigError, SnapshotError


class SnapshotStoreContract:
    """What `SnapshotStore` promises; needs the fixtures `store`, empty, and `stranger`.

    `stranger` is a store of the same place whose keys are others.
    """

    def test_round_trip(self, store: SnapshotStore) -> None:
        snapshot = example_snapshot(3.0)
        store.save("home", "new", 7, snapshot)
        back = store.load("home", "new", 7)
        assert back.content_hash == snapshot.content_hash
        assert back.manifest == snapshot.manifest
        assert np.array_equal(back.arrays["theta"], snapshot.arrays["theta"])

    def test_versions_rise_and_go(self, store: SnapshotStore) -> None:
        assert store.versions("home", "old") == []
        for version in (10, 2, 0, 123_456_789):
            store.save("home", "old", version, example_snapshot(version))
        store.save("home", "other", 5, example_snapshot(0.0))
        assert store.versions("home", "old") == [0, 2, 10, 123_456_789]
        store.delete("home", "old", [2, 3, 10])
        store.delete("home", "old", [2])
        assert store.versions("home", "old") == [0, 123_456_789]
        assert store.versions("home", "other") == [5]

    def test_a_version_without_barrier_may_be_replaced(self, store: SnapshotStore) -> None:
        store.save("home", "twice", 1, example_snapshot(1.0))
        store.save("home", "twice", 1, example_snapshot(2.0))
        assert store.load("home", "twice", 1).content_hash == example_snapshot(2.0).content_hash

    def test_missing_and_misnamed(self, store: SnapshotStore) -> None:
        with pytest.raises(SnapshotError):
            store.load("home", "new", 99)
        for experiment, arm, version in (("../home", "a", 0), ("home", "", 0), ("home", "a", -1)):
            with pytest.raises(ConfigError):
                store.save(experiment, arm, version, example_snapshot(0.0))

    def test_signed_by_another_is_refused(
        self, store: SnapshotStore, stranger: SnapshotStore
    ) -> None:
        stranger.save("home", "forged", 0, example_snapshot(0.0))
        with pytest.raises(SnapshotError, match="home/forged/00000000"):
            store.load("home", "forged", 0)

    def test_any_damage_is_refused(self, store: SnapshotStore) -> None:
        store.save("home", "damaged", 0, example_snapshot(0.0))
        content = self.content(store, "home", "damaged", 0)
        rng = np.random.default_rng(5)
        for bit in rng.choice(8 * len(content), size=60, replace=False).tolist():
            damaged = bytearray(content)
            damaged[bit // 8] ^= 1 << bit % 8
            self.replace(store, "home", "damaged", 0, bytes(damaged))
            with pytest.raises(SnapshotError):
                store.load("home", "damaged", 0)
        self.replace(store, "home", "damaged", 0, content)
        assert store.load("home", "damaged", 0).content_hash == example_snapshot(0.0).content_hash

    def content(self, store: SnapshotStore, experiment: str, arm: str, version: int) -> bytes:
        """The stored bytes, read past the store."""
        raise NotImplementedError

    def replace(
        self, store: SnapshotStore, experiment: str, arm: str, version: int, content: bytes
    ) -> None:
        """Store other bytes, past the store."""
        raise NotImplementedError
