"""Learning that knows, or finds out, how often each slot is examined."""

from pathlib import Path

import numpy as np
import pytest

from matinee_platform.engine import Decisions
from matinee_platform.examination_tally import ExaminationTally
from matinee_platform.learner import ArmLearner
from matinee_platform.page_files import PageFiles
from matinee_platform.reward_range import check_rewards
from matinee_platform.settings import (
    EngagementSettings,
    ReturnVisitSettings,
    RewardSettings,
    parse_settings,
)
from matinee_policies.arrays import BoolArray, FloatArray
from matinee_policies.errors import ConfigError, ContextError
from matinee_policies.policy import Policy
from matinee_policies.registry import build_policy
from matinee_policies.testing_data import example_contexts, example_keys

L, K, D = 4, 8, 3
CURVE = np.array([1.0, 0.7, 0.45, 0.3])
THETA = np.array([0.1, 0.5, 0.2])
LISTED = EngagementSettings(position_bias=CURVE.tolist())
ESTIMATED = EngagementSettings(position_bias="estimated")


def _pages(seed: int, n: int, *, sharp: float = 2.0) -> tuple[Decisions, Policy, BoolArray]:
    """Slates by score, which the features tell too: what is liked stands further up."""
    contexts = example_contexts(seed, decisions=n, candidates=K, dimension=D)
    features = np.empty((n, K, D), dtype=np.float32)
    features[:, :, 0] = 1.0
    features[:, :, 1] = contexts.scores
    features[:, :, 2] = np.random.default_rng(seed).random((n, K))
    policy = build_policy("softmax", {"temperature": 1.0 / sharp}, dimension=D)
    slates = policy.decide(contexts, slots=L, keys=example_keys(n))
    shown = np.take_along_axis(features, slates.positions[:, :, None], axis=1)
    ids = np.arange(n, dtype=np.uint64) * np.uint64(2_654_435_761) + np.uint64(seed)
    clicks: BoolArray = np.random.default_rng([seed, 1]).random((n, L)) < CURVE * (shown @ THETA)
    return Decisions(ids, contexts, slates, 0, 0, shown), policy, clicks


def _learned(
    folder: Path, engagement: EngagementSettings, decisions: Decisions, clicks: BoolArray
) -> tuple[FloatArray, ArmLearner]:
    policy = build_policy("lin_ucb", {"l2": 1.0}, dimension=D)
    rewards = RewardSettings(engagement=engagement)
    learner = ArmLearner(policy, rewards, pages=PageFiles(folder))
    shards = np.zeros(len(clicks), dtype=np.uint8)
    learner.observe_page(decisions, clicks.astype(np.float64), shards, clicks=clicks)
    assert learner.close_day(0)
    return policy.snapshot().arrays["theta"], learner


def test_learning_with_the_known_curve_finds_the_coefficients_and_without_does_not(
    tmp_path: Path,
) -> None:
    decisions, _, clicks = _pages(1, 30_000)
    # Standard deviations of the estimate by the residuals of a click, at most .5.
    x = decisions.shown.reshape(-1, D).astype(np.float64)
    w = np.tile(CURVE, len(clicks))
    inverse = np.linalg.inv((x * w[:, None]).T @ x)
    error = 0.5 * np.sqrt(inverse.diagonal())
    corrected, _ = _learned(tmp_path / "known", LISTED, decisions, clicks)
    assert (np.abs(corrected - THETA) < 4 * error).all()
    plain, _ = _learned(tmp_path / "plain", EngagementSettings(), decisions, clicks)
    assert (np.abs(plain - THETA) > 8 * error).any()


def test_the_correction_is_clicks_per_expected_examination(tmp_path: Path) -> None:
    """A = l2 I + sum theta x x' and b = sum x r, by numpy."""
    decisions, _, clicks = _pages(2, 300)
    found, _ = _learned(tmp_path, LISTED, decisions, clicks)
    x = decisions.shown.reshape(-1, D).astype(np.float64)
    A = np.eye(D) + (x * np.tile(CURVE, 300)[:, None]).T @ x
    np.testing.assert_allclose(
        found, np.linalg.solve(A, x.T @ clicks.reshape(-1).astype(np.float64)), rtol=1e-5
    )


def test_a_return_visit_belongs_to_the_page_and_is_not_enlarged(tmp_path: Path) -> None:
    decisions, _, clicks = _pages(3, 200)
    policy = build_policy("lin_ucb", {"l2": 1.0}, dimension=D)
    rewards = RewardSettings(
        engagement=LISTED, return_visit=ReturnVisitSettings(weight=0.5, window_days=1)
    )
    learner = ArmLearner(policy, rewards, pages=PageFiles(tmp_path))
    nothing = np.zeros((200, L))
    shards = np.zeros(200, dtype=np.uint8)
    learner.observe_page(decisions, nothing, shards, clicks=clicks)
    learner.close_day(0)
    learner.observe_returns(0, decisions.ids[:90])
    learner.close_day(1)
    x = decisions.shown.reshape(-1, D).astype(np.float64)
    w = np.tile(CURVE, 200)
    reward = np.repeat(np.arange(200) < 90, L) * 0.5
    wanted = np.linalg.solve(np.eye(D) + (x * w[:, None]).T @ x, x.T @ (w * reward))
    np.testing.assert_allclose(policy.snapshot().arrays["theta"], wanted, rtol=1e-5)


def test_an_arm_finds_the_curve_in_its_own_exploration() -> None:
    decisions, policy, clicks = _pages(4, 15_000)
    tally = ExaminationTally()
    tally.add(policy, decisions, clicks)
    # Over 20 other worlds of this size the standard deviations were at most .0172.
    np.testing.assert_allclose(tally.curve(L), CURVE, atol=4 * 0.018)
    assert (np.diff(tally.curve(L)) <= 0.0).all()


def test_the_tally_does_not_depend_on_batches_and_survives_a_checkpoint() -> None:
    decisions, policy, clicks = _pages(5, 4_000)
    whole, parts = ExaminationTally(), ExaminationTally()
    whole.add(policy, decisions, clicks)
    for start in range(0, 4_000, 700):
        rows = np.arange(start, min(start + 700, 4_000))
        slates = type(decisions.slates)(
            decisions.slates.positions[rows],
            decisions.slates.items[rows],
            decisions.slates.propensities[rows],
        )
        part = Decisions(
            decisions.ids[rows], decisions.contexts.rows(rows), slates, 0, 0, decisions.shown[rows]
        )
        parts.add(policy, part, clicks[rows])
        restored = ExaminationTally()
        restored.restore(parts.arrays())
        parts = restored
    assert parts.arrays()["sums"].tobytes() == whole.arrays()["sums"].tobytes()


def test_without_exploration_the_curve_stays_flat() -> None:
    decisions, _, clicks = _pages(6, 400)
    greedy = build_policy("score_order", {"epsilon": 0.0}, dimension=D)
    tally = ExaminationTally()
    assert tally.curve(L).tolist() == [1.0] * L
    slates = greedy.decide(decisions.contexts, slots=L, keys=example_keys(400))
    tally.add(
        greedy, Decisions(decisions.ids, decisions.contexts, slates, 0, 0, decisions.shown), clicks
    )
    assert tally.curve(L).tolist() == [1.0] * L


def test_an_estimating_learner_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    decisions, _, clicks = _pages(7, 3_000)
    rewards = RewardSettings(
        engagement=ESTIMATED, return_visit=ReturnVisitSettings(weight=0.5, window_days=2)
    )
    thetas = []
    for name in ("whole", "cut"):
        policy = build_policy(
            "mixture",
            {"bases": [{"kind": "softmax", "weight": 0.9}, {"kind": "lin_ucb", "weight": 0.1}]},
            dimension=D,
        )
        learner = ArmLearner(policy, rewards, pages=PageFiles(tmp_path / name))
        shards = np.zeros(3_000, dtype=np.uint8)
        learner.observe_page(decisions, clicks.astype(np.float64), shards, clicks=clicks)
        learner.close_day(0)
        learner.observe_returns(0, decisions.ids[:500])
        if name == "cut":
            held = {key: array.copy() for key, array in learner.arrays().items()}
            learner = ArmLearner(policy, rewards, pages=PageFiles(tmp_path / name))
            learner.restore(held)
        assert not learner.close_day(1)
        assert learner.close_day(2)
        thetas.append(policy.snapshot().content_hash)
    assert thetas[0] == thetas[1]


def test_clicks_must_be_told_to_estimate(tmp_path: Path) -> None:
    decisions, _, _ = _pages(8, 10)
    policy = build_policy("lin_ucb", {}, dimension=D)
    learner = ArmLearner(policy, RewardSettings(engagement=ESTIMATED), pages=PageFiles(tmp_path))
    with pytest.raises(ContextError, match="clicks must be given"):
        learner.observe_page(decisions, np.zeros((10, L)), np.zeros(10, dtype=np.uint8))


def test_settings_that_cannot_be_are_refused() -> None:
    for kind in ("logistic", "corral"):
        with pytest.raises(ConfigError, match=f"{kind} takes no weights"):
            check_rewards(
                build_policy(kind, {}, dimension=D), RewardSettings(engagement=ESTIMATED), slots=L
            )
    policy = build_policy("lin_ucb", {}, dimension=D)
    check_rewards(policy, RewardSettings(engagement=LISTED), slots=L)
    with pytest.raises(ConfigError, match="each of 5 slots is examined, got 4"):
        check_rewards(policy, RewardSettings(engagement=LISTED), slots=5)
    arms = [{"name": "one", "policy": {"kind": "lin_ucb"}}]
    for bad in ("guessed", [1.0, 0.0], [1.0, 1.5], []):
        with pytest.raises(ConfigError, match=r"position_bias"):
            parse_settings({"arms": arms, "reward": {"engagement": {"position_bias": bad}}})
    good = parse_settings({"arms": arms, "reward": {"engagement": {"position_bias": [1, 0.8]}}})
    assert good.reward.engagement.position_bias == [1.0, 0.8]
