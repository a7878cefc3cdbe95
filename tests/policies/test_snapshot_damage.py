"""Damaged and forged snapshots are refused: none crashes, hangs, takes memory or is accepted."""

import hashlib
import io
import json
import os
import struct
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matinee_policies.errors import SnapshotError
from matinee_policies.lin_ucb import LinUCB
from matinee_policies.snapshot import Snapshot
from matinee_policies.testing_data import example_outcomes


@pytest.fixture(scope="module")
def state() -> Snapshot:
    policy = LinUCB(dimension=4)
    policy.learn(example_outcomes(1, slates=40, dimension=4))
    return policy.snapshot()


@pytest.fixture(scope="module")
def whole(state: Snapshot, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "state.npz"
    state.save(path)
    return path.read_bytes()


def sealed(body: bytes) -> bytes:
    """What a forger without a key can do: a right SHA-256 under any bytes."""
    return body + hashlib.sha256(body).hexdigest().encode()


def damaged(content: bytes, seed: int) -> Iterator[bytes]:
    """A thousand flips of a bit, and 400 other damages."""
    random = np.random.default_rng(seed)

    def place() -> int:
        return int(random.integers(len(content)))

    for _ in range(1_000):
        flipped = bytearray(content)
        flipped[place()] ^= 1 << int(random.integers(8))
        yield bytes(flipped)
    for _ in range(150):
        yield content[: place()]
    for _ in range(100):
        yield content + random.bytes(int(random.integers(1, 200)))
    for _ in range(50):
        start = place()
        yield content[:start] + content[start + 1 + int(random.integers(100)) :]
    for _ in range(50):
        start = place()
        yield content[:start] + random.bytes(int(random.integers(1, 100))) + content[start:]
    for _ in range(50):
        one, other = sorted((place(), place()))
        swapped = bytearray(content)
        swapped[one], swapped[other] = (
            content[other],
            content[one] ^ (content[one] == content[other]),
        )
        yield bytes(swapped)


def test_a_thousand_flips_and_more_are_refused(whole: bytes, tmp_path: Path) -> None:
    path, count = tmp_path / "damaged.npz", 0
    for content in damaged(whole, seed=3):
        assert content != whole
        path.write_bytes(content)
        with pytest.raises(SnapshotError):
            Snapshot.load(path)
        count += 1
    assert count == 1_400


def test_what_is_damaged_and_sealed_again_is_refused_or_says_the_same(
    whole: bytes, state: Snapshot, tmp_path: Path
) -> None:
    """The dates of a zip's members, say, are nobody's business; any other change must show."""
    path, random, refused = tmp_path / "forged.npz", np.random.default_rng(5), 0
    body = whole[:-64]
    for turn in range(300):
        changed = bytearray(body)
        # Half of them where the zip keeps its books.
        low = 0 if turn % 2 else len(body) - 600
        changed[int(random.integers(low, len(body)))] ^= 1 << int(random.integers(8))
        path.write_bytes(sealed(bytes(changed)))
        try:
            assert Snapshot.load(path).content_hash == state.content_hash
        except SnapshotError:
            refused += 1
    assert refused > 200


Member = tuple[str, bytes]


def npz(members: list[Member], *, compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return sealed(buffer.getvalue()[:-2] + (64).to_bytes(2, "little"))


def npy(array: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, **options)
    return buffer.getvalue()


def header(text: str, numbers: bytes = b"") -> bytes:
    """An npy member with a header of our own."""
    padded = text.encode("latin1") + b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded + numbers


def document(**changes: Any) -> Member:
    fields = {"format": "matinee-snapshot-1", "kind": "a", "version": 1, "manifest": {}, **changes}
    return text_document(json.dumps(fields))


def text_document(text: str) -> Member:
    return "snapshot_json.npy", npy(np.frombuffer(text.encode(), dtype=np.uint8))


THETA: Member = ("theta.npy", npy(np.arange(3.0)))
HUGE = "{'descr': '<f8', 'fortran_order': False, 'shape': (%s,), }"


def members_of(content: bytes) -> list[Member]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [(entry.filename, archive.read(entry)) for entry in archive.infolist()]


def swapped(whole: bytes) -> bytes:
    """The inverse under the name of theta and the other way round."""
    names = {"theta.npy": "inverse.npy", "inverse.npy": "theta.npy"}
    return npz([(names.get(name, name), part) for name, part in members_of(whole)])


def overlapping(_: bytes) -> bytes:
    """Many entries of one directory that name the same bytes, as a zip bomb does."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(*document())
        archive.writestr("theta.npy", npy(np.zeros(4_000)))
        first = archive.infolist()[-1]
        for number in range(2_000):
            twin = zipfile.ZipInfo(f"theta{number}.npy")
            twin.header_offset, twin.CRC = first.header_offset, first.CRC
            twin.file_size = twin.compress_size = first.file_size
            archive.filelist.append(twin)
    return sealed(buffer.getvalue()[:-2] + (64).to_bytes(2, "little"))


FORGERIES: dict[str, Callable[[bytes], bytes]] = {
    "members swapped": swapped,
    "a member left out": lambda whole: npz(members_of(whole)[1:]),
    "an unknown member": lambda whole: npz([*members_of(whole), ("more.npy", npy(np.zeros(2)))]),
    "a member that is no array": lambda whole: npz([*members_of(whole), ("run.py", b"import os")]),
    "the same member twice": lambda _: npz_twice(),
    "no document": lambda _: npz([THETA]),
    "compressed": lambda _: npz([document(), THETA], compression=zipfile.ZIP_DEFLATED),
    "a bomb": lambda _: npz(
        [document(), ("theta.npy", header(HUGE % 2**21, bytes(2**24)))],
        compression=zipfile.ZIP_DEFLATED,
    ),
    "a huge shape": lambda _: npz([document(), ("theta.npy", header(HUGE % 2**60, bytes(24)))]),
    "a length below 0": lambda _: npz([document(), ("theta.npy", header(HUGE % -3, bytes(24)))]),
    "a shape of a thousand lengths": lambda _: npz(
        [document(), ("theta.npy", header(HUGE % ("1," * 999 + "3"), bytes(24)))]
    ),
    "a header of brackets": lambda _: npz([document(), ("theta.npy", header("(" * 9_000))]),
    "a header that is too long": lambda _: npz([document(), ("theta.npy", header(" " * 60_000))]),
    "a header that runs": lambda _: npz(
        [document(), ("theta.npy", header("__import__('os').abort()"))]
    ),
    "numbers missing": lambda _: npz([document(), ("theta.npy", THETA[1][:-1])]),
    "numbers too many": lambda _: npz([document(), ("theta.npy", THETA[1] + b"0")]),
    "pickled objects": lambda _: npz(
        [document(), ("theta.npy", npy(np.array([{}], dtype=object), allow_pickle=True))]
    ),
    "texts": lambda _: npz([document(), ("theta.npy", npy(np.array(["a"])))]),
    "records": lambda _: npz([document(), ("theta.npy", npy(np.zeros(2, dtype="i4,f8")))]),
    "Fortran order": lambda _: npz(
        [document(), ("theta.npy", npy(np.asfortranarray(np.zeros((2, 3)))))]
    ),
    "another npy version": lambda _: npz(
        [document(), ("theta.npy", npy(np.zeros(3), version=(3, 0)))]
    ),
    "truth values that are none": lambda _: npz(
        [
            document(),
            (
                "yes.npy",
                header("{'descr': '|b1', 'fortran_order': False, 'shape': (2,), }", b"\2\3"),
            ),
        ]
    ),
    "members that share bytes": overlapping,
    "nested JSON": lambda _: npz([text_document("[" * 200_000), THETA]),
    "no JSON": lambda _: npz([text_document("{"), THETA]),
    "JSON of another shape": lambda _: npz([text_document("[1, 2]"), THETA]),
    "a manifest that is none": lambda _: npz([document(manifest=[1]), THETA]),
    "an empty word as manifest": lambda _: npz([document(manifest=""), THETA]),
    "a kind that is no word": lambda _: npz([document(kind=["a"]), THETA]),
    "a version that is no number": lambda _: npz([document(version=True), THETA]),
    "NaN": lambda _: npz([document(manifest={"rate": float("nan")}), THETA]),
    "a kind that rings the bell": lambda _: npz([document(kind="a\x07"), THETA]),
    "a kind of half a letter": lambda _: npz([document(kind="\ud800"), THETA]),
    "an array that clears the screen": lambda _: npz([document(), ("\x1b[2J.npy", THETA[1])]),
    "another content": lambda _: npz([document(content_hash="0" * 64), THETA]),
    "another format": lambda _: npz([document(format="matinee-snapshot-7"), THETA]),
}


def npz_twice() -> bytes:
    with pytest.warns(UserWarning, match="Duplicate name"):
        return npz([document(), THETA, THETA])


@pytest.mark.parametrize("name", FORGERIES)
def test_forgeries_under_a_right_seal_are_refused(name: str, whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "forged.npz"
    path.write_bytes(FORGERIES[name](whole))
    tracemalloc.start()
    try:
        with pytest.raises(SnapshotError):
            Snapshot.load(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * path.stat().st_size + 2**22


def test_the_forgeries_are_refused_for_what_was_forged(tmp_path: Path) -> None:
    path = tmp_path / "plain.npz"
    path.write_bytes(npz([document(), THETA]))
    assert Snapshot.load(path).arrays["theta"].tolist() == [0.0, 1.0, 2.0]


def test_pipes_devices_and_folders_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, message in (
        (tmp_path / "pipe", "it is no regular file"),
        (Path("/dev/zero"), "it is no regular file"),
        (tmp_path, "it is a folder"),
        (Path("a\0b"), "cannot be read"),
    ):
        with pytest.raises(SnapshotError, match=message):
            Snapshot.load(path)


def test_files_without_end_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "sparse.npz"
    with path.open("wb") as file:
        file.truncate(2**32 + 1)
    with pytest.raises(SnapshotError, match="must have at most 4294967296 bytes"):
        Snapshot.load(path)
