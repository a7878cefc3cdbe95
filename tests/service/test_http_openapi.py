"""The OpenAPI document: complete, with examples that hold, and true under made-up requests."""

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, seed, settings
from jsonschema_rs import Draft202012Validator
from schemathesis.checks import not_a_server_error

from matinee_platform.clock import FakeClock
from matinee_platform.service.app import create_app
from matinee_platform.service.errors import PROBLEMS
from matinee_platform.service.parts import Replayed
from matinee_platform.service.testing_parts import make_bench

LIMITS = {"requests_per_second": 1e9, "burst": 1_000_000_000}


def make_app() -> FastAPI:
    bench = make_bench(Path("unused"), limits=LIMITS)
    parts = bench.parts(
        replay=lambda logged: Replayed(equal=True, record=logged.record),
        explain=lambda logged, reader: {},
    )
    return create_app(bench.settings, clock=FakeClock(), parts=parts)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    made: dict[str, Any] = make_app().openapi()
    return made


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method} {path}", operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]


def test_every_route_is_documented_with_examples(document: dict[str, Any]) -> None:
    assert len(operations(document)) == 20
    for name, operation in operations(document):
        assert operation["summary"], name
        assert operation["description"], name
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                (content,) = response["content"].values()
                assert content["examples"], (name, status)
            elif "application/json" in response["content"]:
                answer = response["content"]["application/json"]["schema"]
                assert "openapi" in name or examples_of(answer, document), name
        body = operation.get("requestBody")
        if body is not None:
            schema = body["content"]["application/json"]["schema"]
            assert examples_of(schema, document), name


def test_every_problem_is_documented_somewhere(document: dict[str, Any]) -> None:
    shown = {
        code
        for _, operation in operations(document)
        for response in operation["responses"].values()
        for content in response.get("content", {}).values()
        for code in content.get("examples", {})
    }
    # These two belong to paths and methods that no route has.
    assert shown | {"method"} == {problem.code for problem in PROBLEMS}


def test_examples_are_what_their_schemas_say(document: dict[str, Any]) -> None:
    checked = 0
    for name, schema in document["components"]["schemas"].items():
        for example in schema.get("examples", []):
            whole = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
            Draft202012Validator(whole).validate(example)
            checked += 1
    assert checked > 15


def test_no_limit_is_left_open(document: dict[str, Any]) -> None:
    assert "x-limit" not in json.dumps(document)


def examples_of(schema: dict[str, Any], document: dict[str, Any]) -> list[Any]:
    found = list(schema.get("examples", []))
    for one in (schema, *schema.get("oneOf", []), *schema.get("anyOf", [])):
        if "$ref" in one:
            name = one["$ref"].rsplit("/", 1)[1]
            found += document["components"]["schemas"][name].get("examples", [])
    return found


schema = schemathesis.openapi.from_asgi("/v1/openapi.json", make_app())

CASES = int(os.environ.get("MATINEE_HOSTILE_CASES", "0"))
"""Made-up requests of the long form, `make hostile`, in all; 0 for the quick form."""

WITH_INPUT = 13
"""Operations that take something; the others are asked alike every time."""

EACH = 6 if CASES == 0 else -(-CASES // WITH_INPUT)

answered: Counter[int] = Counter()
"""Made-up requests by the status they were answered with."""


@seed(7)
@schema.parametrize()
@settings(
    max_examples=EACH,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@pytest.mark.timeout(300 if CASES == 0 else 7_200)
def test_made_up_requests_never_make_it_fail(case: Any) -> None:
    response = case.call(headers={"host": "localhost"})
    answered[response.status_code] += 1
    case.validate_response(response, checks=[not_a_server_error])


@pytest.mark.skipif(CASES == 0, reason="counts the requests of the long form, make hostile")
def test_long_form_made_all_its_requests(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(
            f"\n{answered.total():,} made-up requests by status: {dict(sorted(answered.items()))}"
        )
    assert answered.total() >= CASES
    assert not any(status >= 500 for status in answered)
