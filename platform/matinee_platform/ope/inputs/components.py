"""Which reward of a page is counted: the value that learning counts, or one component of it.

What a unit does on later days is no reward of a page. Another policy would have led it to other
pages, so a log of pages cannot tell, and asking for it is refused.
"""

from typing import Literal, TypeAlias, get_args

from matinee_platform.ope.interval import RewardRange
from matinee_platform.reward_range import engagement_range
from matinee_platform.reward_settings import EngagementSettings, RewardSettings
from matinee_policies.errors import ConfigError

Component: TypeAlias = Literal["value", "engagement", "click", "watch", "rating", "return_visit"]

COMPONENTS: tuple[str, ...] = get_args(Component)

RETENTION = (
    "of retention a log of pages cannot tell: another policy would have led units to other states, "
    "so who comes back is measured by an experiment (matinee analyze)"
)


def counted(rewards: RewardSettings, component: str) -> RewardSettings:
    """Settings under which a slot earns the component alone, with weight 1.

    Args:
        rewards: of the log's experiment.
        component: one of `COMPONENTS`; `value` is what learning counts, all with their weights.

    Raises:
        ConfigError: on any other word; of retention with the reason.

    Example:
        >>> clicks = counted(RewardSettings(), "click")
        >>> slot_range(clicks)
        RewardRange(low=0.0, high=1.0)
    """
    check_component(component)
    if component == "value":
        return rewards
    shares = {"click": (1.0, 0.0), "watch": (0.0, 1.0)}
    engagement = rewards.engagement
    if component in shares:
        click, watch = shares[component]
        engagement = EngagementSettings(weight=1.0, click=click, watch=watch)
    on = {name: float(component == name) for name in ("rating", "return_visit")}
    own = float(component in ("engagement", *shares))
    return rewards.model_copy(
        update={
            "engagement": engagement.model_copy(update={"weight": own}),
            "rating": rewards.rating.model_copy(update={"weight": on["rating"]}),
            "return_visit": rewards.return_visit.model_copy(update={"weight": on["return_visit"]}),
        }
    )


def check_component(component: str) -> None:
    """Refuse what is no component of a page's reward.

    Raises:
        ConfigError: naming those there are, and for anything else why.
    """
    if component not in COMPONENTS:
        known = ", ".join(COMPONENTS)
        raise ConfigError(f"component must be one of {known}, got {component!r}; {RETENTION}")


def slot_range(rewards: RewardSettings) -> RewardRange:
    """What a slot can earn.

    Raises:
        ConfigError: if nothing has a weight.
    """
    low, high = engagement_range(rewards)
    low -= rewards.rating.weight
    high += rewards.rating.weight + rewards.return_visit.weight
    if not low < high:
        raise ConfigError("a reward must have a component with a weight above 0, got none")
    return RewardRange(low, high)


def notes_of(rewards: RewardSettings) -> tuple[str, ...]:
    """What to say beside a value that counts return visits."""
    if rewards.return_visit.weight == 0.0:
        return ()
    return (
        "the value counts return visits after each page while all other pages stay as logged: no "
        "claim on retention",
    )
