"""Rewards over HTTP: their states, their limits, and the tokens that let them in."""

from dataclasses import replace
from typing import Any

import pytest

from matinee_platform.service.testing_parts import Bench, make_bench
from matinee_platform.storage.errors import LogUnavailableError
from matinee_platform.storage.ports import EventReader

DECIDE = "/v1/decisions"
ASK = {"experiment": "home", "unit": "ada", "decision_id": "page 1"}
CLICK = {"id": "c1", "decision_id": "page 1", "component": "click", "slot": 0}


def test_rewards_go_through_the_states(bench: Bench, client: Any) -> None:
    def post(**change: Any) -> Any:
        return client.post("/v1/rewards", json={**CLICK, **change}).json()

    assert post(id="early")["state"] == "early"
    client.post(DECIDE, json=ASK)
    assert post(id="early") == {
        "id": "early",
        "outcome": "repeated",
        "state": "early",
        "problem": None,
    }
    assert post(id="second")["state"] == "duplicate"
    assert post(id="watch", component="watch", value=0.5, slot=1)["state"] == "joined"
    assert post(id="nowhere", slot=9)["state"] == "orphan"
    bench.clock.advance(seconds=31 * 60)
    assert post(id="late", slot=2)["state"] == "late"
    assert post(id="visit", component="return_visit", slot=None)["state"] == "joined"


def test_one_contradicting_reward_is_409_and_many_tell_one_by_one(client: Any) -> None:
    client.post(DECIDE, json=ASK)
    assert client.post("/v1/rewards", json=CLICK).status_code == 200
    other = {**CLICK, "value": 0}
    assert client.post("/v1/rewards", json=other).status_code == 409
    answer = client.post("/v1/rewards", json={"rewards": [CLICK, other]})
    assert [one["outcome"] for one in answer.json()["results"]] == ["repeated", "conflict"]


@pytest.mark.parametrize("settings", [{"limits": {"rewards_per_decision": 2}}])
def test_rewards_of_one_decision_are_capped(
    settings: dict[str, Any], tmp_path: Any, serve: Any
) -> None:
    client = serve(make_bench(tmp_path, **settings))
    answers = [
        client.post("/v1/rewards", json={**CLICK, "id": f"c{n}", "slot": n}) for n in range(3)
    ]
    assert [one.status_code for one in answers] == [200, 200, 422]
    assert answers[2].json()["code"] == "reward_cap"


@pytest.mark.parametrize(
    ("component", "good", "bad"),
    [
        ("click", [0, 1], [0.5, 2, -1]),
        ("watch", [0, 0.25, 1], [-0.001, 1.001]),
        ("rating", [0, 7.5, 10], [-0.001, 10.001]),
        ("return_visit", [1], [0, 0.5, 2]),
    ],
)
def test_values_keep_to_the_range_of_their_component(
    component: str, good: list[float], bad: list[float], client: Any
) -> None:
    place = {} if component == "return_visit" else {"slot": 0}
    body = {"decision_id": "d", "component": component, **place}
    for value in good:
        assert client.post("/v1/rewards", json={**body, "value": value}).status_code == 200
    for value in bad:
        assert client.post("/v1/rewards", json={**body, "value": value}).status_code == 422


def test_a_slot_belongs_to_all_components_but_the_visit(client: Any) -> None:
    for component, place in (("click", {}), ("return_visit", {"slot": 0})):
        body = {"decision_id": "d", "component": component, "value": 1, **place}
        assert client.post("/v1/rewards", json=body).status_code == 422


def test_tokens_let_rewards_of_their_decision_in(tmp_path: Any, serve: Any) -> None:
    bench = make_bench(tmp_path, signed_tokens=True)
    client = serve(bench)
    token = client.post(DECIDE, json=ASK).json()["token"]
    assert client.post("/v1/rewards", json=CLICK).status_code == 403
    other = {**CLICK, "decision_id": "page 2", "token": token}
    assert client.post("/v1/rewards", json=other).status_code == 403
    many = {"rewards": [CLICK, {**CLICK, "token": token}]}
    results = client.post("/v1/rewards", json=many).json()["results"]
    assert [one["outcome"] for one in results] == ["refused", "stored"]
    assert results[0]["problem"]["status"] == 403
    bench.clock.advance(seconds=30 * 86_400)
    late = {**CLICK, "id": "c2", "token": token}
    assert client.post("/v1/rewards", json=late).status_code == 403


def test_rewards_without_a_time_wait_for_no_log_that_cannot_be_read(
    bench: Bench, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, away = bench.parts(), [False]

    def reader() -> EventReader:
        if away[0]:
            raise LogUnavailableError("the log is away")
        return plain.reader()

    of_simulated = replace(
        plain, reader=reader, has_simulated=lambda: True, is_simulated=lambda key: key == "home"
    )
    monkeypatch.setattr(bench, "parts", lambda: of_simulated)
    client = serve(bench)
    client.post(DECIDE, json=ASK)
    away[0] = True
    assert client.post("/v1/rewards", json=CLICK).status_code == 200
    away[0] = False
    answer = client.post("/v1/rewards", json={**CLICK, "id": "c2"})
    assert answer.status_code == 422
    assert "at: it must be given" in answer.json()["detail"]


def test_no_forged_token_is_accepted(tmp_path: Any, serve: Any) -> None:
    bench = make_bench(tmp_path, signed_tokens=True, limits={"batch": 1_000})
    client = serve(bench)
    token = client.post(DECIDE, json=ASK).json()["token"]
    forged = []
    for n in range(1_000):
        place = n % len(token)
        digit = "0" if token[place] != "0" else "1"
        forged.append({**CLICK, "id": f"c{n}", "token": token[:place] + digit + token[place + 1 :]})
    results = client.post("/v1/rewards", json={"rewards": forged}).json()["results"]
    assert {one["outcome"] for one in results} == {"refused"}
    assert bench.log.rewards == []
