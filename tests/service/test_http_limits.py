"""Limits of requests, each at its boundary: one less, exactly, one more."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from matinee_platform.clock import FakeClock
from matinee_platform.service.app import create_app
from matinee_platform.service.rate_limit import MOST_KEYS, TokenBuckets, retry_after
from matinee_platform.service.testing_parts import Bench, make_bench
from matinee_platform.serving.asks import Ask, Decided

DECIDE = "/v1/decisions"
JSON = {"content-type": "application/json"}


def ask(**more: Any) -> dict[str, Any]:
    return {"experiment": "home", "unit": "ada", **more}


def codes(client: Any, bodies: list[dict[str, Any]], path: str = DECIDE) -> list[int]:
    return [client.post(path, json=body).status_code for body in bodies]


def sized(size: int) -> bytes:
    body = json.dumps(ask(), separators=(",", ":")).encode()
    return body + b" " * (size - len(body))


@pytest.mark.parametrize("announced", [True, False])
def test_bytes_of_a_body(announced: bool, client: Any) -> None:
    limit = 262_144
    found = []
    for size in (limit - 1, limit, limit + 1):
        body = sized(size)

        async def chunks(body: bytes = body) -> Any:
            for start in range(0, len(body), 65_536):
                yield body[start : start + 65_536]

        content = body if announced else chunks()
        answer = client.post(DECIDE, content=content, headers=JSON)
        found.append(answer.status_code)
    assert found == [200, 200, 413]
    assert answer.headers["connection"] == "close"
    assert answer.json()["code"] == "too_large"


def test_nothing_is_read_beyond_the_limit(bench: Bench) -> None:
    """A body without an announced length, of which there is no end."""
    app = create_app(bench.settings, clock=bench.clock, parts=bench.parts())
    read = 0

    async def receive() -> dict[str, Any]:
        nonlocal read
        read += 65_536
        return {"type": "http.request", "body": bytes(65_536), "more_body": True}

    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [
        (b"host", b"localhost"),
        (b"content-type", b"application/json"),
        (b"transfer-encoding", b"chunked"),
    ]
    scope = {
        "type": "http",
        "method": "POST",
        "path": DECIDE,
        "raw_path": DECIDE.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
    }

    async def run() -> None:
        async with app.router.lifespan_context(app):
            await app(scope, receive, send)

    asyncio.run(run())
    assert sent[0]["status"] == 413
    assert read == 262_144 + 65_536


@pytest.mark.parametrize("length", ["-1", "abc", "9" * 30, "262145"])
def test_an_announced_length_is_enough_to_refuse(length: str, client: Any) -> None:
    headers = {**JSON, "content-length": length}
    assert client.post(DECIDE, content=b"{}", headers=headers).status_code == 413


def test_candidates(client: Any) -> None:
    bodies = [ask(candidates=[f"i{n}" for n in range(count)]) for count in (999, 1_000, 1_001)]
    assert codes(client, bodies) == [200, 200, 422]
    assert codes(client, [ask(candidates=[])]) == [422]


def test_features(client: Any) -> None:
    bodies = [ask(candidates=["a"], features=[[0.5] * width]) for width in (199, 200, 201)]
    assert codes(client, bodies) == [200, 200, 422]
    assert codes(client, [ask(candidates=["a"], features=[[]])]) == [422]


def test_size_of_a_feature(client: Any, tmp_path: Any, serve: Any) -> None:
    sizes = (999.0, 1e3, 1_001.0)
    for sign in (1.0, -1.0):
        bodies = [ask(candidates=["a"], features=[[0.5, sign * size]]) for size in sizes]
        assert codes(client, bodies) == [200, 200, 422]
    lower = serve(make_bench(tmp_path, limits={"feature_size": 10.0}))
    for sign in (1.0, -1.0):
        rows = [[[0.0, 1.0], [0.5, sign * size]] for size in (9.9, 10.0, 10.1)]
        bodies = [ask(candidates=["a", "b"], features=one) for one in rows]
        assert codes(lower, bodies) == [200, 200, 422]
    answer = client.post(DECIDE, json=ask(candidates=["a"], features=[[9e18]]))
    (fault,) = answer.json()["faults"]
    assert (fault["where"], "1000000" in fault["rule"]) == ("features.0.0", True)


@pytest.mark.parametrize("field", ["unit", "decision_id", "candidates"])
def test_characters_of_an_id(field: str, client: Any) -> None:
    """Characters, not bytes: these take four each."""
    texts = ["\U0001f39e" * count for count in (127, 128, 129)]
    bodies = [ask(**{field: [text] if field == "candidates" else text}) for text in texts]
    assert codes(client, bodies) == [200, 200, 422]


def test_characters_of_ids_in_rewards_and_paths(client: Any) -> None:
    texts = ["x" * count for count in (127, 128, 129)]
    reward = {"component": "click", "slot": 0}
    bodies = [{**reward, "decision_id": text} for text in texts]
    assert codes(client, bodies, "/v1/rewards") == [200, 200, 422]
    bodies = [{**reward, "decision_id": "d", "id": text} for text in texts]
    assert codes(client, bodies, "/v1/rewards") == [200, 200, 422]
    found = [client.get(f"/v1/decisions/{text}").status_code for text in texts]
    assert found == [404, 404, 422]
    found = codes(client, [{"unit": text} for text in texts], "/v1/admin/forget")
    assert found == [200, 200, 422]


def test_depth(client: Any) -> None:
    found = []
    for depth in (7, 8, 9):
        body = b'{"x":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"
        found.append(client.post(DECIDE, content=body, headers=JSON).json()["code"])
    assert found == ["invalid", "invalid", "too_deep"]


def test_brackets_within_text_are_no_depth(client: Any) -> None:
    answer = client.post(DECIDE, json={"unit": '[[[[[[[[[["{{{{{{{{{{'})
    assert answer.json()["code"] == "invalid"


def test_slots_and_batches(client: Any) -> None:
    assert codes(client, [ask(slots=n) for n in (0, 1, 101)]) == [422, 200, 422]
    for path, name, one in (
        (DECIDE + ":batch", "decisions", ask()),
        ("/v1/rewards", "rewards", {"decision_id": "d", "component": "click", "slot": 0}),
    ):
        bodies = [{name: [one] * count} for count in (0, 99, 100, 101)]
        assert codes(client, bodies, path) == [422, 200, 200, 422]


def test_limits_of_the_settings_count_and_are_documented(tmp_path: Any, serve: Any) -> None:
    limits = {"id_chars": 10, "features": 2, "batch": 1, "body_bytes": 2_000, "json_depth": 5}
    client = serve(make_bench(tmp_path, limits=limits))
    assert codes(client, [ask(decision_id="x" * n) for n in (10, 11)]) == [200, 422]
    bodies = [ask(candidates=["a"], features=[[1.0] * n]) for n in (2, 3)]
    assert codes(client, bodies) == [200, 422]
    assert codes(client, [{"decisions": [ask()] * n} for n in (1, 2)], DECIDE + ":batch") == [
        200,
        422,
    ]
    schemas = client.get("/v1/openapi.json").json()["components"]["schemas"]
    assert schemas["DecisionRequest"]["properties"]["unit"]["maxLength"] == 10
    assert schemas["DecisionsRequest"]["properties"]["decisions"]["maxItems"] == 1


def test_a_bucket_of_tokens_per_key(tmp_path: Any, serve: Any) -> None:
    bench = make_bench(tmp_path, limits={"requests_per_second": 2.0, "burst": 3})
    client = serve(bench)
    assert codes(client, [ask()] * 4) == [200, 200, 200, 429]
    refused = client.post(DECIDE, json=ask())
    assert (refused.json()["code"], refused.headers["retry-after"]) == ("rate_limited", "1")
    bench.clock.advance(seconds=0.499)
    assert codes(client, [ask()]) == [429]
    bench.clock.advance(seconds=0.001)
    assert codes(client, [ask(), ask()]) == [200, 429]
    assert client.get("/healthz").status_code == 200


def test_a_batch_costs_as_much_as_its_decisions(tmp_path: Any, serve: Any) -> None:
    bench = make_bench(tmp_path, limits={"requests_per_second": 1.0, "burst": 10})
    client = serve(bench)
    bodies = [{"decisions": [ask()] * n} for n in (6, 4, 1)]
    assert codes(client, bodies, DECIDE + ":batch") == [200, 200, 429]


def test_keys_do_not_share_a_bucket_and_old_buckets_go() -> None:
    buckets = TokenBuckets(rate=1.0, burst=1, clock=FakeClock())
    assert buckets.take("a", 1) == 0.0
    assert buckets.take("b", 1) == 0.0
    assert buckets.take("a", 5) == 1.0
    for n in range(MOST_KEYS):
        buckets.take(n, 1)
    assert buckets.take("a", 1) == 0.0
    assert [retry_after(seconds) for seconds in (0.0, 1.2, 1e9)] == [1, 2, 3_600]


def test_more_requests_at_once_than_allowed_are_503(tmp_path: Any) -> None:
    bench = make_bench(tmp_path, limits={"in_flight": 2})
    decide = bench.runtime.decide

    async def run() -> None:
        go_on, inside = asyncio.Event(), asyncio.Semaphore(0)

        async def slow(one: Ask) -> Decided:
            inside.release()
            await go_on.wait()
            return await decide(one)

        bench.runtime.decide = slow  # type: ignore[method-assign, assignment]
        app = create_app(bench.settings, clock=bench.clock, parts=bench.parts())
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
        ):
            held = [asyncio.create_task(client.post(DECIDE, json=ask())) for _ in range(2)]
            for _ in held:
                await inside.acquire()
            refused = await client.post(DECIDE, json=ask())
            assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
            assert refused.headers["retry-after"] == "1"
            assert refused.headers["content-type"] == "application/problem+json"
            assert refused.headers["x-content-type-options"] == "nosniff"
            again = await client.post(DECIDE, json=ask())
            ids = [one.json()["request_id"] for one in (refused, again)]
            assert ids == [one.headers["x-request-id"] for one in (refused, again)]
            assert len(set(ids)) == 2
            assert (await client.get("/healthz")).status_code == 200
            assert (await client.get("/readyz")).status_code == 200
            go_on.set()
            assert [(await one).status_code for one in held] == [200, 200]
            assert (await client.post(DECIDE, json=ask())).status_code == 200

    asyncio.run(run())
