"""Readiness of a service over its real parts: a start is ready, what is missing is told."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from matinee_platform.clock import FakeClock
from matinee_platform.learning.learner_status import STATUS_FILE, LearnerStatus, write_status
from matinee_platform.service.app import create_app
from matinee_platform.service.learner_condition import LEARNER_AWAY_MS
from matinee_platform.service.settings import ServiceSettings

State = tuple[int, str, list[str]]

READY: State = 200, "ready", []
AWAY: State = 200, "degraded", ["the learner does not run"]

Readiness = Callable[[], Awaitable[State]]


def look(
    folder: Path, clock: FakeClock, body: Callable[[Readiness], Awaitable[None]], **settings: Any
) -> None:
    """Run a service over SQLite in a folder, and look at it meanwhile."""
    values = ServiceSettings.model_validate({"data_dir": folder, **settings})
    app = create_app(values, clock=clock)

    async def run() -> None:
        transport = httpx.ASGITransport(app)
        async with (
            httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
            app.router.lifespan_context(app),
        ):

            async def readiness() -> State:
                answer = await client.get("/readyz")
                told = answer.json()
                return answer.status_code, told["state"], told["reasons"]

            await body(readiness)

    asyncio.run(run())


def test_a_start_is_ready_while_the_learner_begins(tmp_path: Path) -> None:
    clock = FakeClock()
    # One of a service that ended long ago.
    old = LearnerStatus(process=1, beat_ms=clock.now_ms() - 3_600_000)
    write_status(tmp_path / STATUS_FILE, old)

    async def body(readiness: Readiness) -> None:
        assert await readiness() == READY
        clock.advance(seconds=LEARNER_AWAY_MS / 1_000)
        assert await readiness() == READY
        clock.advance(seconds=0.001)
        assert await readiness() == AWAY
        write_status(tmp_path / STATUS_FILE, LearnerStatus(process=2, beat_ms=clock.now_ms()))
        assert await readiness() == READY

    look(tmp_path, clock, body)


@pytest.mark.parametrize("supervised", [True, False])
def test_only_a_learner_of_its_own_is_missed(supervised: bool, tmp_path: Path) -> None:
    clock = FakeClock()

    async def body(readiness: Readiness) -> None:
        clock.advance(seconds=3_600)
        assert await readiness() == (AWAY if supervised else READY)

    look(tmp_path, clock, body, supervise_learner=supervised)


def test_an_experiment_without_its_bundle_is_told(tmp_path: Path) -> None:
    arms = [{"name": "only", "bundle": "gone"}]
    experiment = {"key": "shop", "salt": "shop-1", "slots": 2, "arms": arms}

    async def body(readiness: Readiness) -> None:
        reasons = ["an experiment that runs cannot be served"]
        assert await readiness() == (200, "degraded", reasons)

    look(tmp_path, FakeClock(), body, supervise_learner=False, experiments=[experiment])
