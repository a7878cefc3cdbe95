"""Immutable states of policies, and their files.

A file is a plain npz (read without pickle) of the arrays and of one JSON document with kind,
version and manifest. Its zip comment, the last 64 bytes, is the SHA-256 of all bytes before the
comment, so that any damage shows. `Snapshot.content_hash` names the state itself and does not
depend on the file.
"""

import hashlib
import io
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from matinee_policies.arrays import AnyArray
from matinee_policies.config import plain
from matinee_policies.errors import SnapshotError

_FORMAT = "matinee-snapshot-1"
_DOCUMENT = "snapshot_json"
_DIGEST_LENGTH = 64
_COMMENT_LENGTH = _DIGEST_LENGTH.to_bytes(2, "little")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole state of a policy.

    Attributes:
        kind: which policy restores it.
        version: layout of the arrays of this kind; a policy refuses layouts that it does not know.
        arrays: numbers and booleans of any shape; copied and read-only.
        manifest: JSON values: config, dimension, counters.
    """

    kind: str
    version: int
    arrays: Mapping[str, AnyArray]
    manifest: Mapping[str, Any]

    def __post_init__(self) -> None:
        if not isinstance(self.kind, str) or not isinstance(self.version, int):
            raise SnapshotError(
                f"kind must be a word and version a whole number, "
                f"got {self.kind!r} and {self.version!r}"
            )
        arrays = {name: _frozen(name, array) for name, array in sorted(self.arrays.items())}
        object.__setattr__(self, "arrays", arrays)
        try:
            manifest = json.loads(_canonical_json(dict(self.manifest)))
        except (TypeError, ValueError) as error:
            raise SnapshotError(f"manifest must be JSON: {error}") from None
        object.__setattr__(self, "manifest", manifest)

    @property
    def content_hash(self) -> str:
        """SHA-256 of kind, version, manifest and arrays, 64 hex digits."""
        digest = hashlib.sha256(self._document())
        for name, array in self.arrays.items():
            digest.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
            digest.update(array.tobytes())
        return digest.hexdigest()

    def save(self, path: Path | str) -> None:
        """Write the file at once or not at all; an existing file is replaced.

        Args:
            path: where to write; its folder must exist.
        """
        target = Path(path)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(self._file_bytes())
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read a file that `save` wrote.

        Args:
            path: the file.

        Raises:
            SnapshotError: if the file is missing, damaged, foreign or of an unknown format.
        """
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise SnapshotError(f"snapshot {path} cannot be read: {error.strerror}") from None
        arrays = _verified_arrays(content, path)
        try:
            document = json.loads(arrays.pop(_DOCUMENT).tobytes())
            found = document["format"]
            fields = {name: document[name] for name in ("kind", "version", "manifest")}
        except (KeyError, TypeError, ValueError) as error:
            raise SnapshotError(f"snapshot {path} has no readable description: {error}") from None
        if found != _FORMAT:
            raise SnapshotError(f"snapshot {path} must be of format {_FORMAT}, got {found!r}")
        return cls(arrays=arrays, **fields)

    def _document(self) -> bytes:
        fields = {"kind": self.kind, "version": self.version, "manifest": self.manifest}
        return _canonical_json({"format": _FORMAT, **fields}).encode()

    def _file_bytes(self) -> bytes:
        buffer = io.BytesIO()
        document = np.frombuffer(self._document(), dtype=np.uint8)
        np.savez(buffer, allow_pickle=False, **{**self.arrays, _DOCUMENT: document})
        # A zip ends with the length of its comment, 0 so far.
        body = buffer.getvalue()[:-2] + _COMMENT_LENGTH
        return body + hashlib.sha256(body).hexdigest().encode()


def expect_snapshot(snapshot: Snapshot, *, kind: str, version: int) -> None:
    """Refuse a snapshot of another policy, or of a layout that its policy does not know.

    Raises:
        SnapshotError: with what was found.
    """
    if snapshot.kind != kind:
        raise SnapshotError(f"snapshot must be of kind {kind!r}, got {snapshot.kind!r}")
    if snapshot.version != version:
        raise SnapshotError(
            f"snapshot of {kind!r} must have version {version}, got {snapshot.version!r}"
        )


def snapshot_array(snapshot: Snapshot, name: str, *, shape: tuple[int, ...]) -> AnyArray:
    """A writable copy of one float64 array of a snapshot.

    Raises:
        SnapshotError: if it is missing, not finite, or of another type or shape.
    """
    array = snapshot.arrays.get(name)
    if array is None or array.dtype != np.float64 or array.shape != shape:
        got = "none" if array is None else f"{array.dtype} {array.shape}"
        raise SnapshotError(f"snapshot array {name!r} must be float64 {shape}, got {got}")
    if not np.isfinite(array).all():
        raise SnapshotError(f"snapshot array {name!r} must be finite, got NaN or infinity")
    return array.copy()


def _frozen(name: str, array: AnyArray) -> AnyArray:
    if name == _DOCUMENT or array.dtype.kind not in "biuf":
        raise SnapshotError(f"snapshot array {name!r} must hold numbers, got {array.dtype}")
    copy = np.array(array, order="C")
    copy.flags.writeable = False
    return copy


def _canonical_json(value: Any) -> str:
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_python_number
    )


def _python_number(value: Any) -> Any:
    """What JSON has for a number of numpy."""
    number = plain(value)
    if number is value:
        raise TypeError(f"{type(value).__name__} is no JSON value")
    return number


def _verified_arrays(content: bytes, path: Path | str) -> dict[str, AnyArray]:
    body, digest = content[:-_DIGEST_LENGTH], content[-_DIGEST_LENGTH:]
    if not body.startswith(b"PK") or not body.endswith(_COMMENT_LENGTH):
        raise SnapshotError(f"{path} is no snapshot, or its end is missing")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise SnapshotError(f"snapshot {path} is damaged: its SHA-256 does not match")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except Exception as error:  # whatever numpy and zipfile make of bytes that are no npz
        raise SnapshotError(f"snapshot {path} cannot be read: {error}") from None
