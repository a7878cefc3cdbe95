"""Numbers of 64 bits without sign, in databases whose integers have one."""

_HALF = 2**63
_WHOLE = 2**64


def to_signed(value: int) -> int:
    """The signed number of the same 64 bits.

    Example:
        >>> to_signed(2**64 - 1), to_signed(5)
        (-1, 5)
    """
    return value - _WHOLE if value >= _HALF else value


def to_unsigned(value: int) -> int:
    """The inverse of `to_signed`.

    Example:
        >>> to_unsigned(-1) == 2**64 - 1
        True
    """
    return value + _WHOLE if value < 0 else value
