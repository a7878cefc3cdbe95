"""The moments that users are calibrated to, by name.

    ctr                clicks per item shown
    ctr_examined       clicks per item examined; no log tells it, an assumption can
    examined_K         share of the items shown in slot K, from 1, that are examined
    slot_ctr_K         clicks per item shown in slot K, from 1
    leave_N            P(a session ends with page N | it has N pages), over all sessions
    leave_unclicked    P(a session ends with its first page | nothing on it was clicked)
    return_day_K       share of users active on the K-th day after their first: classic D_K
    once_within_D      share of users active on one only of their first D days
    return_slope       slope, over depths 2, 3, ... 8 and more of the first session (pages + 1), of
                       the share that is back within 3 days
    return_after_M     share of M-th active days that another follows within 14 days

A day is 24 hours, counted from the user's first event.
"""

import re

from matinee_policies.errors import ConfigError

RETURN_DAYS = 3
"""Days within which `return_slope` counts a return."""

FOLLOW_DAYS = 14
"""Days within which `return_after_M` counts one."""

DEPTHS = tuple(range(2, 9))
"""Depths of the first session that `return_slope` tells apart; the last one and more."""

_FORM = re.compile(r"([a-z_]+?)(?:_([1-9][0-9]{0,2}))?")

_GROUPS = {
    "ctr": "click",
    "ctr_examined": "click",
    "examined": "click",
    "slot_ctr": "click",
    "leave": "session",
    "leave_unclicked": "session",
    "return_day": "return",
    "once_within": "return",
    "return_slope": "return",
    "return_after": "return",
}

_PLAIN = ("ctr", "ctr_examined", "leave_unclicked", "return_slope")

GROUPS = ("click", "session", "return")
"""Parts of the model in the order in which they are fitted."""


def parsed(name: str) -> tuple[str, int]:
    """Kind and number of a moment, 0 for those without a number.

    Raises:
        ConfigError: there is no such moment.

    Example:
        >>> parsed("leave_3"), parsed("ctr")
        (('leave', 3), ('ctr', 0))
    """
    form = _FORM.fullmatch(name) if isinstance(name, str) else None
    kind, number = (form[1], int(form[2] or 0)) if form else ("", 0)
    if kind not in _GROUPS or (kind in _PLAIN) != (number == 0):
        known = ", ".join(f"{kind}" if kind in _PLAIN else f"{kind}_NUMBER" for kind in _GROUPS)
        raise ConfigError(f"moment must be one of {known}, got {name!r}")
    return kind, number


def group_of(name: str) -> str:
    """Part of the model that a moment speaks of, one of `GROUPS`; raises as `parsed`."""
    return _GROUPS[parsed(name)[0]]


def days_needed(name: str) -> int:
    """Days that must be simulated for a moment.

    Example:
        >>> days_needed("return_day_28"), days_needed("leave_1")
        (29, 8)
    """
    kind, number = parsed(name)
    if kind == "return_after":
        return 2 * FOLLOW_DAYS + 1
    own = {"return_day": number + 1, "once_within": number, "return_slope": RETURN_DAYS + 1}
    return max(own.get(kind, 0), 8)
