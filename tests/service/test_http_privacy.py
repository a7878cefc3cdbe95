"""Ids of units stay at the edge: in no answer to others, no line, no metric, no row of the log."""

import json
from io import StringIO
from typing import Any

from matinee_platform.service.testing_parts import Bench
from matinee_policies.errors import ContextError

DECIDE = "/v1/decisions"


def test_a_thousand_canaries_leave_no_trace(bench: Bench, serve: Any) -> None:
    lines = StringIO()
    client = serve(bench, lines=lines)
    canaries = [f"canary-{n:04d}@example" for n in range(1_000)]
    told = []
    for n, unit in enumerate(canaries):
        asks: list[dict[str, Any]] = [
            {"experiment": "home", "unit": unit, "decision_id": f"d{n}"},
            {"experiment": "home", "unit": unit, "decision_id": f"d{n}", "slots": 1},
            {"experiment": unit, "unit": unit},
            {"experiment": "home", "unit": unit, unit: 1},
            {"experiment": "home", "unit": unit, "slots": 50},
            {"experiment": "home", "unit": [unit]},
            {"experiment": "home", "unit": unit + "\0"},
            {"experiment": "home", "unit": unit, "candidates": [unit, unit]},
        ]
        ask = asks[n % len(asks)]
        told.append(client.post(DECIDE, json=ask))
        if n % 20 == 0:
            bench.runtime.error = ContextError(f"the unit {unit} has no state")
            told.append(client.post(DECIDE, json=ask))
            bench.runtime.error = RuntimeError(unit)
            told.append(client.post(DECIDE, json=ask))
            told.append(client.post(DECIDE + ":batch", json={"decisions": [ask]}))
            bench.runtime.error = None
            told.append(client.post("/v1/rewards", json={"id": unit, unit: unit}))
            told.append(client.post("/v1/admin/forget", json={"unit": unit}))
            told.append(client.get(f"/{unit}"))
    assert {answer.status_code for answer in told} == {200, 404, 422, 500}
    kept = [bench.log.decisions, bench.log.rewards]
    everything = "".join(
        [lines.getvalue(), client.get("/metrics").text, repr(kept), client.get("/v1/audit").text]
        + [answer.text + str(answer.headers) for answer in told]
    )
    assert "canary" not in everything
    for line in lines.getvalue().splitlines():
        assert "request_id" in json.loads(line)


def test_units_and_items_add_no_series(bench: Bench, client: Any) -> None:
    def series() -> int:
        lines = client.get("/metrics").text.splitlines()
        return sum(not line.startswith("#") for line in lines)

    def use(unit: int) -> None:
        items = [f"item {unit * 40 + n}" for n in range(40)]
        ask = {"experiment": "home", "unit": f"u{unit}", "decision_id": f"d{unit}"}
        client.post(DECIDE, json={**ask, "candidates": items})
        click = {"decision_id": f"d{unit}", "component": "click", "slot": 0}
        client.post("/v1/rewards", json=click)
        client.get(f"/v1/decisions/d{unit}")
        client.get(f"/nothing/{unit}")
        client.request(f"METHOD{unit}", "/v1/decisions")

    for unit in range(20):
        use(unit)
    client.get("/metrics")
    before = series()
    for unit in range(20, 320):
        use(unit)
    assert series() == before
    assert not [line for line in client.get("/metrics").text.splitlines() if "_created" in line]


def test_two_services_of_a_process_count_for_themselves(bench: Bench, serve: Any) -> None:
    first, second = serve(bench), serve(bench)
    first.get("/healthz")
    name = 'matinee_http_requests_total{method="GET",route="/healthz",status="200"}'
    assert name in first.get("/metrics").text
    assert name not in second.get("/metrics").text
