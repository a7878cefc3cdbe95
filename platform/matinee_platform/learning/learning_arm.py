"""What learning and replay need of one arm: its bundle, its rewards, its windows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from matinee_platform.experiments.definition import Learning
from matinee_platform.learning.live_contexts import LiveContexts
from matinee_platform.lessons import Lesson, lessons
from matinee_platform.log_rows import COMPONENTS
from matinee_platform.reward_range import check_rewards
from matinee_platform.reward_settings import RewardSettings
from matinee_policies.errors import ConfigError
from matinee_policies.policy import Policy
from matinee_policies.registry import restore_policy
from matinee_policies.snapshot import Snapshot

_NEWEST_DAY = "newest_day"


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningArm:
    """One arm of a live experiment.

    Attributes:
        experiment: key.
        name: of the arm.
        policy: settings of the policy, its `kind` among them, as the bundle has them.
        genesis: the state that it starts from, version 0.
        contexts: what its policy sees.
        slots: items of a slate at most.
        rewards: components, weights and windows.
        windows_ms: window of each of `log_rows.COMPONENTS`.
        secret: 16 bytes that key its draws.
        learning: `online` and `apprentice` learn, `log_only` does not.
        simulated_start_ms: when the first day of its simulated users begins, UTC milliseconds; None
            for an arm whose time is the clock's.
    """

    experiment: str
    name: str
    policy: Mapping[str, Any]
    genesis: Snapshot
    contexts: LiveContexts
    slots: int
    rewards: RewardSettings
    windows_ms: tuple[int, ...]
    secret: bytes
    learning: Learning = "online"
    simulated_start_ms: int | None = None

    @property
    def label(self) -> str:
        """How messages and leases call it."""
        return f"{self.experiment}/{self.name}"

    def restored(self, snapshot: Snapshot) -> Policy:
        """The policy in one of its states.

        Raises:
            SnapshotError: if the state is of another policy.
        """
        return restore_policy(snapshot, kind=self.policy["kind"], config=self.policy)

    def learns(self, policy: Policy) -> bool:
        """Whether barriers change it."""
        return policy.learns and self.learning != "log_only"

    def check(self) -> None:
        """Refuse an arm that could not learn what its experiment gives it.

        Raises:
            ConfigError: naming the arm and the setting to change.
            SnapshotError: if the first state is of another policy.
        """
        policy = self.restored(self.genesis)
        if not self.learns(policy):
            return
        try:
            check_rewards(policy, self.rewards, slots=self.slots)
        except ConfigError as error:
            raise ConfigError(f"{self.label}: {error}") from None
        kinds = [policy.name, *(base.name for base in getattr(policy, "bases", ()))]
        if self.learning == "apprentice" and "corral" in kinds:
            raise ConfigError(
                f"{self.label}: corral judges the bases that drew slates, and an apprentice's "
                "slates are drawn by none: learning must be online or log_only"
            )


@dataclass(frozen=True, slots=True)
class LiveLesson:
    """A lesson with its window.

    Attributes:
        lesson: components that are learned together.
        window_ms: after which it is learned.
    """

    lesson: Lesson
    window_ms: int


def live_lessons(policy: Policy, arm: LearningArm) -> tuple[LiveLesson, ...]:
    """The lessons of every decision, the first one first.

    A lesson is learned when the last of its windows has closed, and none before the first lesson,
    which brings the features.
    """
    found: list[LiveLesson] = []
    for lesson in lessons(policy, arm.rewards):
        own = [arm.windows_ms[_code(name)] for name in lesson.names]
        first = [one.window_ms for one in found[:1]]
        found.append(LiveLesson(lesson, max(own + first)))
    return tuple(found)


def first_day(snapshot: Snapshot) -> int:
    """Number of the first day after those that a state has learned, 0 if it counts none.

    Example:
        >>> first_day(Snapshot("mixture", 1, {}, {"bases": [{"manifest": {"newest_day": 34}}]}))
        35
    """
    return _newest(dict(snapshot.manifest)) + 1


def _newest(value: Any) -> int:
    """The largest `newest_day` in a JSON document, -1 if there is none."""
    if isinstance(value, Mapping):
        own = value.get(_NEWEST_DAY)
        here = own if type(own) is int else -1
        return max([here, *(_newest(one) for one in value.values())])
    if isinstance(value, list):
        return max([-1, *(_newest(one) for one in value)])
    return -1


def _code(name: str) -> int:
    """Component whose window a part of a lesson has; watch has that of clicks."""
    return COMPONENTS.index("click" if name == "engagement" else name)
