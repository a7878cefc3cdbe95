"""When a policy learns which components of a page's reward."""

from dataclasses import dataclass

from matinee_platform.reward_settings import RewardSettings
from matinee_policies.policy import Policy

ENGAGEMENT = "engagement"

_LEARN_ONCE = ("logistic", "vowpal_wabbit", "vowpal_wabbit_per_slot")


@dataclass(frozen=True, slots=True)
class Lesson:
    """Components that are learned together.

    Attributes:
        names: of the components; their weighted sum is the reward.
        window_days: days after the page at whose end they are learned.
        first: whether they are the first of the page to be learned, and bring its features.
    """

    names: tuple[str, ...]
    window_days: int
    first: bool

    @property
    def component(self) -> str:
        """What the outcomes are called."""
        return "+".join(self.names)


def can_correct(policy: Policy) -> bool:
    """Whether a policy can add a later component to rows that it has learned already.

    A class of the user's own that cannot says so by an attribute `corrects` that is False.

    Example:
        >>> from matinee_policies import build_policy
        >>> kinds = ("lin_ucb", "logistic", "vowpal_wabbit", "vowpal_wabbit_per_slot")
        >>> [can_correct(build_policy(kind, {}, dimension=3)) for kind in kinds]
        [True, False, False, False]
    """
    bases = getattr(policy, "bases", ())
    own = policy.name not in _LEARN_ONCE and bool(getattr(policy, "corrects", True))
    return own and all(can_correct(base) for base in bases if base.learns)


def lessons(policy: Policy, rewards: RewardSettings) -> tuple[Lesson, ...]:
    """The lessons of every page, the first one first.

    A policy that can correct learns engagement at once and each later component when its window
    has closed. One that cannot waits for the components within `learn_window_days` and learns their
    sum; it is handed the others too, as later ones, which it counts and does not learn.

    Example:
        >>> from matinee_policies import build_policy
        >>> from matinee_platform.reward_settings import ReturnVisitSettings
        >>> rewards = RewardSettings(return_visit=ReturnVisitSettings(weight=0.1))
        >>> policy = build_policy("lin_ucb", {}, dimension=3)
        >>> [(one.component, one.window_days) for one in lessons(policy, rewards)]
        [('engagement', 0), ('return_visit', 7)]
    """
    later = rewards.later_windows()
    together: tuple[str, ...] = ()
    if not can_correct(policy):
        together = tuple(name for name, days in later.items() if days <= rewards.learn_window_days)
    wait = max([0, *(later[name] for name in together)])
    alone = [name for name in later if name not in together]
    return (
        Lesson((ENGAGEMENT, *together), wait, first=True),
        *(Lesson((name,), later[name], first=False) for name in alone),
    )
