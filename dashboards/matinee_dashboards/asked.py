"""What Grafana sends to Prometheus: expressions with the reader's choices filled in."""

import re
from collections.abc import Mapping, Sequence

_CHOICE = re.compile(r"\$\{(\w+)\}|\$(\w+)")


def as_asked(expr: str, *, choices: Mapping[str, str | Sequence[str]], interval: str) -> str:
    """An expression with every variable in its place.

    Args:
        expr: of a panel.
        choices: value of each variable; several are joined as Grafana does, for `=~`.
        interval: what Grafana makes of `$__rate_interval`: at least four scrapes.

    Raises:
        KeyError: the expression has a variable without a choice.

    Example:
        >>> as_asked('x{arm=~"$arm"}', choices={"arm": ("a", "b")}, interval="20s")
        'x{arm=~"(a|b)"}'
        >>> as_asked('x{a=~"$a"}', choices={"a": ("db:1",)}, interval="20s")
        'x{a=~"(db:1)"}'
    """
    values = {"__rate_interval": interval, **choices}

    def value(found: re.Match[str]) -> str:
        chosen = values[found[1] or found[2]]
        return chosen if isinstance(chosen, str) else f"({'|'.join(map(_escaped, chosen))})"

    return _CHOICE.sub(value, expr)


def _escaped(value: str) -> str:
    """As a pattern within a string of PromQL, where a backslash stands for two."""
    return re.escape(value).replace("\\", "\\\\")
