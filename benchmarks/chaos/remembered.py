"""Ask a service again for everything that it acknowledged: it must know all of it, once."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from http_connection import HttpConnection, post_bytes
from live_load import Acknowledged

_REWARDS_AT_ONCE = 100


@dataclass(slots=True)
class Remembered:
    """What became of acknowledged events.

    Attributes:
        lost: events that the service does not know any more.
        changed: decisions that are answered with another slate.
    """

    lost: int = 0
    changed: int = 0


async def ask_again(port: int, seen: Acknowledged, *, connections: int = 8) -> Remembered:
    """Send every acknowledged request once more.

    A decision must be answered with the same slate; a reward must be told to be `repeated`. One
    that is `stored` now had been lost.

    Args:
        port: of the service.
        seen: what it acknowledged.
        connections: how many at once.
    """
    found = Remembered()
    decisions, rewards = list(seen.slates), list(seen.rewards.values())
    await asyncio.gather(
        *(
            _one(port, seen, decisions[part::connections], rewards[part::connections], found)
            for part in range(connections)
        )
    )
    return found


async def _one(
    port: int,
    seen: Acknowledged,
    decisions: Sequence[str],
    rewards: Sequence[dict[str, Any]],
    found: Remembered,
) -> None:
    connection = HttpConnection("127.0.0.1", port)
    for decision in decisions:
        reply = await connection.send(seen.asked[decision])
        while reply.status in (429, 503):
            await asyncio.sleep(0.05)
            reply = await connection.send(seen.asked[decision])
        if reply.status != 200 or reply.json()["items"] != seen.slates[decision]:
            found.changed += 1
    for start in range(0, len(rewards), _REWARDS_AT_ONCE):
        some = list(rewards[start : start + _REWARDS_AT_ONCE])
        reply = await connection.send(post_bytes("/v1/rewards", {"rewards": some}))
        while reply.status in (429, 503):
            await asyncio.sleep(0.05)
            reply = await connection.send(post_bytes("/v1/rewards", {"rewards": some}))
        outcomes = [one["outcome"] for one in reply.json()["results"]]
        found.lost += sum(one != "repeated" for one in outcomes)
    await connection.close()
