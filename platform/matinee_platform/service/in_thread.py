"""A call in a thread that whoever is cancelled waits for: what it uses is let go afterwards."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(call: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """The result of a call, made in a thread.

    A thread cannot be cancelled. Whoever went on as if it were would close a database that the
    thread then opens again, and leave the connection to the collector.
    """
    work = asyncio.ensure_future(asyncio.to_thread(call, *arguments, **options))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        if not work.cancelled():
            work.exception()  # nobody is there to be told
        raise
