"""Policies valued on the logs of a run, against what the log itself says."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matinee_platform.decision_log import read_parts
from matinee_platform.log_schema import column_values
from matinee_platform.ope import evaluate
from matinee_platform.ope.inputs.components import COMPONENTS
from matinee_platform.ope.inputs.policy_log import (
    DecidedPart,
    LogCheck,
    weighed,
)
from matinee_platform.ope.inputs.run_log import run_log
from matinee_policies.registry import build_policy


def clicks(run: Path, arm: str, *, days: int) -> tuple[np.ndarray, int]:
    """Clicks of each decision in the order of the log, counted from its events."""
    ids = [t["decision_id"].to_numpy() for t in read_parts(run, "decisions", arm)]
    events = [column_values(t) for t in read_parts(run, "rewards", arm)]
    clicked = np.concatenate([e["decision_id"][e["component"] == 0] for e in events])
    known = np.concatenate(ids)
    return np.array([(clicked == one).sum() for one in known]), known.size


def test_the_policy_that_logged_is_worth_the_mean_of_its_rewards(explored: Path) -> None:
    found = evaluate(f"{explored}:soft", f"{explored}:soft", component="click")
    counted, decisions = clicks(explored, "soft", days=4)
    assert found.decisions == decisions
    assert found.rescored is not None
    assert found.rescored["unequal_slots"] == found.rescored["unmatched_decisions"] == 0
    for name in ("ips", "snips", "clipped", "standard", "rips", "sn_rips"):
        assert found.value(name).value == pytest.approx(counted.mean(), rel=1e-13)
    page = found.weighing("slot")
    assert all((one.mean, one.mean_error, one.largest) == (1.0, 0.0, 1.0) for one in page.slots)
    assert page.page.effective == decisions
    assert not found.verdict.words()
    assert found.current is not None
    assert found.current.value == pytest.approx(counted.mean(), rel=1e-13)
    assert found.value("ips").value == found.current.value
    assert abs(found.current.difference or 0.0) < 4 * (found.current.difference_error or 0.0)


def rewards_of(run: Path, component: str) -> np.ndarray:
    log = run_log(run, "soft", component=component)
    target = build_policy("uniform", {}, dimension=11)
    batches = weighed(log, target, model=None, check=LogCheck())
    return np.concatenate([batch.rewards for batch in batches])


def test_a_value_counts_what_learning_counts(explored: Path) -> None:
    """Return visits are part of the value, and of a component of their own."""
    found = {name: rewards_of(explored, name) for name in COMPONENTS}
    matured = len(found["value"])
    assert matured == len(found["return_visit"]) < len(found["click"])
    parts = found["engagement"][:matured] + 0.1 * found["return_visit"]
    np.testing.assert_allclose(found["value"], parts, rtol=1e-12, atol=1e-15)
    assert (found["engagement"] == found["watch"]).all()
    assert set(np.unique(found["click"])) == set(np.unique(found["return_visit"])) == {0.0, 1.0}
    assert ((found["watch"] > 0) <= (found["click"] > 0)).all()
    told = " ".join(run_log(explored, "soft").notes)
    assert "no claim on retention" in told
    assert "window had not closed" in told


def test_another_arm_is_worth_what_it_earned_itself(explored: Path) -> None:
    """Users of the arms are other people in other states: the errors of both are allowed for."""
    found = evaluate(f"{explored}:soft", f"{explored}:softer", component="watch")
    own = evaluate(f"{explored}:softer", f"{explored}:softer", component="watch")
    assert own.current is not None
    for name in ("dr", "snips", "rips", "sn_standard", "cascade_dr"):
        value = found.value(name)
        assert value.value is not None, value.refused
        error = np.hypot(value.standard_error or 0.0, own.current.standard_error or 0.0)
        assert abs(value.value - own.current.value) < 4 * error
        assert value.interval is not None
        assert value.value in value.interval
    assert found.current is not None
    apart = found.current.difference_interval
    assert apart is not None
    assert found.current.difference is not None
    assert found.current.difference in apart


def test_a_log_that_never_explored_is_refused(explored: Path) -> None:
    found = evaluate(f"{explored}:order", f"{explored}:soft")
    told = found.to_json()
    assert told["value"] is None
    assert told["interval"] is None
    assert all(one["value"] is None and one["reasons"] for one in told["estimates"])
    assert {one["rule"] for one in told["refused"]} >= {"unlogged items", "mean weight"}
    assert told["current"]["value"] > 0
    json.dumps(told, allow_nan=False)


@pytest.mark.parametrize(("share", "refused"), [(0.0005, False), (0.05, True)])
def test_propensities_that_do_not_come_out_again(
    explored: Path, share: float, refused: bool
) -> None:
    log = run_log(explored, "soft", component="click")

    def parts(with_features: bool) -> Iterator[Sequence[DecidedPart]]:
        for together in log.parts(with_features):
            damaged = []
            for part in together:
                logged = part.logged.copy()
                logged[: int(np.ceil(share * len(part))), 0] *= 0.9
                damaged.append(replace(part, logged=logged))
            yield damaged

    found = evaluate(replace(log, parts=parts), {"kind": "softmax", "temperature": 0.4})
    assert found.rescored is not None
    assert found.rescored["unmatched_decisions"] == found.rescored["unequal_slots"] > 0
    assert found.rescored["largest_relative_gap"] == pytest.approx(1 / 0.9 - 1)
    rules = {reason.rule for reason in found.verdict.refused}
    assert ("missing propensities" in rules) == refused or share * found.decisions < 1


def test_a_log_without_rows_is_refused(explored: Path) -> None:
    log = replace(run_log(explored, "soft"), parts=lambda _: iter(()))
    found = evaluate(log, {"kind": "uniform"}, reward_model="none")
    assert found.headline.value is None
    assert found.headline.refused
    json.dumps(found.to_json(), allow_nan=False)


def test_a_log_whose_policy_learned_has_intervals_that_hold_at_any_time(explored: Path) -> None:
    found = evaluate(f"{explored}:learner", {"kind": "uniform"}, component="click")
    assert found.adaptive
    assert found.headline.interval is not None
    assert found.headline.estimator == "rips"
    assert found.current is not None
    assert found.current.difference_interval is not None
    methods = {found.headline.interval.method, found.current.difference_interval.method}
    assert methods == {"anytime"}
    value = found.value("ips")
    assert value.interval is not None
    assert value.interval.method == "anytime"
    for name in ("dr", "sndr", "cascade_dr", "sn_cascade_dr"):
        assert found.value(name).interval is None
        assert "its predictions know later rows" in found.value(name).no_interval
    assert found.value("dm").interval is None
    assert "not its bias" in found.value("dm").no_interval


def test_an_interval_that_leaves_a_bias_out_is_told_only_if_asked_for(explored: Path) -> None:
    asked: dict[str, Any] = {"component": "watch", "estimators": ("dm", "switch_dr", "dr")}
    found = evaluate(f"{explored}:soft", f"{explored}:softer", **asked)
    for name in ("dm", "switch_dr"):
        value = found.value(name)
        tamed = name == "dm" or (value.tuned is not None and value.tuned.chosen is not None)
        assert value.value is not None
        assert (value.interval is None) == tamed
        assert ("not its bias" in value.no_interval) == tamed
    assert found.value("dr").interval is not None
    noise = evaluate(f"{explored}:soft", f"{explored}:softer", intervals=("bootstrap",), **asked)
    assert noise.value("dm").interval is not None
