"""Every kind of policy runs as an arm: learned, logged, re-scored and resumed to the same bits."""

import json
from pathlib import Path
from typing import Any

import pytest

from matinee_platform.offline.arm_process import Reporter, run_arm
from matinee_platform.offline.arm_run import DayReport
from matinee_platform.offline.exploration_log import BOUNDS, NO_METHOD
from matinee_platform.offline.replay_run import replay_run
from matinee_platform.offline.run import run_experiment
from matinee_platform.offline.testing_arms import played
from matinee_platform.settings import ExperimentSettings, load_settings, parse_settings
from matinee_platform.verify import check_run
from matinee_policies.registry import POLICY_KINDS

SETTINGS: dict[str, list[dict[str, Any]]] = {
    "lin_ucb": [
        {"form": "disjoint"},
        {"form": "hybrid", "diversity": {"kind": "dpp", "price": 0.1}},
        {"caps": {"aspect": 2, "creator": 1}, "diversity": {"kind": "xquad", "price": 0.2}},
    ],
    "score_order": [{"epsilon": 0.2, "diversity": {"kind": "calibrated", "price": 0.2}}],
}
"""More than the defaults, by kind; each is an arm of its own."""


def arms() -> list[dict[str, Any]]:
    found = []
    for kind in POLICY_KINDS:
        for number, more in enumerate([{}, *SETTINGS.get(kind, [])]):
            found.append({"name": f"{kind}_{number}", "policy": {"kind": kind, **more}})
    return found


def settings(data: Path, **changes: Any) -> ExperimentSettings:
    values = {
        "name": "kinds",
        "seed": 11,
        "users": 30,
        "checkpoint_every": 0,
        "days": 4,
        "slots": 4,
        "candidates": 15,
        "batch_size": 64,
        "design": "paired",
        "data": str(data),
        "world": {"arrival_days": 1},
        "reward": {"return_visit": {"weight": 0.1, "window_days": 2}},
        "arms": arms(),
    }
    return parse_settings({**values, **changes})


def identity(results: dict[str, Any]) -> dict[str, Any]:
    return {
        arm: (run["log_hash"], list(run["snapshots"])) for arm, run in results["arm_runs"].items()
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, small_data: Path) -> Path:
    run = tmp_path_factory.mktemp("runs") / "whole"
    run_experiment(settings(small_data), run, workers=1)
    return run


def _results(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "results.json").read_text(encoding="utf-8"))
    return found


def test_every_log_is_rescored_to_the_bit(whole: Path) -> None:
    checks = {check.arm: check for check in check_run(whole)}
    assert set(checks) == {arm["name"] for arm in arms()}
    for check in checks.values():
        assert check.complete, check
        assert check.unequal == check.features_unequal == 0, check
        assert check.slots > 100, check
    # Those that learn, and show it in their propensities within these few days.
    learners = [check for check in checks.values() if check.snapshots > 1]
    assert len(learners) >= len(POLICY_KINDS) - 3
    for check in learners:
        assert check.passed, check


def test_every_snapshot_is_rebuilt_from_the_log_alone(whole: Path) -> None:
    replays = {replay.arm: replay for replay in replay_run(whole)}
    runs = _results(whole)["arm_runs"]
    assert set(replays) == set(runs)
    for arm, replay in replays.items():
        assert replay.passed, replay
        found = (replay.decisions, replay.snapshots, replay.unmatched_events)
        assert found == (runs[arm]["pages"], len(runs[arm]["snapshots"]), 0)


def test_the_price_of_exploration_is_told_or_why_not(whole: Path) -> None:
    cards = _results(whole)["arms"]
    costs = {arm: card["exploration_cost"] for arm, card in cards.items()}
    # So few pages are sampled here that some arms have none.
    told = {arm: cost["mean"] for arm, cost in costs.items() if cost is not None}
    assert set(told) == {part.parent.name for part in (whole / "exploration").rglob("*.arrow")}
    assert len(told) > 2
    reasons = {arm: card["exploration_cost_reason"] for arm, card in cards.items()}
    bounds = {arm for arm in reasons if "lin_ucb" in arm}
    assert {arm for arm, reason in reasons.items() if reason == BOUNDS} == bounds
    silent = {arm for arm, reason in reasons.items() if reason == NO_METHOD}
    assert silent == {"mixture_0", "corral_0", "new_items_0", "vowpal_wabbit_per_slot_0"}
    assert {arm for arm, reason in reasons.items() if reason is None} == set(told)
    assert min(told.values()) >= 0.0 < max(told.values())


def test_batches_and_processes_do_not_show(whole: Path, tmp_path: Path, small_data: Path) -> None:
    again = played(settings(small_data, batch_size=7), tmp_path / "run", workers=2)
    assert again == identity(_results(whole))


class StopError(Exception):
    """Interrupts a run from within."""


def test_a_stopped_run_goes_on_to_the_same_bits(
    whole: Path, tmp_path: Path, small_data: Path
) -> None:
    """Every arm is stopped, at a day that moves from arm to arm."""
    run, wanted = tmp_path / "run", settings(small_data)

    def stop_at(day: int) -> Reporter:
        def stop(report: DayReport) -> None:
            if report.day == day:
                raise StopError

        return stop

    with pytest.raises(StopError):
        run_experiment(wanted, run, workers=1, report=stop_at(0))
    for number in range(len(wanted.arms)):
        with pytest.raises(StopError):
            run_arm(wanted, run, number, stop_at(1 + number % 2))
    results = run_experiment(wanted, run, workers=1, resume=True)
    assert identity(results) == identity(_results(whole))
    expected = {k: v for k, v in _results(whole).items() if k != "timings"}
    assert json.loads(json.dumps({k: v for k, v in results.items() if k != "timings"})) == expected


def test_the_example_of_the_family_runs(tmp_path: Path, small_data: Path) -> None:
    path = Path(__file__).parents[2] / "examples" / "policies.yaml"
    tiny = ["users=8", "days=2", "design=paired", "world.arrival_days=1", f"data={small_data}"]
    example = load_settings(path, tiny)
    kinds = {arm.policy["kind"] for arm in example.arms}
    # The others need no example: the defaults of these are in it, or they have one of their own.
    without = {"softmax", "epsilon_greedy", "mixture", "new_items", "vowpal_wabbit"}
    assert kinds >= set(POLICY_KINDS) - without - {"vowpal_wabbit_per_slot"}
    results = run_experiment(example, tmp_path / "run", workers=1)
    assert set(results["arms"]) == {arm.name for arm in example.arms}
    assert all(card["pages"] > 0 for card in results["arms"].values())
