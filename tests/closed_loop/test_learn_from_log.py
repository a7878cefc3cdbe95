"""Train policies on the log of another arm."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pytest

from matinee_platform.decision_log import read_parts
from matinee_platform.learn_from_log import learn_from_log
from matinee_platform.log_rows import COMPONENTS
from matinee_platform.log_schema import column_values
from matinee_platform.logged_rewards import read_day_rewards
from matinee_platform.reward_settings import (
    EngagementSettings,
    RatingSettings,
    ReturnVisitSettings,
    RewardSettings,
)
from matinee_policies.errors import ConfigError, DataError
from matinee_policies.features import FEATURE_NAMES
from matinee_policies.policy import Policy
from matinee_policies.registry import build_policy
from matinee_policies.snapshot import Snapshot

AT_ONCE = RewardSettings()
EVERYTHING = RewardSettings(
    rating=RatingSettings(weight=0.2, window_days=4),
    return_visit=ReturnVisitSettings(weight=0.1, window_days=3),
)


def _fresh(kind: str = "lin_ucb", **settings: object) -> Policy:
    return build_policy(kind, settings, dimension=len(FEATURE_NAMES))


def _arrays(policy: Policy) -> dict[str, list[float]]:
    return {name: array.tolist() for name, array in policy.snapshot().arrays.items()}


def test_plain_learning_repeats_what_the_arm_itself_learned_from_its_pages(tiny_run: Path) -> None:
    policy = _fresh()
    learned = learn_from_log(policy, tiny_run, "lin_ucb", estimator="plain", rewards=AT_ONCE)
    last = sorted((tiny_run / "snapshots" / "lin_ucb").glob("*.npz"))[-1]
    own = Snapshot.load(last).arrays
    found = policy.snapshot().arrays
    np.testing.assert_array_equal(found["gram"], own["gram"])
    np.testing.assert_array_equal(found["moments"][0], own["moments"][0])
    assert learned.pending == 0
    assert learned.impressions == policy.snapshot().manifest["rows"]


def test_what_has_not_closed_is_left_out_and_counted(tiny_run: Path) -> None:
    learned = learn_from_log(_fresh(), tiny_run, "mf_explored", estimator="plain")
    by_day = [
        sum(t.num_rows for t in read_parts(tiny_run, "decisions", "mf_explored", day=day))
        for day in range(10)
    ]
    assert learned.decisions == sum(by_day[:7])
    assert learned.pending == sum(by_day[7:])


def test_rewards_of_a_day_are_those_of_a_loop_over_its_events(tiny_run: Path) -> None:
    day, rewards = 2, EVERYTHING
    theta = np.array([1.0, 0.8, 0.6, 0.5, 0.25])
    seen = {"rating": 0, "return_visit": 0, "watch": 0}
    for arm in ("popularity", "mf_order", "mf_explored", "epsilon_greedy", "lin_ucb"):
        joined = read_day_rewards(tiny_run, arm, day=day, slots=5, rewards=rewards)
        wanted = {int(i): np.zeros(5) for i in joined.ids}
        for later in range(day, 10):
            for table in read_parts(tiny_run, "rewards", arm, day=later):
                for decision, component, slot, value in _events(table):
                    name, after = COMPONENTS[component], later - day
                    if decision not in wanted:
                        continue
                    if name == "watch":
                        wanted[decision][slot] += value / theta[slot]
                    elif name == "rating" and after <= 4:
                        wanted[decision][slot] += 0.2 * (value - 3.0) / 2.0 / theta[slot]
                    elif name == "return_visit" and after <= 3:
                        wanted[decision] += 0.1
                    else:
                        continue
                    seen[name] += 1
        total = joined.total(joined.ids, rewards, examined=theta)
        for row, decision in enumerate(joined.ids.tolist()):
            np.testing.assert_allclose(total[row], wanted[decision], rtol=1e-6)
    assert min(seen.values()) > 0


def _events(table: pa.Table) -> Iterator[tuple[int, int, int, float]]:
    events = column_values(table)
    names = ("decision_id", "component", "slot", "value")
    yield from zip(*(events[name].tolist() for name in names), strict=True)


def test_position_bias_is_corrected_by_the_curve_that_is_given_or_estimated(
    explored_run: Path,
) -> None:
    found: dict[str, Policy] = {}
    curve = [1.0, 0.8, 0.6, 0.5]
    bias: dict[str, Literal["none", "estimated"] | list[float]] = {
        "none": "none",
        "flat": [1.0] * 4,
        "given": curve,
        "estimated": "estimated",
    }
    for name, one in bias.items():
        rewards = RewardSettings(engagement=EngagementSettings(position_bias=one))
        found[name] = _fresh()
        learn_from_log(found[name], explored_run, "soft", estimator="plain", rewards=rewards)
    theta = {name: policy.snapshot().arrays["theta"] for name, policy in found.items()}
    np.testing.assert_array_equal(theta["flat"], theta["none"])
    # All slots are filled, so that A of the bias shrinks by the mean of the curve.
    bias_entry = {
        name: policy.snapshot().arrays["gram"][:, 0, 0].sum() for name, policy in found.items()
    }
    assert bias_entry["given"] == pytest.approx(bias_entry["none"] * np.mean(curve), rel=1e-6)
    assert 0.3 < bias_entry["estimated"] / bias_entry["none"] < 0.9
    assert not np.array_equal(theta["given"], theta["none"])
    slow = RewardSettings(engagement=EngagementSettings(position_bias=[1.0, 0.5]))
    with pytest.raises(ConfigError, match="each of 4 slots is examined, got 2"):
        learn_from_log(_fresh(), explored_run, "soft", rewards=slow)


def test_a_policy_that_cannot_correct_learns_what_is_within_its_window(tiny_run: Path) -> None:
    rewards = {days: EVERYTHING.model_copy(update={"learn_window_days": days}) for days in (0, 4)}
    pending = {}
    for days, one in rewards.items():
        policy = _fresh("vowpal_wabbit", propensity_weighted=False)
        learned = learn_from_log(policy, tiny_run, "mf_explored", estimator="plain", rewards=one)
        pending[days] = learned.pending
    assert pending[0] == 0 < pending[4]


def test_an_explored_log_teaches_by_every_estimator(explored_run: Path) -> None:
    thetas = {}
    for estimator in ("plain", "mtr", "ips", "dr"):
        policy = _fresh("epsilon_greedy", l2=10.0)
        learned = learn_from_log(policy, explored_run, "soft", estimator=estimator)
        thetas[estimator] = policy.snapshot().arrays["theta"]
        assert learned.estimator == estimator
        assert learned.effective >= 10 * len(FEATURE_NAMES)
        assert abs(learned.mean_weight - 1.0) < 0.1
        assert learned.clipped_share < 0.01
    assert all(np.isfinite(theta).all() and theta.any() for theta in thetas.values())
    assert not np.array_equal(thetas["plain"], thetas["mtr"])
    assert not np.array_equal(thetas["ips"], thetas["dr"])


def test_a_log_without_exploration_is_refused_and_changes_nothing(tiny_run: Path) -> None:
    policy = _fresh()
    before = _arrays(policy)
    for estimator in ("ips", "dr"):
        with pytest.raises(DataError, match=r"must keep 50% of the weight .* could reach"):
            learn_from_log(policy, tiny_run, "mf_order", estimator=estimator)
    assert _arrays(policy) == before
    assert learn_from_log(policy, tiny_run, "mf_order", estimator="mtr").mean_weight < 0.1


def test_a_thin_log_is_refused(tiny_run: Path) -> None:
    with pytest.raises(DataError, match=r"effective sample of 110 impressions .* got '\d+ of"):
        learn_from_log(_fresh(), tiny_run, "mf_explored", estimator="mtr", clip=1e6)


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("lin_ucb", {"estimator": "snips"}, "estimator must be one of plain, mtr, ips, dr"),
        ("lin_ucb", {"arm": "nobody"}, "arm must be one of popularity, .* got 'nobody'"),
        ("lin_ucb", {"clip": 0.0}, "clip must be > 0"),
        ("logistic", {"estimator": "mtr"}, "logistic takes no weights: estimator must be plain"),
        ("vowpal_wabbit", {"estimator": "dr"}, "vowpal_wabbit takes no weights"),
        ("uniform", {}, "policy must learn, uniform does not"),
        ("square_cb", {"estimator": "dr"}, "square_cb explores by the number of impressions"),
    ],
)
def test_what_cannot_be_is_refused(
    tiny_run: Path, kind: str, changes: dict[str, str], message: str
) -> None:
    options = {"arm": "mf_explored", "estimator": "plain", **changes}
    with pytest.raises(ConfigError, match=message):
        learn_from_log(_fresh(kind), tiny_run, **options)  # type: ignore[arg-type]


def test_logistic_and_vowpal_wabbit_learn_from_logs_in_their_own_ways(explored_run: Path) -> None:
    for kind, estimator in (("logistic", "plain"), ("vowpal_wabbit", "mtr")):
        policy = _fresh(kind)
        learned = learn_from_log(policy, explored_run, "soft", estimator=estimator)
        assert policy.snapshot().manifest["rows"] == learned.impressions


def test_a_log_whose_windows_have_not_closed_is_refused(tiny_run: Path) -> None:
    slow = RewardSettings(rating=RatingSettings(weight=0.1, window_days=20))
    with pytest.raises(DataError, match="window of 20 days has closed by day 9"):
        learn_from_log(_fresh(), tiny_run, "mf_explored", rewards=slow)


def test_visits_later_than_the_log_has_them_are_not_taken_for_none(tiny_run: Path) -> None:
    longer = RewardSettings(return_visit=ReturnVisitSettings(weight=0.1, window_days=4))
    with pytest.raises(ConfigError, match=r"must be at most the 3 days within which .* got 4"):
        learn_from_log(_fresh(), tiny_run, "mf_explored", rewards=longer)
