"""The client: typed answers and errors, ids that make retries harmless, waiting as asked."""

import asyncio
import inspect
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

import matinee_platform.client as front
from matinee_platform.client import (
    AccessError,
    Ask,
    AsyncClient,
    CallError,
    Client,
    ContradictionError,
    Event,
    MissingError,
    RefusedError,
    Retries,
    UnavailableError,
)
from matinee_platform.service.app import create_app
from matinee_platform.service.parts import Caller
from matinee_platform.service.testing_parts import Bench
from matinee_policies.errors import ConfigError

ADDRESS = "http://127.0.0.1:8400"
QUICK = Retries(attempts=4, seconds=60.0, longest_wait=0.0)
Handler = Callable[[httpx.Request], httpx.Response]


def scripted(handler: Handler, *, retries: Retries = QUICK, key: str | None = None) -> Client:
    transport = httpx.MockTransport(handler)
    return Client(ADDRESS, key=key, retries=retries, transport=transport)


def run_async(bench: Bench, use: Callable[[AsyncClient], Any], **parts: Any) -> None:
    app = create_app(bench.settings, clock=bench.clock, parts=bench.parts(**parts))

    async def run() -> None:
        transport = httpx.ASGITransport(app)
        key = next(iter(parts.get("keys", {})), None)
        async with (
            app.router.lifespan_context(app),
            AsyncClient(ADDRESS, key=key, retries=QUICK, transport=transport) as client,
        ):
            await use(client)

    asyncio.run(run())


def test_every_call_against_the_service(bench: Bench) -> None:
    async def use(client: AsyncClient) -> None:
        decision = await client.decide("home", "ada", candidates=["a", "b"], scores=[0.5, 0.25])
        assert decision.items == ["a", "b"]
        click = await client.reward(
            decision.decision_id, "click", slot=0, occurred_at=datetime(2026, 1, 1, tzinfo=UTC)
        )
        assert (click.outcome, click.state) == ("stored", "joined")
        both = await client.decide_batch(
            [Ask(experiment="home", unit="bo"), Ask(experiment="none", unit="bo")]
        )
        assert [one.status for one in both.results] == [200, 404]
        events = [Event(decision_id=decision.decision_id, component="watch", value=0.5, slot=0)]
        assert (await client.rewards(events)).results[0].state == "joined"
        view = await client.decision(decision.decision_id)
        assert [one.component for one in view.rewards] == ["click", "watch"]
        definition = {"key": "shelf", "salt": "s-1", "arms": [{"name": "a", "bundle": "a"}]}
        assert (await client.create_experiment(definition)).state == "created"
        assert (await client.start_experiment("shelf")).state == "running"
        assert (await client.stop_experiment("shelf")).state == "stopped"
        assert len((await client.experiments()).experiments) == 2
        assert sum(arm.decisions for arm in (await client.results("home")).arms) == 2
        assert len((await client.audit(after=2)).entries) == 3
        assert (await client.forget("bo")).decisions == 1
        assert (await client.retention(days=30)).decisions == 0
        assert (await client.ready()).state == "ready"
        with pytest.raises(ContradictionError):
            await client.ramp_experiment("home", coverage=0.5)
        with pytest.raises(MissingError):
            await client.stop_experiment("none")
        with pytest.raises(UnavailableError) as unsupported:
            await client.replay(decision.decision_id)
        assert unsupported.value.code == "unsupported"
        with pytest.raises(RefusedError) as refused:
            await client.decide("home", "ada", candidates=["a", "a"])
        assert refused.value.faults[0].where == "candidates"
        assert refused.value.request_id

    run_async(bench, use)


def test_the_key_is_sent_and_its_scope_told(bench: Bench) -> None:
    async def use(client: AsyncClient) -> None:
        assert (await client.decide("home", "ada")).experiment == "home"
        with pytest.raises(AccessError) as refused:
            await client.experiments()
        assert refused.value.status == 403

    run_async(bench, use, keys={"k": Caller("shop", frozenset({"decide"}))})


def test_a_failure_is_tried_again_with_the_same_id() -> None:
    sent: list[dict[str, Any]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        sent.append(json.loads(request.content))
        if len(sent) == 1:
            raise httpx.ReadTimeout("no answer", request=request)
        if len(sent) == 2:
            return httpx.Response(503, headers={"retry-after": "0"}, text="busy")
        return httpx.Response(200, json={"id": "x", "outcome": "repeated", "state": "joined"})

    with scripted(handler) as client:
        assert client.reward("d", "click", slot=0).outcome == "repeated"
    assert len(sent) == 3
    assert sent[0] == sent[1] == sent[2]
    assert len(sent[0]["id"]) == 16


def test_decisions_get_an_id_of_their_own() -> None:
    sent: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        sent.append(json.loads(request.content)["decision_id"])
        return httpx.Response(422, text="{}")

    with scripted(handler) as client:
        for _ in range(2):
            with pytest.raises(CallError):
                client.decide("home", "ada")
    assert len(set(sent)) == 2


def test_it_gives_up_after_its_attempts() -> None:
    sent: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        sent.append(request.url.path)
        return httpx.Response(503)

    with scripted(handler) as client, pytest.raises(UnavailableError) as given_up:
        client.decide("home", "ada")
    assert given_up.value.status == 503
    assert len(sent) == 4


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 415, 422])
def test_what_cannot_get_better_is_not_tried_again(status: int) -> None:
    sent: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        sent.append(request.url.path)
        return httpx.Response(status)

    with scripted(handler) as client, pytest.raises(CallError):
        client.decide("home", "ada")
    assert len(sent) == 1


def test_changes_are_sent_again_only_if_nothing_can_have_happened() -> None:
    failures: list[Exception | int] = [
        httpx.ConnectError("refused"),
        429,
        503,
        httpx.ReadError("?"),
    ]
    sent: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        sent.append(request.url.path)
        failure = failures[len(sent) - 1]
        if isinstance(failure, int):
            return httpx.Response(failure)
        raise failure

    with scripted(handler, retries=Retries(attempts=9, longest_wait=0.0)) as client:
        with pytest.raises(UnavailableError) as given_up:
            client.stop_experiment("home")
        assert given_up.value.status == 0
    assert len(sent) == 4


def test_it_waits_as_long_as_the_service_asks() -> None:
    from tenacity import Future, RetryCallState

    def wait(error: Exception, retries: Retries) -> float:
        state = RetryCallState(retry_object=None, fn=None, args=(), kwargs={})  # type: ignore[arg-type]
        outcome = Future(1)
        outcome.set_exception(error)
        state.outcome = outcome
        return retries.wait()(state)

    asked = UnavailableError("busy", status=503, retry_after=3.0)
    assert 3.0 <= wait(asked, Retries()) <= 4.0
    assert wait(asked, Retries(longest_wait=2.0)) == 2.0
    assert 0.0 < wait(UnavailableError("away"), Retries()) <= 0.2


def test_an_answer_of_unknown_form_is_an_error() -> None:
    with (
        scripted(lambda _: httpx.Response(200, text="<html>")) as client,
        pytest.raises(CallError, match="form"),
    ):
        client.decide("home", "ada")


def test_ids_are_quoted_in_paths() -> None:
    seen: list[bytes] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.raw_path)
        return httpx.Response(404)

    with scripted(handler) as client, pytest.raises(MissingError):
        client.decision("a b?c#d")
    assert seen == [b"/v1/decisions/a%20b%3Fc%23d"]


@pytest.mark.parametrize("client", [Client, AsyncClient])
@pytest.mark.parametrize("address", ["127.0.0.1:8400", "localhost:8400", "me:secret@host", ""])
def test_an_address_without_a_scheme_is_refused(client: type, address: str) -> None:
    with pytest.raises(ConfigError, match=r"must begin with http:// or https://$"):
        client(address)


def test_both_clients_offer_the_same() -> None:
    def methods(kind: type) -> dict[str, str]:
        return {
            name: str(inspect.signature(member))
            for name, member in vars(kind).items()
            if inspect.isfunction(member) and not name.startswith("_")
        }

    assert methods(Client) == methods(AsyncClient)


def test_the_front_door_is_sorted_and_whole() -> None:
    assert sorted(front.__all__) == front.__all__
    assert all(hasattr(front, name) for name in front.__all__)


def test_the_key_shows_nowhere() -> None:
    with scripted(lambda _: httpx.Response(401), key="very secret key") as client:
        with pytest.raises(AccessError) as refused:
            client.decide("home", "ada")
        assert "secret" not in f"{client!r} {refused.value} {refused.value!r}"
