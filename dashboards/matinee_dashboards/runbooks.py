"""Where docs/ is served: addresses of paragraphs that alerts and panels lead to."""

import re

OF_DASHBOARDS = "/public/docs"
"""Where the composed Grafana serves docs/; a reader may set another place in its text box."""

OF_ALERTS = "http://127.0.0.1:3000/public/docs"
"""The same for who reads an alert elsewhere, in a mail say: an absolute address."""

_LINK = re.compile(r"(?<=runbook_url: )\S*?(?=/operations\.md#)")


def base_address(told: str) -> str:
    """An address under which docs/ is served, without a slash at its end.

    Raises:
        ValueError: it is not absolute.

    Example:
        >>> base_address("https://wiki.example.org/matinee/")
        'https://wiki.example.org/matinee'
    """
    if not re.fullmatch(r"https?://[^\s/?#{}'\"]+(/[^\s?#{}'\"]*)?", told):
        raise ValueError(
            f"an address of runbooks must begin with http:// or https://, got {told!r}"
        )
    return told.rstrip("/")


def with_runbooks(text: str, base: str) -> str:
    """A file of rules, or of their tests, whose alerts lead below an address.

    Args:
        text: of the file.
        base: as `base_address` gives it.

    Example:
        >>> with_runbooks("runbook_url: http://here/operations.md#one", "https://there")
        'runbook_url: https://there/operations.md#one'
    """
    return _LINK.sub(base.replace("\\", r"\\"), text)
