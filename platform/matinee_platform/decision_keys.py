"""Keys of decisions: what makes the draw of a slate pure, and not guessable from outside.

`key = SipHash-2-4(secret, decision id)` (Aumasson and Bernstein 2012, "SipHash: a fast short-input
PRF"). Who knows a decision id, which is public, cannot foresee or re-derive the draw without the
secret; who holds both replays it.
"""

import numpy as np

from matinee_policies.arrays import UInt64Array
from matinee_policies.compiled import kernel
from matinee_policies.errors import ConfigError, ContextError

SECRET_BYTES = 16

_MASK64 = 0xFFFFFFFFFFFFFFFF
# "somepseudorandomlygeneratedbytes", the initial state of the paper.
_INITIAL = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)


def decision_keys(secret: bytes, ids: UInt64Array) -> UInt64Array:
    """The key of each decision.

    Args:
        secret: 128 bits, the same for the life of an experiment.
        ids: decision ids, `uint64 [n]`; each is hashed as its 8 little-endian bytes.

    Returns:
        `uint64 [n]`.

    Raises:
        ConfigError: on a secret that has not 16 bytes.
        ContextError: on ids of another type.

    Example:
        >>> secret = bytes(range(16))
        >>> [f"{key:016x}" for key in decision_keys(secret, np.array([7], dtype=np.uint64))]
        ['6402f5e4f7829905']
    """
    state = np.array(_initial_state(secret), dtype=np.uint64)
    if ids.dtype != np.uint64 or ids.ndim != 1:
        raise ContextError(f"decision ids must be uint64 [n], got {ids.dtype} {ids.shape}")
    return _siphash_kernel(state, np.ascontiguousarray(ids))


class DecisionKeys:
    """`decision_keys` of one secret, which is looked at once.

    Args:
        secret: 128 bits.

    Raises:
        ConfigError: on a secret that has not 16 bytes.
    """

    __slots__ = ("_state",)

    def __init__(self, secret: bytes) -> None:
        self._state = np.array(_initial_state(secret), dtype=np.uint64)

    def of(self, ids: UInt64Array) -> UInt64Array:
        """The key of each decision, `uint64 [n]`.

        Args:
            ids: in order, `uint64 [n]`.
        """
        return _siphash_kernel(self._state, ids)


def siphash_reference(secret: bytes, message: bytes) -> int:
    """Plain Python twin: SipHash-2-4 of a message of any length, below 2^64."""
    state = list(_initial_state(secret))
    whole = len(message) // 8 * 8
    last = message[whole:] + bytes(7 - len(message) % 8) + bytes([len(message) % 256])
    for start in range(0, whole + 8, 8):
        word = int.from_bytes((message[:whole] + last)[start : start + 8], "little")
        state[3] ^= word
        _rounds(state, 2)
        state[0] ^= word
    state[2] ^= 0xFF
    _rounds(state, 4)
    return state[0] ^ state[1] ^ state[2] ^ state[3]


def _initial_state(secret: bytes) -> tuple[int, int, int, int]:
    if len(secret) != SECRET_BYTES:
        raise ConfigError(
            f"the secret of decision keys must have {SECRET_BYTES} bytes, got {len(secret)}"
        )
    low, high = int.from_bytes(secret[:8], "little"), int.from_bytes(secret[8:], "little")
    v0, v1, v2, v3 = _INITIAL
    return v0 ^ low, v1 ^ high, v2 ^ low, v3 ^ high


def _rounds(v: list[int], count: int) -> None:
    """The paper's SipRound, `count` times, in place."""

    def rotated(value: int, bits: int) -> int:
        return (value << bits | value >> (64 - bits)) & _MASK64

    for _ in range(count):
        v[0] = (v[0] + v[1]) & _MASK64
        v[2] = (v[2] + v[3]) & _MASK64
        v[1] = rotated(v[1], 13) ^ v[0]
        v[3] = rotated(v[3], 16) ^ v[2]
        v[0] = (rotated(v[0], 32) + v[3]) & _MASK64
        v[2] = (v[2] + v[1]) & _MASK64
        v[1] = rotated(v[1], 17) ^ v[2]
        v[3] = rotated(v[3], 21) ^ v[0]
        v[2] = rotated(v[2], 32)


@kernel
def _siphash_kernel(state: UInt64Array, ids: UInt64Array) -> UInt64Array:
    """SipHash-2-4 of 8-byte messages; two words are compressed: the id, then the length."""
    keys = np.empty(ids.size, dtype=np.uint64)
    length_word = np.uint64(8) << np.uint64(56)
    for row in range(ids.size):
        v0, v1, v2, v3 = state[0], state[1], state[2], state[3]
        word = ids[row]
        # Rounds 0 and 1 take the id, 2 and 3 the length, 4 to 7 finish.
        for turn in range(8):
            if turn == 2:
                word = length_word
            if turn == 0 or turn == 2:
                v3 ^= word
            if turn == 4:
                v2 ^= np.uint64(0xFF)
            v0 += v1
            v2 += v3
            v1 = ((v1 << np.uint64(13)) | (v1 >> np.uint64(51))) ^ v0
            v3 = ((v3 << np.uint64(16)) | (v3 >> np.uint64(48))) ^ v2
            v0 = ((v0 << np.uint64(32)) | (v0 >> np.uint64(32))) + v3
            v2 += v1
            v1 = ((v1 << np.uint64(17)) | (v1 >> np.uint64(47))) ^ v2
            v3 = ((v3 << np.uint64(21)) | (v3 >> np.uint64(43))) ^ v0
            v2 = (v2 << np.uint64(32)) | (v2 >> np.uint64(32))
            if turn == 1 or turn == 3:
                v0 ^= word
        keys[row] = v0 ^ v1 ^ v2 ^ v3
    return keys
