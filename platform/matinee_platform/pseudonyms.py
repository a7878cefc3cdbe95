"""Keyed pseudonyms of units: what the log, the metrics and the errors may show of a user.

A raw unit id lives in memory at the edge only. Everything behind it sees the first 64 bits of
HMAC-SHA256 (RFC 2104) under a secret: without the secret an id cannot be looked up from a log.
Of 64 bits, a million units share a pseudonym with probability 3e-8.
"""

import hashlib
import hmac
from collections.abc import Sequence

import numpy as np

from matinee_policies.arrays import UInt8Array, UInt64Array
from matinee_policies.errors import ConfigError, ContextError
from matinee_policies.records import SHARDS

MIN_SECRET_BYTES = 16
"""A shorter secret could be found by trying."""

_SHARD_SHIFT = np.uint64(64 - (SHARDS.bit_length() - 1))


def pseudonyms(units: Sequence[str], *, secret: bytes) -> UInt64Array:
    """The pseudonym of each unit.

    Args:
        units: raw unit ids, `n` of them.
        secret: key of the HMAC, at least `MIN_SECRET_BYTES` bytes.

    Returns:
        First eight bytes of the HMAC read as a big-endian number, `uint64 [n]`.

    Raises:
        ConfigError: on a short secret.
        ContextError: on a unit id that is not Unicode text; the id is not in the message.

    Example:
        >>> [f"{name:016x}" for name in pseudonyms(["ada", "bo"], secret=b"sixteen bytes ok")]
        ['fbe202e8b6e11563', '93ce8a496ec953eb']
    """
    if len(secret) < MIN_SECRET_BYTES:
        raise ConfigError(
            f"the secret of pseudonyms must have at least {MIN_SECRET_BYTES} bytes, "
            f"got {len(secret)}"
        )
    try:
        digests = b"".join(hmac.digest(secret, unit.encode(), "sha256")[:8] for unit in units)
    except (AttributeError, UnicodeEncodeError):
        raise ContextError("unit ids must be Unicode text, one of them is not") from None
    return np.frombuffer(digests, dtype=">u8").astype(np.uint64)


class Pseudonyms:
    """`pseudonyms` of one unit at a time, under a secret that is prepared once.

    Args:
        secret: key of the HMAC, at least `MIN_SECRET_BYTES` bytes.

    Raises:
        ConfigError: on a short secret.

    Example:
        >>> f"{Pseudonyms(b'sixteen bytes ok').of('ada'):016x}"
        'fbe202e8b6e11563'
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, secret: bytes) -> None:
        if len(secret) < MIN_SECRET_BYTES:
            raise ConfigError(
                f"the secret of pseudonyms must have at least {MIN_SECRET_BYTES} bytes, "
                f"got {len(secret)}"
            )
        inner = hashlib.sha256()
        key = hashlib.sha256(secret).digest() if len(secret) > inner.block_size else secret
        block = key.ljust(inner.block_size, b"\0")
        inner.update(bytes(byte ^ 0x36 for byte in block))
        self._inner, self._outer = inner, hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def of(self, unit: str) -> int:
        """The pseudonym of a unit.

        Raises:
            ContextError: on a unit id that is not Unicode text; the id is not in the message.
        """
        inner, outer = self._inner.copy(), self._outer.copy()
        try:
            inner.update(unit.encode())
        except (AttributeError, UnicodeEncodeError):
            raise ContextError("unit ids must be Unicode text, this one is not") from None
        outer.update(inner.digest())
        return int.from_bytes(outer.digest()[:8], "big")


def shard_of(pseudonym: UInt64Array) -> UInt8Array:
    """The shard in which a learner sums each unit: the top bits of its pseudonym.

    Args:
        pseudonym: `uint64 [n]`.

    Returns:
        `uint8 [n]`, below `SHARDS`.

    Example:
        >>> shard_of(np.array([0, 2**58, 2**64 - 1], dtype=np.uint64)).tolist()
        [0, 1, 63]
    """
    return (pseudonym >> _SHARD_SHIFT).astype(np.uint8)
