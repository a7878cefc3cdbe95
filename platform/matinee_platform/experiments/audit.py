"""What the audit holds: who changed what, and when. Nothing in it is ever changed or removed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One change.

    Attributes:
        number: rises, from 1.
        at: UTC milliseconds.
        who: a key's name, or whoever the command line or the service speaks for.
        action: such as `experiment.ramp`; the words before the dot are `experiment`, `api_key`,
            `policy` and `data`.
        subject: key of an experiment, id of an API key, arm as `EXPERIMENT/ARM`, pseudonym.
        details: JSON values.
    """

    number: int
    at: int
    who: str
    action: str
    subject: str
    details: Mapping[str, Any]
