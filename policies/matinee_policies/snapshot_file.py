"""The bytes of a snapshot file: an npz that names its own content, sealed and perhaps signed.

    members           NAME.npy per array, and one JSON document as bytes; stored, not compressed
    zip comment       the record of a signature, if signed; then SHA-256 of all bytes before it

Reading trusts nothing. The seal shows every damage; what a forger could seal again is read by a
parser that takes only what `write_bytes` makes: no compression, no pickle, no Fortran order, no
member whose header asks for more bytes than there are. So memory is bounded by the file's size.
"""

import hashlib
import io
import math
import re
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from matinee_policies.arrays import AnyArray
from matinee_policies.errors import SnapshotError
from matinee_policies.snapshot_signature import Signature, SigningKeys, trailing_signature

LARGEST_FILE = 2**32
"""Bytes of a file that is read at most."""

_DIGEST_LENGTH = 64
_MEMBER = ".npy"
_MAGIC = b"\x93NUMPY\x01\x00"
_HEADER = re.compile(
    rb"{'descr': '([<>|][biuf][0-9]{1,2})', 'fortran_order': False, 'shape': \(([0-9, ]*)\), } *\n"
)
_ENCRYPTED = 1


def write_bytes(arrays: Mapping[str, AnyArray], *, keys: SigningKeys | None) -> bytes:
    """The file that holds some arrays of numbers in C order.

    Args:
        arrays: by name.
        keys: sign it, if given.
    """
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    record_length = 0 if keys is None else keys.record_length
    # A zip ends with the length of its comment, 0 so far.
    body = buffer.getvalue()[:-2] + _comment_length(record_length)
    signed = body if keys is None else body + keys.sign(body)
    return signed + hashlib.sha256(signed).hexdigest().encode()


def read_arrays(path: Path | str, *, keys: SigningKeys | None) -> dict[str, AnyArray]:
    """The arrays that `write_bytes` wrote; not writable.

    Args:
        path: the file.
        keys: one of them must have signed it; `None` takes any signature, and none.

    Raises:
        SnapshotError: if the file is missing, damaged, foreign or not signed as it must be.
    """
    return parse_arrays(_content(path), origin=path, keys=keys)


def parse_arrays(
    content: bytes, *, origin: Path | str, keys: SigningKeys | None
) -> dict[str, AnyArray]:
    """As `read_arrays`, of bytes that are there already; errors name their `origin`."""
    body, signature = _unsealed(content, origin)
    if keys is not None:
        keys.check(signature, body, origin=origin)
    try:
        return _members(content)
    except Exception as error:  # whatever zipfile and numpy make of bytes that are no npz
        found = str(error) or type(error).__name__
        raise SnapshotError(f"snapshot {origin} cannot be read: {found}") from None


def read_signature(path: Path | str) -> Signature | None:
    """Who a file says has signed it, which nobody has verified.

    Raises:
        SnapshotError: if the file is missing, damaged or foreign.
    """
    return _unsealed(_content(path), path)[1]


def _content(path: Path | str) -> bytes:
    """All bytes of a file; of a pipe or a device there might be no end."""
    try:
        found = Path(path).stat()
        if stat.S_ISDIR(found.st_mode):
            raise SnapshotError(f"snapshot {path} cannot be read: it is a folder")
        if not stat.S_ISREG(found.st_mode):
            raise SnapshotError(f"snapshot {path} cannot be read: it is no regular file")
        if found.st_size > LARGEST_FILE:
            raise SnapshotError(
                f"snapshot {path} must have at most {LARGEST_FILE} bytes, got {found.st_size}"
            )
        return Path(path).read_bytes()
    except OSError as error:
        raise SnapshotError(f"snapshot {path} cannot be read: {error.strerror}") from None
    except ValueError as error:  # a name that no file can have
        raise SnapshotError(f"snapshot {path!r} cannot be read: {error}") from None


def _unsealed(content: bytes, path: Path | str) -> tuple[bytes, Signature | None]:
    """What a signature covers, and the signature, of a file whose seal is whole."""
    sealed, digest = content[:-_DIGEST_LENGTH], content[-_DIGEST_LENGTH:]
    signature = trailing_signature(sealed)
    record_length = 0 if signature is None else signature.length
    body = sealed[: len(sealed) - record_length]
    if not body.startswith(b"PK") or not body.endswith(_comment_length(record_length)):
        raise SnapshotError(f"{path} is no snapshot, or its end is missing")
    if hashlib.sha256(sealed).hexdigest().encode() != digest:
        raise SnapshotError(f"snapshot {path} is damaged: its SHA-256 does not match")
    return body, signature


def _comment_length(record_length: int) -> bytes:
    return (record_length + _DIGEST_LENGTH).to_bytes(2, "little")


def _members(content: bytes) -> dict[str, AnyArray]:
    arrays: dict[str, AnyArray] = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
        for entry in entries:
            if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & _ENCRYPTED:
                raise ValueError(f"member {entry.filename!r} must be stored as it is")
        # Members that share bytes could hold far more than the file.
        if sum(entry.file_size for entry in entries) > len(content):
            raise ValueError("members must not hold more bytes than the file")
        for entry in entries:
            name = entry.filename.removesuffix(_MEMBER)
            if name == entry.filename or name in arrays:
                raise ValueError(f"member {entry.filename!r} must be an array of its own")
            arrays[name] = _array(entry.filename, archive.read(entry))
    return arrays


def _array(member: str, content: bytes) -> AnyArray:
    """An array of numbers from the bytes of a `.npy` file, read without evaluating its header."""
    start = len(_MAGIC) + 2 + int.from_bytes(content[len(_MAGIC) : len(_MAGIC) + 2], "little")
    header = _HEADER.fullmatch(content[len(_MAGIC) + 2 : start])
    if not content.startswith(_MAGIC) or header is None:
        raise ValueError(f"member {member!r} must hold numbers in C order, in npy version 1.0")
    dtype = np.dtype(header[1].decode())
    shape = tuple(int(length) for length in header[2].split(b",") if length.strip())
    count = math.prod(shape)
    if count * dtype.itemsize != len(content) - start:
        raise ValueError(
            f"member {member!r} must have {count * dtype.itemsize} bytes of numbers, "
            f"got {len(content) - start}"
        )
    array: AnyArray = np.frombuffer(content, dtype=dtype, count=count, offset=start)
    if dtype.kind == "b" and bool((array.view(np.uint8) > 1).any()):
        raise ValueError(f"member {member!r} must hold truth values")
    return array.reshape(shape)
