"""The endpoint that ours is compared with: FastAPI with the same body and answer, and no work.

With a log (`bare_log.py`) it answers when a row is durable: what a database costs at the least.

Run in a process of its own on the same server as ours: `python -c "import bare_endpoint as it;
it.serve(PORT)"`, or `it.serve(PORT, "sqlite", FILE)`, `it.serve(PORT, "postgresql", ADDRESS)`.
"""

import gc
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI

from bare_log import BareLog, bare_log
from matinee_platform.service.answers import DecisionAnswer
from matinee_platform.service.requests import DecisionRequest

PATH = "/v1/decisions"


def app(log: BareLog | None = None) -> FastAPI:
    """The application: the first candidates are the slate.

    Args:
        log: takes a row before each answer.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if log is not None:
            await log.start()
        yield

    made = FastAPI(lifespan=lifespan)

    @made.post(PATH)
    async def decide(body: DecisionRequest) -> DecisionAnswer:
        if log is not None:
            await log.append()
        items = (body.candidates or [])[: body.slots]
        return DecisionAnswer(
            decision_id="00000000000000ff",
            experiment=body.experiment,
            arm="new",
            items=items,
            propensities=[1.0] * len(items),
            served_by="policy",
            snapshot=3,
        )

    @made.get("/readyz")
    async def ready() -> str:
        return "ready"

    return made


def serve(port: int, kind: str = "", where: str = "") -> None:
    """Answer on loopback until the process is ended.

    Args:
        port: where.
        kind: of the log: `sqlite`, `postgresql`; empty for none.
        where: its file or address.
    """
    made = app(bare_log(kind, where) if kind else None)
    # As ours does at the end of its start-up.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    if kind:
        sys.setswitchinterval(0.0005)
    uvicorn.run(
        made, port=port, loop="uvloop", http="httptools", access_log=False, log_level="error"
    )
