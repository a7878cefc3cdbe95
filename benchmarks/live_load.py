"""Users that ask for slates and click, on many connections; what was acknowledged is remembered."""

import asyncio
import random
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from http_connection import HttpConnection, Reply, post_bytes

RETRY_AFTER_S = 0.05


@dataclass(slots=True)
class Acknowledged:
    """What the service said that it holds.

    Attributes:
        slates: items of every acknowledged decision, by its id.
        asked: the requests that they answered, by the same id.
        rewards: every acknowledged reward as it was sent, by its own id.
        statuses: answers by status; 0 counts broken connections.
        slowest_ms: of the answered requests.
        contradictions: answers that no honest client may get.
    """

    slates: dict[str, list[str]] = field(default_factory=dict)
    asked: dict[str, bytes] = field(default_factory=dict)
    rewards: dict[str, dict[str, Any]] = field(default_factory=dict)
    statuses: dict[int, int] = field(default_factory=dict)
    slowest_ms: float = 0.0
    contradictions: list[str] = field(default_factory=list)

    @property
    def events(self) -> int:
        """Decisions and rewards."""
        return len(self.slates) + len(self.rewards)


class Users:
    """Simulated callers of one experiment, one task per connection.

    Every request is repeated under the same id until it is answered, as a client would.

    Args:
        port: of the service.
        experiment: key.
        seed: of what they do.
        units: how many different units come.
    """

    def __init__(self, port: int, *, experiment: str, seed: int = 1, units: int = 5_000) -> None:
        self.seen = Acknowledged()
        self._port, self._experiment, self._units = port, experiment, units
        self._random = random.Random(seed)  # noqa: S311 - not a secret
        self._running = True

    async def run(self, *, connections: int) -> None:
        """Keep asking until `stop`."""
        await asyncio.gather(*(self._one() for _ in range(connections)))

    def stop(self) -> None:
        """Let every connection end after its request; what is unanswered then stays so."""
        self._running = False

    async def _one(self) -> None:
        connection = HttpConnection("127.0.0.1", self._port)
        while self._running:
            decision = secrets.token_hex(8)
            unit = f"unit-{self._random.randrange(self._units)}"
            body = {"experiment": self._experiment, "unit": unit, "decision_id": decision}
            asked = post_bytes("/v1/decisions", body)
            reply = await self._until_answered(connection, asked)
            if reply is None or reply.status != 200:
                continue
            items = [str(item) for item in reply.json()["items"]]
            self.seen.slates[decision], self.seen.asked[decision] = items, asked
            events = self._clicks(decision, items)
            if not events:
                continue
            sent = post_bytes("/v1/rewards", {"rewards": events})
            reply = await self._until_answered(connection, sent)
            if reply is not None and reply.status == 200:
                for event, receipt in zip(events, reply.json()["results"], strict=True):
                    if receipt["outcome"] not in ("stored", "repeated"):
                        self.seen.contradictions.append(f"{event['id']}: {receipt['outcome']}")
                    self.seen.rewards[event["id"]] = event
        await connection.close()

    def _clicks(self, decision: str, items: list[str]) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = []
        for slot in range(len(items)):
            if self._random.random() < 0.15:
                for component, value in (("click", 1.0), ("watch", self._random.random())):
                    events.append(
                        {
                            "id": secrets.token_hex(8),
                            "decision_id": decision,
                            "component": component,
                            "slot": slot,
                            "value": value,
                        }
                    )
        return events

    async def _until_answered(self, connection: HttpConnection, request: bytes) -> Reply | None:
        """The answer, asked for until it comes; None when stopped before."""
        while self._running:
            began = time.perf_counter()
            try:
                reply = await connection.send(request)
            except OSError:
                self._count(0)
                await asyncio.sleep(RETRY_AFTER_S)
                continue
            self._count(reply.status)
            self.seen.slowest_ms = max(
                self.seen.slowest_ms, (time.perf_counter() - began) * 1_000.0
            )
            if reply.status not in (429, 503):
                return reply
            await asyncio.sleep(RETRY_AFTER_S)
        return None

    def _count(self, status: int) -> None:
        self.seen.statuses[status] = self.seen.statuses.get(status, 0) + 1
