"""Numbers as people read them; a dash for what does not exist."""

import math

NONE = "\N{EN DASH}"
NO_BREAK = "\N{NO-BREAK SPACE}"
_MINUS = "\N{MINUS SIGN}"


def number(value: float | None, digits: int = 2) -> str:
    """A number with thousands separated.

    Example:
        >>> number(1234.5, 1)
        '1,234.5'
    """
    if value is None or not math.isfinite(value):
        return NONE
    return f"{value:,.{digits}f}".replace("-", _MINUS)


def percent(share: float | None, digits: int = 1) -> str:
    """A share in per cent.

    Example:
        >>> percent(0.1234).replace(NO_BREAK, "_")
        '12.3_%'
    """
    if share is None or not math.isfinite(share):
        return NONE
    return f"{number(100 * share, digits)}{NO_BREAK}%"


def signed(value: float | None, digits: int = 2) -> str:
    """A difference with its sign.

    Example:
        >>> signed(0.5)
        '+0.50'
    """
    text = number(value, digits)
    return text if value is None or text in (NONE,) or value < 0 else f"+{text}"


def small(value: float | None) -> str:
    """A probability or share that may be tiny: three digits, or a power of ten.

    Example:
        >>> small(0.25), small(0.00012)
        ('0.25', '1.2e-4')
    """
    if value is None or not math.isfinite(value):
        return NONE
    if value == 0.0 or value >= 0.001:
        return f"{value:.3g}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}e-{exponent.lstrip('-0')}"


def listed(names: list[str]) -> str:
    """Names in a sentence.

    Example:
        >>> listed(["a", "b", "c"])
        'a, b and c'
    """
    return " and ".join(part for part in (", ".join(names[:-1]), "".join(names[-1:])) if part)
