"""Text that every database stores as it is."""

from matinee_policies.errors import ConfigError


def check_text(name: str, value: object, *, max_chars: int) -> str:
    """Refuse what some database would change or refuse itself; return the rest as it is.

    Args:
        name: the field, for the error.
        value: what was given.
        max_chars: most characters.

    Raises:
        ConfigError: no text, empty, too long, or with NUL or half a surrogate pair in it.

    Example:
        >>> check_text("name", "Robert'); DROP TABLE students;--", max_chars=100)
        "Robert'); DROP TABLE students;--"
    """
    if not isinstance(value, str) or not 1 <= len(value) <= max_chars:
        got = f"{len(value)}" if isinstance(value, str) else type(value).__name__
        raise ConfigError(f"{name} must be text of 1 to {max_chars} characters, got {got}")
    if "\0" in value or any("\ud800" <= sign <= "\udfff" for sign in value):
        raise ConfigError(f"{name} must hold no NUL and no lone surrogate, got {value!r}")
    return value
