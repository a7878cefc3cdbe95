"""What readiness tells, and that liveness asks nobody."""

import asyncio
import http.client
import json
import socket
import threading
from contextlib import closing
from itertools import product
from typing import Any

import httpx
import pytest
import uvicorn

from matinee_platform.clock import FakeClock
from matinee_platform.service import guarded_protocol
from matinee_platform.service.app import create_app
from matinee_platform.service.live_observer import LiveObserver
from matinee_platform.service.parts import Conditions
from matinee_platform.service.readiness import judge
from matinee_platform.service.testing_parts import Bench


def test_the_table() -> None:
    for log, policies, learner, control in product(
        ("ok", "spooling", "away"), ("ok", "fallback"), ("ok", "away", "none"), ("ok", "stale")
    ):
        values: Any = {"policies": policies, "learner": learner, "control": control}
        now = Conditions(log=log, **values)
        assert judge("starting", now).state == "starting"
        assert judge("stopping", now).state == "down"
        verdict = judge("running", now)
        fine = log == "ok" and policies == "ok" and learner != "away" and control == "ok"
        expected = "down" if log == "away" else "ready" if fine else "degraded"
        assert verdict.state == expected
        assert verdict.status == (503 if expected == "down" else 200)
        assert bool(verdict.reasons) == (expected != "ready")


def test_states_are_told_over_http_and_to_prometheus(bench: Bench, client: Any) -> None:
    for conditions, status, state in (
        (Conditions(), 200, "ready"),
        (Conditions(log="spooling"), 200, "degraded"),
        (Conditions(log="away"), 503, "down"),
        (Conditions(), 200, "ready"),
    ):
        bench.conditions = conditions
        answer = client.get("/readyz")
        assert (answer.status_code, answer.json()["state"]) == (status, state)
        assert f'matinee_service_state{{state="{state}"}} 1.0' in client.get("/metrics").text


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_probes_may_ask_for_the_head_alone(path: str, bench: Bench, client: Any) -> None:
    whole, head = client.get(path), client.request("HEAD", path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == whole.headers["content-type"]
    assert int(head.headers["content-length"]) > 0
    bench.conditions = Conditions(log="away")
    assert client.request("HEAD", "/readyz").status_code == 503
    assert client.request("HEAD", "/v1/experiments").status_code == 405


def test_before_start_and_after_the_end_only_liveness_is_fine(bench: Bench) -> None:
    app = create_app(bench.settings, clock=bench.clock, parts=bench.parts())

    async def ask(client: httpx.AsyncClient) -> list[int]:
        told = [await client.get(path) for path in ("/healthz", "/readyz", "/v1/experiments")]
        return [one.status_code for one in told]

    async def run() -> None:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            assert await ask(client) == [200, 503, 503]
            async with app.router.lifespan_context(app):
                assert await ask(client) == [200, 200, 200]
            assert await ask(client) == [200, 503, 503]

    asyncio.run(run())


def test_liveness_and_readiness_ask_no_database(bench: Bench, serve: Any) -> None:
    def no_reader() -> Any:
        raise AssertionError("a reader was made")

    parts = bench.parts()
    object.__setattr__(parts, "reader", no_reader)
    bench.parts = lambda **_: parts  # type: ignore[method-assign]
    client = serve(bench)
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 200
    assert client.get("/metrics").status_code == 200
    # It would have been noticed.
    assert client.get("/v1/decisions/d").status_code == 500


def test_an_arm_fails_if_a_tenth_of_its_decisions_does() -> None:
    """One caller's odd pages do not make the arm fail for all."""
    clock = FakeClock()
    observer = LiveObserver(clock)

    def batch(decisions: int, *, fallbacks: int = 0, arm: str = "new") -> bool:
        for _ in range(fallbacks):
            observer.fell_back("home", arm, reason="raised")
        observer.decided("home", arm, decisions=decisions, seconds=0.001)
        return observer.falling_back

    assert not observer.falling_back
    assert not batch(100, fallbacks=5)
    assert not batch(20, fallbacks=6)
    assert batch(10, fallbacks=10)
    assert not batch(200), "they are too few among those of now"
    assert batch(1, fallbacks=1, arm="old"), "one arm does, whatever the others do"
    clock.advance(seconds=10.0)
    assert not observer.falling_back, "it was some time ago"
    assert batch(1, fallbacks=1)


def test_while_it_drains_requests_should_go_elsewhere(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarded_protocol, "DRAIN_SECONDS", 10_000.0)
    config = uvicorn.Config(
        create_app(bench.settings, clock=bench.clock, parts=bench.parts()),
        http=guarded_protocol.GuardedProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
    )
    server = uvicorn.Server(config)
    door = socket.create_server(("127.0.0.1", 0))
    port = int(door.getsockname()[1])
    thread = threading.Thread(target=server.run, kwargs={"sockets": [door]}, daemon=True)
    thread.start()
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:

        def readiness() -> tuple[int, str, str | None]:
            connection.request("GET", "/readyz")
            answer = connection.getresponse()
            state = json.loads(answer.read())["state"]
            return answer.status, state, answer.getheader("connection")

        assert readiness() == (200, "ready", None)
        server.should_exit = True
        while _listens(port):
            threading.Event().wait(0.01)
        assert readiness() == (503, "down", "close")
    thread.join(60)
    assert not thread.is_alive()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=60).close()
    except OSError:
        return False
    return True
