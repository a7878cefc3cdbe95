"""Rewards that a policy cannot learn are refused before a run, by the setting that makes them."""

from typing import Any

import numpy as np
import pytest

from matinee_platform.join import engagement_rewards
from matinee_platform.reward_range import check_rewards, engagement_range
from matinee_platform.settings import RewardSettings
from matinee_policies.errors import ConfigError
from matinee_policies.policy import Policy
from matinee_policies.registry import build_policy
from matinee_policies.uniform import Uniform, UniformConfig


class Logistic(Uniform):
    """Stands for the kind whose rewards must be fractions."""

    name = "logistic"


def _rewards(**engagement: float) -> RewardSettings:
    return RewardSettings.model_validate({"engagement": engagement})


def _corral(**config: Any) -> Policy:
    return build_policy("corral", config, dimension=3)


@pytest.mark.parametrize(
    "engagement",
    [
        {},
        {"click": -0.3},
        {"click": -0.3, "watch": 0.1},
        {"click": 0.4, "watch": 0.6, "weight": 0.5},
        {"click": -1.0, "watch": 0.0},
        {"weight": 0.0, "click": 0.5, "watch": 0.5},
    ],
)
def test_the_range_is_that_of_the_rewards(engagement: dict[str, float]) -> None:
    rewards = _rewards(**engagement)
    watch = np.linspace(0, 1, 11, dtype=np.float32)[None]
    clicked = engagement_rewards(np.ones((1, 11), dtype=np.bool_), watch, rewards.engagement)
    reached = np.append(clicked, 0.0)
    assert engagement_range(rewards) == pytest.approx((reached.min(), reached.max()))


def test_a_logistic_policy_refuses_a_click_that_costs() -> None:
    policy = Logistic(UniformConfig())
    check_rewards(policy, _rewards(click=0.2, watch=0.8), slots=5)
    with pytest.raises(
        ConfigError, match=r"within 0 and 1, but reward\.engagement makes it -0\.3 to 0\.7 .*-0\.3"
    ):
        check_rewards(policy, _rewards(click=-0.3), slots=5)


def test_a_band_refuses_rewards_beyond_its_range() -> None:
    with pytest.raises(ConfigError, match="corral needs engagement of a slot within 0 and 1"):
        check_rewards(_corral(), _rewards(click=-0.3), slots=5)
    check_rewards(_corral(reward_range=[-0.5, 1.0]), _rewards(click=-0.3), slots=5)
    # The sum over 5 slots may reach 5.
    with pytest.raises(ConfigError, match=r"within 0 and 0\.2"):
        check_rewards(_corral(reward="sum"), _rewards(), slots=5)
    check_rewards(_corral(reward="sum", reward_range=[0.0, 5.0]), _rewards(), slots=5)


def test_a_base_is_checked_too() -> None:
    mixture: Any = build_policy("mixture", {}, dimension=3)
    check_rewards(mixture, _rewards(click=-0.3), slots=5)
    mixture._bases = (Logistic(UniformConfig()),)
    with pytest.raises(ConfigError, match="logistic needs engagement"):
        check_rewards(mixture, _rewards(click=-0.3), slots=5)
