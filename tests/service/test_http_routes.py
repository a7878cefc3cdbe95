"""Every route but that of rewards as it should go, and how ids repeat and contradict."""

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import pytest

from matinee_platform.experiments.errors import UnknownExperimentError
from matinee_platform.service.app import create_app
from matinee_platform.service.parts import Replayed
from matinee_platform.service.testing_parts import Bench
from matinee_platform.storage.errors import LogBusyError, LogUnavailableError
from matinee_platform.storage.ports import EventReader
from matinee_platform.storage.records import LoggedDecision
from matinee_policies.errors import ContextError

DECIDE = "/v1/decisions"
JSON = {"content-type": "application/json"}
ASK = {"experiment": "home", "unit": "ada", "decision_id": "page 1"}
CLICK = {"id": "c1", "decision_id": "page 1", "component": "click", "slot": 0}


def test_a_decision_is_logged_before_it_is_answered(bench: Bench, client: Any) -> None:
    answer = client.post(DECIDE, json=ASK)
    assert answer.status_code == 200
    told = answer.json()
    assert told["decision_id"] == "page 1"
    assert told["items"] == ["item 0", "item 1", "item 2"]
    assert told["propensities"] == [1.0, 1.0, 1.0]
    (logged,) = bench.log.decisions
    assert logged.record.arm == told["arm"]
    assert len(logged.record.body_digest) == 16


def test_the_callers_candidates_are_chosen_from(client: Any) -> None:
    ask = {**ASK, "candidates": ["x", "y"], "scores": [0.5, 0.25], "features": [[1.0], [2]]}
    assert client.post(DECIDE, json={**ask, "slots": 1}).json()["items"] == ["x"]


def test_a_repeated_decision_gets_its_first_answer(bench: Bench, client: Any) -> None:
    first = client.post(DECIDE, json=ASK).json()
    bench.clock.advance(seconds=5)
    again = client.post(DECIDE, json=dict(reversed(ASK.items())))
    assert again.json() == first
    assert len(bench.log.decisions) == 1


def test_a_repeat_after_the_stop_gets_its_first_answer(bench: Bench, client: Any) -> None:
    first = client.post(DECIDE, json=ASK).json()
    bench.runtime.error = UnknownExperimentError("no experiment 'home' runs")
    bench.clock.advance(seconds=5)
    assert client.post(DECIDE, json=ASK).json() == first
    assert client.post(DECIDE, json={**ASK, "unit": "bo"}).status_code == 409
    new = {**ASK, "decision_id": "page 2"}
    unnamed = {"experiment": "home", "unit": "ada"}
    asks = [ASK, new, unnamed, {**ASK, "slots": 2}]
    results = client.post(DECIDE + ":batch", json={"decisions": asks}).json()["results"]
    assert [one["status"] for one in results] == [200, 404, 404, 409]
    assert results[0]["decision"] == first
    assert len(bench.log.decisions) == 1


def test_an_id_that_is_any_text_can_be_read_again(client: Any) -> None:
    for text in ("\ufffd", "a/\ufffd", "caf\u00e9 \U0001f3ac"):
        assert client.post(DECIDE, json={**ASK, "decision_id": text}).status_code == 200
        answer = client.get(f"{DECIDE}/{quote(text, safe='')}")
        assert answer.status_code == 200, answer.text
    for path in ("%ff", "%ef%bf%bd%ff", "%ed%a0%80"):
        assert client.get(f"{DECIDE}/{path}").status_code == 422


@pytest.mark.parametrize("name", ["../../etc", "Shop", "", "a/b", "x" * 81])
def test_bundles_have_names_of_folders(name: str, client: Any) -> None:
    arms = [{"name": "only", "bundle": name}]
    answer = client.post("/v1/experiments", json={"key": "shop", "salt": "shop-1", "arms": arms})
    assert answer.status_code == 422
    assert answer.json()["faults"][0]["where"] == "arms.0.bundle"
    assert "1-80 lower-case letters" in answer.json()["detail"]
    assert f"got {name!r}" in answer.json()["detail"]


@pytest.mark.parametrize(
    "change",
    [
        {"unit": "bo"},
        {"slots": 2},
        {"candidates": ["a", "b"]},
        {"candidates": ["a"], "scores": [0.5]},
        {"candidates": ["a"], "features": [[1.0]]},
    ],
)
def test_the_same_id_with_another_body_is_a_conflict(
    change: dict[str, Any], bench: Bench, client: Any
) -> None:
    assert client.post(DECIDE, json=ASK).status_code == 200
    answer = client.post(DECIDE, json={**ASK, **change})
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert len(bench.log.decisions) == 1


def test_one_and_one_point_zero_are_the_same_request(client: Any) -> None:
    ask = {**ASK, "candidates": ["a"], "features": [[1]]}
    assert client.post(DECIDE, json=ask).status_code == 200
    assert client.post(DECIDE, json={**ask, "features": [[1.0]]}).status_code == 200


def test_features_of_another_shape_are_another_request(client: Any) -> None:
    ask = {**ASK, "candidates": ["a", "b"]}
    assert client.post(DECIDE, json={**ask, "features": [[1], [2]]}).status_code == 200
    assert client.post(DECIDE, json={**ask, "features": [[1, 2], [3, 4]]}).status_code == 409


def test_a_decision_without_an_id_gets_one_that_rewards_can_name(client: Any) -> None:
    drawn = client.post(DECIDE, json={"experiment": "home", "unit": "ada"}).json()["decision_id"]
    assert len(drawn) == 16
    reward = client.post("/v1/rewards", json={**CLICK, "decision_id": drawn})
    assert reward.json()["state"] == "joined"


def test_a_unit_outside_is_answered_and_not_logged(bench: Bench, client: Any) -> None:
    bench.runtime.outside.add("ada")
    told = client.post(DECIDE, json=ASK).json()
    assert (told["arm"], told["served_by"], told["snapshot"]) == (None, "default", None)
    assert bench.log.decisions == []


def test_each_decision_of_a_batch_stands_for_itself(bench: Bench, client: Any) -> None:
    asks = [ASK, {**ASK, "unit": "bo"}, {"experiment": "none", "unit": "bo"}, ASK]
    results = client.post(DECIDE + ":batch", json={"decisions": asks}).json()["results"]
    assert [one["status"] for one in results] == [200, 409, 404, 200]
    assert results[3]["decision"] == results[0]["decision"]
    assert len(bench.log.decisions) == 1


def test_the_first_of_one_id_in_a_batch_comes_first(client: Any) -> None:
    # They fall to different arms, which decide on their own.
    asks = [{**ASK, "unit": f"unit {n}", "decision_id": "same"} for n in range(12)]
    results = client.post(DECIDE + ":batch", json={"decisions": asks}).json()["results"]
    assert [one["status"] for one in results] == [200] + [409] * 11


def test_a_short_unit_hides_no_rule(client: Any) -> None:
    ask = {**ASK, "unit": "s", "candidates": ["x", "x"]}
    assert "distinct" in client.post(DECIDE, json=ask).json()["detail"]


@pytest.mark.parametrize("unit", ["1", "5", "6", "slots"])
def test_a_unit_that_is_a_number_hides_no_rule(unit: str, bench: Bench, client: Any) -> None:
    bench.runtime.error = ContextError("slots must be within 1 and 5, got 6")
    assert "got 6" in client.post(DECIDE, json={**ASK, "unit": unit}).json()["detail"]
    bench.runtime.error = ContextError(f"candidates must be items, got {unit!r}")
    assert unit not in client.post(DECIDE, json={**ASK, "unit": unit}).json()["detail"]


def test_a_slash_too_many_is_a_problem_and_leads_nowhere(client: Any) -> None:
    answer = client.post(DECIDE + "/", json=ASK)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("kind", ["application/jsonfoo", "application/json-seq", "text/json"])
def test_only_json_is_json(client: Any, kind: str) -> None:
    sent = client.post(DECIDE, content=b"{}", headers={"content-type": kind})
    assert sent.status_code == 415
    sent = client.post(DECIDE, content=b"{}", headers={"content-type": "application/JSON ;a=b"})
    assert sent.status_code == 422


@pytest.mark.parametrize(
    "at", ["2100-12-31T23:59:59-01:00", "2000-01-01T00:00:00+01:00", "0001-01-01T00:00:00+23:59"]
)
def test_years_are_checked_by_utc_too(client: Any, at: str) -> None:
    event = {"decision_id": "d", "component": "click", "slot": 0, "occurred_at": at}
    assert client.post("/v1/rewards", json=event).status_code == 422


@pytest.mark.parametrize(
    ("error", "code"),
    [(LogBusyError("full"), "log_busy"), (LogUnavailableError("away"), "log_unavailable")],
)
def test_a_log_that_takes_nothing_in_is_503_with_retry_after(
    error: Exception, code: str, bench: Bench, client: Any
) -> None:
    bench.appender.busy = isinstance(error, LogBusyError)
    bench.appender.away = not bench.appender.busy
    calls = [
        (DECIDE, ASK),
        (DECIDE + ":batch", {"decisions": [ASK, ASK]}),
        ("/v1/rewards", CLICK),
        ("/v1/rewards", {"rewards": [CLICK]}),
    ]
    for path, body in calls:
        answer = client.post(path, json=body)
        assert (answer.status_code, answer.json()["code"]) == (503, code)
        assert int(answer.headers["retry-after"]) >= 1


def test_the_life_of_an_experiment_is_audited(client: Any) -> None:
    new = {
        "key": "shelf",
        "salt": "shelf-1",
        "coverage": 0.1,
        "arms": [{"name": "a", "bundle": "a"}],
    }
    assert client.post("/v1/experiments", json=new).json()["state"] == "created"
    assert client.post("/v1/experiments", json=new).status_code == 409
    one = "/v1/experiments/shelf"
    assert client.post(one + ":start", json={}).json()["state"] == "running"
    ramped = client.post(one + ":ramp", json={"coverage": 0.5}).json()
    assert ramped["definition"]["coverage"] == 0.5
    assert client.post(one + ":ramp", json={"coverage": 0.2}).status_code == 409
    assert client.post(one + ":stop").json()["state"] == "stopped"
    assert client.post("/v1/experiments/none:stop").status_code == 404
    listed = client.get("/v1/experiments").json()["experiments"]
    assert [each["definition"]["key"] for each in listed] == ["home", "shelf"]
    entries = client.get("/v1/audit", params={"after": 2}).json()["entries"]
    assert [each["action"].split(".")[1] for each in entries] == ["create", "start", "ramp", "stop"]
    assert {each["who"] for each in entries} == {"anonymous"}


def test_results_count_by_arm(client: Any) -> None:
    for unit in range(20):
        ask = {"experiment": "home", "unit": f"unit {unit}", "decision_id": f"d{unit}"}
        client.post(DECIDE, json=ask)
        client.post("/v1/rewards", json={**CLICK, "id": f"c{unit}", "decision_id": f"d{unit}"})
    results = client.get("/v1/experiments/home/results").json()
    assert results["statistics"] == "none"
    assert results["since"] > 0
    assert sum(arm["exposed_units"] for arm in results["arms"]) == 20
    assert sum(arm["rewards"]["click"] for arm in results["arms"]) == 20
    assert client.get("/v1/experiments/none/results").status_code == 404


def test_a_logged_decision_can_be_looked_at(client: Any) -> None:
    answer = client.post(DECIDE, json=ASK).json()
    client.post("/v1/rewards", json={**CLICK, "occurred_at": "2026-01-01T02:00:00+01:00"})
    view = client.get("/v1/decisions/page 1").json()
    assert (view["items"], view["arm"]) == (answer["items"], answer["arm"])
    (reward,) = view["rewards"]
    assert (reward["component"], reward["slot"]) == ("click", 0)
    assert reward["occurred_at"] == 1_767_229_200_000
    assert client.get("/v1/decisions/" + view["decision_id"]).json() == view
    assert client.get("/v1/decisions/none").status_code == 404


def test_an_id_with_slashes_can_be_looked_at(bench: Bench, serve: Any) -> None:
    client = serve(bench, explain=lambda logged, _: {"seq": logged.seq})
    for place, name in enumerate(["a/b", "a", "a/explain", "/", "https://x.example/é%2F?"], 1):
        client.post(DECIDE, json={**ASK, "decision_id": name})
        path = f"{DECIDE}/{quote(name, safe='')}"
        assert client.get(path).json()["seq"] == place
        assert client.get(path + "/explain").json()["explanation"] == {"seq": place}
    assert client.get(DECIDE + "/a%2fb").json()["seq"] == 1
    for path in ("/a/b", "/a%00b", "/a%00b%2Fc"):
        assert client.get(DECIDE + path).json()["code"] in ("not_found", "invalid")


def test_replay_and_explanation_are_handed_the_logged_row(bench: Bench, serve: Any) -> None:
    def take_again(logged: LoggedDecision) -> Replayed:
        return Replayed(equal=logged.record.snapshot == 3, record=logged.record)

    def tell(logged: LoggedDecision, _: EventReader) -> Mapping[str, Any]:
        return {"seq": logged.seq}

    client = serve(bench, replay=take_again, explain=tell)
    client.post(DECIDE, json=ASK)
    replayed = client.get("/v1/decisions/page 1/replay").json()
    assert replayed["equal"]
    assert replayed["items"] == ["item 0", "item 1", "item 2"]
    assert client.get("/v1/decisions/page 1/explain").json()["explanation"] == {"seq": 1}
    for what in ("replay", "explain"):
        assert client.get(f"/v1/decisions/none/{what}").status_code == 404


def test_forgetting_and_retention(bench: Bench, client: Any) -> None:
    client.post(DECIDE, json=ASK)
    answer = client.post("/v1/admin/forget", json={"unit": "ada"})
    assert answer.json() == {"decisions": 1, "rewards": 0, "settled": True}
    told = client.post("/v1/admin/retention", json={"days": 30}).json()
    assert told["before"] == bench.clock.now_ms() - 30 * 86_400_000


def test_unknown_paths_and_methods_are_problems(client: Any) -> None:
    for method, path, status, code in (
        ("GET", "/nothing", 404, "not_found"),
        ("DELETE", DECIDE, 405, "method"),
        ("GET", "/docs", 404, "not_found"),
    ):
        answer = client.request(method, path)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert answer.headers["content-type"] == "application/problem+json"


def test_every_answer_has_a_number_and_security_headers(client: Any) -> None:
    answers = [client.get("/healthz"), client.get("/nothing"), client.post(DECIDE, json=ASK)]
    assert len({answer.headers["x-request-id"] for answer in answers}) == 3
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in answer.headers


def test_the_parts_are_closed_at_the_end(bench: Bench) -> None:
    app = create_app(bench.settings, clock=bench.clock, parts=bench.parts())

    async def live() -> None:
        async with app.router.lifespan_context(app):
            assert not bench.closed

    asyncio.run(live())
    assert bench.closed


def test_what_has_nothing_to_say_needs_no_body(client: Any) -> None:
    for path in ("/v1/experiments/home:stop", "/v1/experiments/home:start"):
        answer = client.post(path)
        assert answer.status_code == 200, answer.text
    assert client.post("/v1/admin/retention").status_code == 200
    text = {"content-type": "text/plain"}
    again = "/v1/experiments/home:start"
    assert client.post(again, content=b"{}", headers=text).status_code == 415
    assert client.post(again, content=b"{", headers=JSON).status_code == 422
    assert client.post("/v1/experiments/home:ramp").status_code == 415


def test_problems_name_experiments_and_no_units(bench: Bench, client: Any) -> None:
    bench.runtime.error = UnknownExperimentError("no experiment 'attic' runs")
    ask = {"experiment": "attic", "unit": "ada", "decision_id": "visit 9"}
    assert client.post(DECIDE, json=ask).json()["detail"] == "no experiment 'attic' runs"
    told = client.post(DECIDE, json={**ask, "unit": "attic"})
    assert (told.status_code, "attic" in told.text) == (404, False)
