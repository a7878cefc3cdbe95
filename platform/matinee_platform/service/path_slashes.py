"""Slashes within an id in a path: `/` divides a path, `%2F` is a character of one of its parts.

Servers hand a path over decoded, where both look the same, and no route would be found.
"""

from urllib.parse import unquote, unquote_to_bytes

from starlette.types import Scope

_KEPT = "matinee.slashes"
_SLASH = "\0"
"""Stands for a slash within a part until the route has its parts: no id contains NUL."""


def keep_slashes(scope: Scope) -> None:
    """Have the router see parts as they were sent; `part_of_path` gives them back whole."""
    raw: bytes = scope.get("raw_path") or b""
    if b"%2f" not in raw.lower() or _SLASH in scope["path"]:
        return
    parts = raw.decode("latin-1").split("/")
    scope["path"] = "/".join(unquote(part).replace("/", _SLASH) for part in parts)
    scope[_KEPT] = True


def part_of_path(scope: Scope, name: str) -> str:
    """A part of the path as the caller meant it."""
    text: str = scope["path_params"][name]
    return text.replace(_SLASH, "/") if _KEPT in scope else text


def is_utf8(scope: Scope) -> bool:
    """Whether the path was sent as UTF-8; servers put U+FFFD, which an id may hold, for others."""
    raw: bytes = scope.get("raw_path") or b""
    try:
        unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        return False
    return True
