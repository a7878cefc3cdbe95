"""Every route with every role, and what a service without keys lets in."""

from typing import Any

import pytest

from matinee_platform.service.app import service_routes
from matinee_platform.service.log_lines import service_log
from matinee_platform.service.parts import SCOPES, Caller
from matinee_platform.service.running import Service
from matinee_platform.service.testing_parts import Bench

OPEN = {"/healthz", "/readyz", "/v1/openapi.json"}
KEYS = {f"key-{scope}": Caller(scope, frozenset({scope})) for scope in SCOPES}


def paths(bench: Bench) -> list[tuple[str, str, str | None]]:
    routes = service_routes(Service(bench.settings, clock=bench.clock, log=service_log()))
    found: list[tuple[str, str, str | None]] = [("GET", "/v1/openapi.json", None)]
    return found + [
        (one.method, one.path.replace("{key}", "home").replace("{decision_id}", "d"), one.scope)
        for one in routes
    ]


def test_every_route_with_every_role(bench: Bench, serve: Any) -> None:
    client = serve(bench, keys=KEYS)
    for method, path, needed in paths(bench):
        assert (needed is None) == (path in OPEN), path
        for presented in (None, "unknown", *KEYS):
            headers = {} if presented is None else {"authorization": f"Bearer {presented}"}
            options: dict[str, Any] = {} if method == "GET" else {"json": {}}
            status = client.request(method, path, headers=headers, **options).status_code
            role = KEYS[presented].key_id if presented in KEYS else None
            if needed is None:
                assert status == 200, path
            elif role is None:
                assert status == 401, (path, presented)
            elif role != needed:
                assert status == 403, (path, presented)
            else:
                assert status not in (401, 403), (path, presented)


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Basic a2V5", "key-decide", "Bearer " + "x" * 300, "Bearer \xe9"],
)
def test_what_is_no_key_is_unauthenticated(header: str, bench: Bench, serve: Any) -> None:
    client = serve(bench, keys=KEYS)
    headers = {"authorization": header.encode("latin-1")}
    answer = client.post("/v1/decisions", json={}, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


def test_the_scheme_is_read_in_any_case(bench: Bench, serve: Any) -> None:
    client = serve(bench, keys=KEYS)
    headers = {"authorization": "bearer key-read"}
    assert client.get("/v1/experiments", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "localhost:8400"}, 200),
        ({"host": "[::1]:8400"}, 200),
        ({"host": "evil.example"}, 403),
        ({"host": "127.0.0.1.evil.example"}, 403),
        ({"origin": "http://localhost:3000"}, 200),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
    ],
)
def test_without_keys_other_sites_cannot_send_requests(
    headers: dict[str, str], status: int, client: Any
) -> None:
    assert client.get("/v1/experiments", headers=headers).status_code == status


@pytest.mark.parametrize("kind", ["text/plain", "", "application/x-www-form-urlencoded"])
def test_bodies_must_come_as_json(kind: str, client: Any) -> None:
    answer = client.post("/v1/decisions", content=b"{}", headers={"content-type": kind})
    assert (answer.status_code, answer.json()["code"]) == (415, "media_type")
