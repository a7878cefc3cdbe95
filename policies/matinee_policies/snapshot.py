"""Immutable states of policies, and their files.

A file is a plain npz (read without pickle) of the arrays and of one JSON document with kind,
version, manifest and content hash. Its last 64 bytes are the SHA-256 of all bytes before them, so
that any damage shows; it may be signed besides (`snapshot_signature.py`). `snapshot_file.py` knows
the bytes. `Snapshot.content_hash` names the state itself and does not depend on the file.
"""

import hashlib
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
from matinee_policies.snapshot_file import parse_arrays, read_arrays, write_bytes
from matinee_policies.snapshot_signature import SigningKeys

_FORMAT = "matinee-snapshot-1"
_DOCUMENT = "snapshot_json"


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
        if not _is_word(self.kind) or type(self.version) is not int:
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

    def save(self, path: Path | str, *, keys: SigningKeys | None = None) -> None:
        """Write the file at once or not at all; an existing file is replaced.

        Args:
            path: where to write; its folder must exist.
            keys: the first of them signs the file; it is not signed without.
        """
        target = Path(path)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(self.to_bytes(keys=keys))
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    @classmethod
    def load(cls, path: Path | str, *, keys: SigningKeys | None = None) -> Self:
        """Read a file that `save` wrote.

        Args:
            path: the file.
            keys: one of them must have signed the file; without, signatures are not looked at.

        Raises:
            SnapshotError: if the file is missing, damaged, foreign, of an unknown format or not
                signed as it must be.
        """
        return cls._restored(read_arrays(path, keys=keys), path)

    def to_bytes(self, *, keys: SigningKeys | None = None) -> bytes:
        """The content of the file that `save` writes."""
        # It ties the arrays to their names: a file cannot be put together of members of others.
        text = self._document(content_hash=self.content_hash)
        return write_bytes(
            {**self.arrays, _DOCUMENT: np.frombuffer(text, dtype=np.uint8)}, keys=keys
        )

    @classmethod
    def from_bytes(cls, content: bytes, *, origin: str, keys: SigningKeys | None = None) -> Self:
        """The inverse of `to_bytes`; `origin` names it in errors, which are those of `load`."""
        return cls._restored(parse_arrays(content, origin=origin, keys=keys), origin)

    @classmethod
    def _restored(cls, arrays: dict[str, AnyArray], path: Path | str) -> Self:
        try:
            document = json.loads(arrays.pop(_DOCUMENT).tobytes())
            found, manifest = document["format"], document["manifest"]
            kind, version = document["kind"], document["version"]
            wanted = document.get("content_hash")
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise SnapshotError(f"snapshot {path} has no readable description: {error}") from None
        if found != _FORMAT:
            raise SnapshotError(f"snapshot {path} must be of format {_FORMAT}, got {found!r}")
        if not isinstance(manifest, dict):
            raise SnapshotError(f"snapshot {path} must hold a manifest by name, got {manifest!r}")
        try:
            snapshot = cls(kind=kind, version=version, arrays=arrays, manifest=manifest)
            content_hash = snapshot.content_hash
        except (SnapshotError, UnicodeError, RecursionError) as error:
            raise SnapshotError(f"snapshot {path}: {error}") from None
        # Files from before it was written down have none.
        if wanted is not None and wanted != content_hash:
            raise SnapshotError(
                f"snapshot {path} must hold the content that it names, {wanted!r}, "
                f"got {content_hash!r}"
            )
        return snapshot

    def _document(self, **more: str) -> bytes:
        fields = {"kind": self.kind, "version": self.version, "manifest": self.manifest}
        return _canonical_json({"format": _FORMAT, **fields, **more}).encode()


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


def _is_word(name: object) -> bool:
    """Whether it can be shown as it is: no control character of a terminal, say."""
    return isinstance(name, str) and name.isprintable()


def _frozen(name: str, array: AnyArray) -> AnyArray:
    if not _is_word(name):
        raise SnapshotError(f"names of snapshot arrays must be printable, got {name!r}")
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
