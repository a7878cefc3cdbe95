"""The endpoint that ours is compared with: FastAPI with the same body and answer, and no work.

Run in a process of its own on the same server as ours: `python -c "import bare_endpoint as it;
it.serve(PORT)"`.
"""

import gc

import uvicorn
from fastapi import FastAPI

from matinee_platform.service.answers import DecisionAnswer
from matinee_platform.service.requests import DecisionRequest

PATH = "/v1/decisions"


def app() -> FastAPI:
    """The application: the first candidates are the slate."""
    made = FastAPI()

    @made.post(PATH)
    async def decide(body: DecisionRequest) -> DecisionAnswer:
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


def serve(port: int) -> None:
    """Answer on loopback until the process is ended."""
    made = app()
    # As ours does at the end of its start-up.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    uvicorn.run(
        made, port=port, loop="uvloop", http="httptools", access_log=False, log_level="error"
    )
