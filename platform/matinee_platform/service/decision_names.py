"""Decision ids at the edge: any text of a caller becomes a number of 64 bits.

Sixteen lower-case hex digits are that number; any other text is hashed under a key. Answers give
the caller's own text back; the log holds the number alone.
"""

import hashlib
import re
from secrets import randbits

_DIGITS = re.compile(r"[0-9a-f]{16}\Z")


def decision_number(text: str, *, key: bytes) -> int:
    """The number of a decision id.

    Args:
        text: as the caller wrote it.
        key: of the service (`Secrets.decision_ids`).

    Returns:
        Within 0 and 2^64 - 1.

    Example:
        >>> decision_number("00000000000000ff", key=bytes(32))
        255
        >>> decision_number("order 7", key=bytes(32)) == decision_number("order 7", key=bytes(32))
        True
    """
    if _DIGITS.match(text):
        return int(text, 16)
    digest = hashlib.blake2b(text.encode(), key=key, digest_size=8).digest()
    return int.from_bytes(digest, "big")


def decision_text(number: int) -> str:
    """The text of a number: 16 hex digits.

    Example:
        >>> decision_text(255)
        '00000000000000ff'
    """
    return f"{number:016x}"


def new_decision() -> int:
    """A number for a decision whose caller gave none: 64 random bits."""
    return randbits(64)
