"""A line for each request, if the settings want it, and none of a person's data in any."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

from matinee_platform.service.testing_parts import make_bench

ASK = {"experiment": "home", "unit": "canary-ada", "decision_id": "canary visit"}
TRACE = "0af7651916cd43dd8448eb211c80319c"


def told(tmp_path: Path, serve: Any, **settings: Any) -> tuple[list[dict[str, Any]], Any]:
    lines = StringIO()
    client = serve(make_bench(tmp_path, **settings), lines=lines)
    parent = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
    answer = client.post("/v1/decisions", json=ASK, headers=parent)
    client.get("/v1/decisions/canary%20visit", headers={"traceparent": "canary"})
    client.get("/canary")
    client.request("CANARY", "/healthz")
    text = lines.getvalue()
    assert "canary" not in text.lower()
    return [json.loads(line) for line in text.splitlines()], answer


def test_requests_leave_no_line_by_default(tmp_path: Path, serve: Any) -> None:
    lines, answer = told(tmp_path, serve)
    assert lines == []
    assert answer.headers["x-request-id"]


def test_each_request_leaves_a_line_if_wanted(tmp_path: Path, serve: Any) -> None:
    lines, answer = told(tmp_path, serve, request_lines=True)
    first = lines[0]
    assert first.pop("ms") > 0.0
    assert first.pop("timestamp")
    assert first == {
        "event": "request",
        "level": "info",
        "request_id": answer.headers["x-request-id"],
        "trace_id": TRACE,
        "route": "/v1/decisions",
        "method": "POST",
        "status": 200,
    }
    seen = [(one["route"], one["method"], one["status"], "trace_id" in one) for one in lines[1:]]
    assert seen == [
        ("/v1/decisions/{decision_id}", "GET", 200, False),
        ("unmatched", "GET", 404, False),
        ("unmatched", "other", 405, False),
    ]
    assert len({one["request_id"] for one in lines[1:]} | {first["request_id"]}) == 4
