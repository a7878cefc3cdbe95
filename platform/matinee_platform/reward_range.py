"""Refuse an arm whose policy cannot learn the rewards that the settings make."""

from matinee_platform.lessons import lessons
from matinee_platform.reward_settings import RewardSettings
from matinee_policies.errors import ConfigError
from matinee_policies.policy import Policy
from matinee_policies.weighted_outcomes import takes_weights

_TOLERANCE = 1e-9


def engagement_range(rewards: RewardSettings) -> tuple[float, float]:
    """Least and largest engagement of a slot, in value units.

    Example:
        >>> from matinee_platform.settings import EngagementSettings
        >>> engagement_range(RewardSettings(engagement=EngagementSettings(click=-0.25)))
        (-0.25, 0.75)
    """
    engagement = rewards.engagement
    low = min(0.0, engagement.click)
    high = max(0.0, engagement.click + engagement.watch)
    return engagement.weight * low, engagement.weight * high


def first_range(policy: Policy, rewards: RewardSettings) -> tuple[float, float]:
    """Least and largest of the first reward of a slot that a policy learns, in value units.

    It is engagement, and for a policy that learns components together, their sum.
    """
    low, high = engagement_range(rewards)
    together = lessons(policy, rewards)[0].names
    if "rating" in together:
        low, high = low - rewards.rating.weight, high + rewards.rating.weight
    if "return_visit" in together:
        high += rewards.return_visit.weight
    return low, high


def check_rewards(policy: Policy, rewards: RewardSettings, *, slots: int) -> None:
    """Check the rewards of a slot against what a policy, and each of its bases, can learn.

    Args:
        policy: of an arm.
        rewards: components and weights.
        slots: items per slate.

    Raises:
        ConfigError: naming the range, and the setting to change.
    """
    _check_position_bias(policy, rewards, slots=slots)
    low, high = first_range(policy, rewards)
    for one in (policy, *getattr(policy, "bases", ())):
        wanted = _wanted(one, slots=slots)
        if wanted is not None and not (
            wanted[0] - _TOLERANCE <= low and high <= wanted[1] + _TOLERANCE
        ):
            raise ConfigError(
                f"{one.name} needs engagement of a slot within {wanted[0]:g} and {wanted[1]:g}, "
                f"but reward.engagement makes it {low:g} to {high:g} "
                f"(weight {rewards.engagement.weight:g}, click {rewards.engagement.click:g}, "
                f"watch {rewards.engagement.watch:g}; learned: "
                f"{lessons(policy, rewards)[0].component})"
            )


def _check_position_bias(policy: Policy, rewards: RewardSettings, *, slots: int) -> None:
    bias = rewards.engagement.position_bias
    if isinstance(bias, list) and len(bias) < slots:
        raise ConfigError(
            f"reward.engagement.position_bias must say how often each of {slots} slots is "
            f"examined, got {len(bias)}"
        )
    if bias != "none" and not takes_weights(policy):
        raise ConfigError(
            f"{policy.name} takes no weights, so that reward.engagement.position_bias must be "
            f"none, got {bias!r}"
        )


def _wanted(policy: Policy, *, slots: int) -> tuple[float, float] | None:
    """The range of a slot's reward that a policy can learn; None if it takes any."""
    if policy.name == "logistic":
        return 0.0, 1.0
    found: tuple[float, float] | None = getattr(policy.config, "reward_range", None)
    if found is None:
        return None
    # Of a whole slate, which is the mean of its slots, or their sum.
    share = slots if getattr(policy.config, "reward", "mean") == "sum" else 1
    return found[0] / share, found[1] / share
