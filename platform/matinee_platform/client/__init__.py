"""The typed client of the live service.

from matinee_platform.client import Client

with Client("http://127.0.0.1:8400") as client:
    decision = client.decide("home", unit="user 17")
    client.reward(decision.decision_id, "click", slot=0)
"""

from matinee_platform.client.async_client import AsyncClient
from matinee_platform.client.calls import Ask, Event
from matinee_platform.client.errors import (
    AccessError,
    CallError,
    ContradictionError,
    MissingError,
    RefusedError,
    UnavailableError,
)
from matinee_platform.client.retries import Retries
from matinee_platform.client.sync_client import Client

__all__ = [
    "AccessError",
    "Ask",
    "AsyncClient",
    "CallError",
    "Client",
    "ContradictionError",
    "Event",
    "MissingError",
    "RefusedError",
    "Retries",
    "UnavailableError",
]
