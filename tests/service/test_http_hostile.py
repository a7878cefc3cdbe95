"""A corpus of hostile requests: each is refused with a problem, none makes the service fail."""

import json
from typing import Any

import pytest

from matinee_platform.service.testing_parts import Bench

JSON = {"content-type": "application/json"}
DECIDE = "/v1/decisions"
REWARD = "/v1/rewards"


def decision(field: str, value: str) -> bytes:
    rest = {"experiment": '"home"', "unit": '"ada"', field: value}
    return ("{" + ",".join(f'"{name}":{text}' for name, text in rest.items()) + "}").encode()


def reward(field: str, value: str) -> bytes:
    rest = {"decision_id": '"d"', "component": '"watch"', "slot": "0", "value": "0.5", field: value}
    return ("{" + ",".join(f'"{name}":{text}' for name, text in rest.items()) + "}").encode()


NUMBERS = [
    "NaN",
    "-NaN",
    "Infinity",
    "-Infinity",
    "1e400",
    "-1e400",
    "1e309",
    "9223372036854775808",
    "-9223372036854775809",
    "18446744073709551616",
    "1" + "0" * 400,
    "-1" + "0" * 400,
    "1" + "0" * 5_000,
    "9" * 20_000,
    "0." + "9" * 5_000 + "e99",
    "0x10",
    "1_000",
    "+1",
    "01",
    "1.",
    ".5",
    "--1",
    '"1"',
    "true",
    "null ",
    "[]",
    "{}",
]
TEXTS = [
    r'"\ud800"',
    r'"\udc00"',
    r'"\ud800\ud800"',
    r'"a\u0000b"',
    '"a\0b"',
    '"a\nb"',
    '"' + "x" * 129 + '"',
    '""',
    "1",
    "null",
    "[]",
    "{}",
    "true",
    r'"\x41"',
    r'"\u12"',
    '"unterminated',
]
TIMES = [
    '"0001-01-01T00:00:00+14:00"',
    '"9999-12-31T23:59:59-14:00"',
    '"1999-12-31T23:59:59+00:00"',
    '"2101-01-01T00:00:00Z"',
    '"2026-01-01T00:00:00"',
    '"2026-13-01T00:00:00Z"',
    '"2026-02-30T00:00:00Z"',
    '"2026-01-01T25:00:00Z"',
    '"2026-01-01T00:00:00+99:99"',
    '"2026-01-01"',
    '"now"',
    '""',
    "1767225600",
    "1e400",
    "NaN",
    "9223372036854775808",
    "-1",
]
WHOLE = [
    b"",
    b" ",
    b"\x00",
    b"\xff\xfe",
    b"\xef\xbb\xbf{}",
    "{}".encode("utf-16"),
    b"null",
    b"true",
    b"1",
    b'"text"',
    b"[]",
    b"[[]]",
    b"{",
    b"}",
    b"{}{}",
    b"{},",
    b'{"experiment":"home","unit":"ada",}',
    b"{'experiment':'home','unit':'ada'}",
    b'{"experiment":"home","unit":"ada"} // comment',
    b'{"experiment":"home"}',
    b'{"unit":"ada"}',
    b'{"experiment":"home","unit":"ada","extra":1}',
    b'{"experiment":"home","unit":"ada","__proto__":{}}',
    b'{"experiment":"home","unit":"\xc3\x28"}',
    b'{"experiment":"home","unit":"\xed\xa0\x80"}',
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b"[" * 100_000 + b"]" * 100_000,
    b'{"experiment":"home","unit":"ada","candidates":' + b"[" * 1_000 + b"]" * 1_000 + b"}",
    b"x" * 262_144,
    b" " * 262_145,
    b'{"experiment":"../../etc/passwd","unit":"ada"}',
    b'{"experiment":"Home","unit":"ada"}',
    b'{"experiment":"home\\n","unit":"ada"}',
    b'{"experiment":"","unit":"ada"}',
    b'{"experiment":"home","unit":"ada","candidates":["a","a"]}',
    b'{"experiment":"home","unit":"ada","candidates":["a",null]}',
    b'{"experiment":"home","unit":"ada","scores":[0.5]}',
    b'{"experiment":"home","unit":"ada","features":[[0.5]]}',
    b'{"experiment":"home","unit":"ada","candidates":["a"],"scores":[0.5,0.6]}',
    b'{"experiment":"home","unit":"ada","candidates":["a"],"scores":[0]}',
    b'{"experiment":"home","unit":"ada","candidates":["a"],"scores":[1]}',
    b'{"experiment":"home","unit":"ada","candidates":["a"],"scores":[1e-400]}',
    b'{"experiment":"home","unit":"ada","candidates":["a","b"],"features":[[1],[1,2]]}',
    b'{"experiment":"home","unit":"ada","candidates":["a","b"],"features":[[1]]}',
    b'{"experiment":"home","unit":"ada","slots":1e400}',
    b'{"experiment":"home","unit":"ada","slots":1.5}',
    b'{"experiment":"home","unit":"ada","slots":9223372036854775808}',
    b'{"experiment":"home","unit":"ada","slots":-1}',
]
REWARDS = [
    b'{"rewards":[]}',
    b'{"rewards":null}',
    b'{"rewards":{}}',
    b'{"rewards":[[]]}',
    b'{"rewards":[1]}',
    b'{"rewards":[{}],"decision_id":"d"}',
    b'{"decision_id":"d","component":"watch","slot":0,"value":0.5,"token":"' + b"x" * 201 + b'"}',
    b'{"decision_id":"d","component":"profit","slot":0,"value":0.5}',
    b'{"decision_id":"d","component":"watch","slot":100,"value":0.5}',
    b'{"decision_id":"d","component":"watch","slot":-1,"value":0.5}',
    b'{"decision_id":"d","component":"watch","slot":0.5,"value":0.5}',
]
CASES = [
    *((DECIDE, body) for body in WHOLE),
    *((REWARD, body) for body in WHOLE),
    *((DECIDE + ":batch", body) for body in WHOLE),
    *((DECIDE, decision("candidates", f'["a"],"features":[[{text}]]')) for text in NUMBERS),
    *((DECIDE, decision("candidates", f'["a"],"scores":[{text}]')) for text in NUMBERS),
    *((DECIDE, decision("slots", text)) for text in NUMBERS if text != "null "),
    *((DECIDE, decision("unit", text)) for text in TEXTS),
    *((DECIDE, decision("decision_id", text)) for text in TEXTS if text != "null"),
    *((DECIDE, decision("candidates", f"[{text}]")) for text in TEXTS),
    *((REWARD, reward("value", text)) for text in NUMBERS),
    *((REWARD, reward("slot", text)) for text in NUMBERS),
    *((REWARD, reward("decision_id", text)) for text in TEXTS),
    *((REWARD, reward("id", text)) for text in TEXTS if text != "null"),
    *((REWARD, reward("occurred_at", text)) for text in TIMES),
    *((REWARD, body) for body in REWARDS),
    *(("/v1/experiments", body) for body in WHOLE),
    ("/v1/experiments/home:ramp", b'{"coverage":NaN}'),
    ("/v1/experiments/home:ramp", b'{"coverage":1e400}'),
    ("/v1/experiments/home:start", b'{"salt":"a b"}'),
    ("/v1/admin/forget", b'{"unit":"\\u0000"}'),
    ("/v1/admin/forget", b'{"unit":"\\ud800"}'),
    ("/v1/admin/retention", b'{"days":9223372036854775808}'),
]


def test_every_hostile_body_is_refused(bench: Bench, client: Any) -> None:
    assert len(CASES) > 400
    wrong = []
    for path, body in CASES:
        answer = client.post(path, content=body, headers=JSON)
        if answer.status_code not in (413, 422):
            wrong.append((path, body[:80], answer.status_code))
        else:
            problem = json.loads(answer.text)
            assert problem["status"] == answer.status_code
            assert "Traceback" not in answer.text
            assert len(answer.text) < 4_000
    assert wrong == []
    assert bench.log.decisions == []
    assert bench.log.rewards == []


@pytest.mark.parametrize(
    "path",
    [
        "/v1/decisions/%00",
        "/v1/decisions/%ff",
        "/v1/decisions/%ed%a0%80",
        "/v1/decisions/a%2fb",
        "/v1/decisions/..%2f..%2fetc%2fpasswd",
        "/v1/decisions/" + "x" * 129,
        "/v1/decisions/%00/replay",
        "/v1/experiments/%00/results",
        "/v1/experiments/" + "x" * 10_000 + "/results",
        "/v1/experiments/home'%20OR%201=1--/results",
        "/v1/audit?after=-1",
        "/v1/audit?after=9223372036854775808",
        "/v1/audit?after=1e400",
        "/v1/audit?after=NaN",
        "/v1/audit?limit=0",
        "/v1/audit?limit=1001",
        "/v1/audit?limit=%00",
        "/v1/audit?" + "&".join(f"x{n}=1" for n in range(100)),
        "/v1/audit?%ff=%ff",
        "//",
        "/v1/decisions:batch:batch",
        "/%00",
    ],
)
def test_hostile_paths_are_refused(path: str, client: Any) -> None:
    answer = client.get(path)
    # Unknown parameters of a query are not read.
    if path.startswith("/v1/audit?%ff"):
        assert answer.status_code in (200, 422)
    else:
        assert answer.status_code in (404, 405, 422), answer.text
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "text",
    [
        "'; DROP TABLE decisions; --",
        '" OR ""="',
        "=cmd|' /C calc'!A0",
        "<script>alert(1)</script>",
        "${jndi:ldap://x}",
        "{{7*7}}",
        "%s%n",
        "\u202eabc",
        "\ufeffabc",
        "\ufffe",
        "a\u0301",
        "e\u0301\u0302" * 20,
        "\U0010ffff",
        "\x7f\x1b[31m",
        " ",
        "../../x",
    ],
)
def test_odd_text_is_only_text(text: str, client: Any) -> None:
    ask = {"experiment": "home", "unit": text, "decision_id": text, "candidates": [text]}
    answer = client.post(DECIDE, json=ask)
    assert answer.status_code == 200
    assert (answer.json()["decision_id"], answer.json()["items"]) == (text, [text])
    reward = {"id": text, "decision_id": text, "component": "click", "slot": 0}
    assert client.post(REWARD, json=reward).json()["state"] == "joined"


def test_an_exception_that_nobody_foresaw_is_one_line_and_no_traceback(
    bench: Bench, serve: Any
) -> None:
    from io import StringIO

    lines = StringIO()
    client = serve(bench, lines=lines)
    bench.runtime.error = RuntimeError("something about the unit ada-the-user")
    answer = client.post(DECIDE, json={"experiment": "home", "unit": "ada-the-user"})
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert answer.json()["detail"] == "The service failed"
    (line,) = lines.getvalue().splitlines()
    told = json.loads(line)
    assert told["request_id"] == answer.json()["request_id"] == answer.headers["x-request-id"]
    assert told["error"] == "RuntimeError"
    assert any("decision_routes" in place for place in told["places"])
    assert "ada" not in line
