import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from matinee_policies.errors import SnapshotError
from matinee_policies.snapshot import Snapshot, expect_snapshot, snapshot_array


def example_snapshot() -> Snapshot:
    return Snapshot(
        kind="example",
        version=3,
        arrays={
            "theta": np.array([0.1, -2.5]),
            "counts": np.arange(6, dtype=np.int32).reshape(2, 3),
        },
        manifest={"config": {"alpha": 0.1, "top": None}, "rows": 7, "names": ["é", "b"]},
    )


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    saved = example_snapshot()
    saved.save(tmp_path / "a.npz")
    loaded = Snapshot.load(tmp_path / "a.npz")
    assert (loaded.kind, loaded.version, loaded.manifest) == ("example", 3, saved.manifest)
    assert list(loaded.arrays) == ["counts", "theta"]
    for name, array in saved.arrays.items():
        np.testing.assert_array_equal(loaded.arrays[name], array)
        assert loaded.arrays[name].dtype == array.dtype
    assert loaded.content_hash == saved.content_hash
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_the_file_is_a_plain_npz(tmp_path: Path) -> None:
    example_snapshot().save(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(file["theta"], [0.1, -2.5])
    with zipfile.ZipFile(tmp_path / "a.npz") as file:
        assert file.testzip() is None


def test_the_hash_names_the_content() -> None:
    snapshot = example_snapshot()
    fields = {
        "kind": snapshot.kind,
        "version": snapshot.version,
        "arrays": dict(snapshot.arrays),
        "manifest": snapshot.manifest,
    }

    def changed(**other: object) -> str:
        return Snapshot(**{**fields, **other}).content_hash  # type: ignore[arg-type]

    theta, counts = snapshot.arrays["theta"], snapshot.arrays["counts"]
    assert changed() == snapshot.content_hash
    assert changed(arrays={"theta": theta, "counts": np.asfortranarray(counts)}) == changed()
    others = [
        changed(kind="other"),
        changed(version=4),
        changed(manifest={**snapshot.manifest, "rows": 8}),
        changed(arrays={"theta": theta}),
        changed(arrays={"theta": theta, "count": counts}),
        changed(arrays={"theta": np.nextafter(theta, 1.0), "counts": counts}),
        changed(arrays={"theta": theta, "counts": counts.reshape(3, 2)}),
        changed(arrays={"theta": theta, "counts": counts.view(np.uint32)}),
    ]
    assert len({*others, snapshot.content_hash}) == len(others) + 1


def test_the_same_state_gives_the_same_bytes(tmp_path: Path) -> None:
    example_snapshot().save(tmp_path / "a.npz")
    example_snapshot().save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_arrays_are_copied_and_read_only() -> None:
    theta = np.array([1.0])
    snapshot = Snapshot(kind="a", version=1, arrays={"theta": theta}, manifest={})
    theta[0] = 2.0
    assert snapshot.arrays["theta"][0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        snapshot.arrays["theta"][0] = 3.0
    copy = snapshot_array(snapshot, "theta", shape=(1,))
    copy[0] = 3.0
    assert snapshot.arrays["theta"][0] == 1.0


def test_any_changed_byte_is_noticed(tmp_path: Path) -> None:
    example_snapshot().save(tmp_path / "a.npz")
    content = (tmp_path / "a.npz").read_bytes()
    damaged = tmp_path / "damaged.npz"
    end = len(content)
    for place in (*range(50), *range(50, end - 100, 7), *range(end - 100, end)):
        damaged.write_bytes(content[:place] + bytes([content[place] ^ 0x20]) + content[place + 1 :])
        with pytest.raises(SnapshotError):
            Snapshot.load(damaged)


def test_truncated_and_lengthened_files_are_refused(tmp_path: Path) -> None:
    example_snapshot().save(tmp_path / "a.npz")
    content = (tmp_path / "a.npz").read_bytes()
    damaged = tmp_path / "damaged.npz"
    for piece in (b"", content[:1], content[:100], content[:-1], content[1:], content + b"0"):
        damaged.write_bytes(piece)
        with pytest.raises(SnapshotError, match=r"no snapshot|does not match"):
            Snapshot.load(damaged)


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "plain.npz", theta=np.zeros(3))
    np.save(tmp_path / "plain.npy", np.zeros(3))
    (tmp_path / "state.pickle").write_bytes(pickle.dumps({"theta": [1, 2]}))
    (tmp_path / "text.txt").write_text("PK, but no zip\n" * 20)
    for name in ("plain.npz", "plain.npy", "state.pickle", "text.txt"):
        with pytest.raises(SnapshotError, match="is no snapshot"):
            Snapshot.load(tmp_path / name)
    for path in (tmp_path, tmp_path / "missing.npz"):
        with pytest.raises(SnapshotError, match="cannot be read"):
            Snapshot.load(path)


class _Tripwire:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (pytest.fail, ("a pickle was executed",))


def test_pickles_are_never_executed_even_under_a_valid_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = np.array([_Tripwire()], dtype=object)
    save = np.savez

    def save_with_pickle(file: object, **arrays: np.ndarray) -> None:
        save(file, **{**arrays, "allow_pickle": True, "theta": evil})  # type: ignore[arg-type]

    monkeypatch.setattr(np, "savez", save_with_pickle)
    example_snapshot().save(tmp_path / "evil.npz")
    with pytest.raises(SnapshotError, match=r"'theta\.npy' must hold numbers"):
        Snapshot.load(tmp_path / "evil.npz")


def test_another_format_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("matinee_policies.snapshot._FORMAT", "matinee-snapshot-9")
        example_snapshot().save(tmp_path / "new.npz")
    with pytest.raises(SnapshotError, match="must be of format matinee-snapshot-1"):
        Snapshot.load(tmp_path / "new.npz")


def test_a_failing_save_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "a.npz"
    example_snapshot().save(target)
    before = target.read_bytes()

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        Snapshot(kind="b", version=1, arrays={}, manifest={}).save(target)
    assert target.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_what_cannot_be_stored_is_refused() -> None:
    with pytest.raises(SnapshotError, match="'theta' must hold numbers, got object"):
        Snapshot(kind="a", version=1, arrays={"theta": np.array([None])}, manifest={})
    for manifest in ({"rate": float("nan")}, {"when": object()}):
        with pytest.raises(SnapshotError, match="manifest must be JSON"):
            Snapshot(kind="a", version=1, arrays={}, manifest=manifest)
    with pytest.raises(SnapshotError, match="kind must be a word and version a whole number"):
        Snapshot(kind="a", version="1", arrays={}, manifest={})  # type: ignore[arg-type]


def test_policies_can_refuse_what_they_do_not_know() -> None:
    snapshot = example_snapshot()
    expect_snapshot(snapshot, kind="example", version=3)
    with pytest.raises(SnapshotError, match="must be of kind 'lin_ucb', got 'example'"):
        expect_snapshot(snapshot, kind="lin_ucb", version=3)
    with pytest.raises(SnapshotError, match="'example' must have version 2, got 3"):
        expect_snapshot(snapshot, kind="example", version=2)
    for name, shape, message in (
        ("missing", (2,), "'missing' must be float64 .* got none"),
        ("theta", (3,), r"'theta' must be float64 \(3,\), got float64 \(2,\)"),
        ("counts", (2, 3), r"'counts' must be float64 \(2, 3\), got int32"),
    ):
        with pytest.raises(SnapshotError, match=message):
            snapshot_array(snapshot, name, shape=shape)
    infinite = Snapshot(kind="a", version=1, arrays={"x": np.array([np.inf])}, manifest={})
    with pytest.raises(SnapshotError, match="'x' must be finite"):
        snapshot_array(infinite, "x", shape=(1,))
