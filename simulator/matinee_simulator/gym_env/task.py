"""What an agent is asked to do: sizes of a page, length of an episode, and the reward."""

import dataclasses

from matinee_policies.config import Config, check_range, check_whole
from matinee_policies.errors import ConfigError

LONGEST = 3_650
"""Largest number of days of an episode."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SlateTask(Config):
    """The task of `SlateEnv` and `SlateVectorEnv`.

    The reward of a step is

        click_reward * clicks + watch_reward * sum of watched fractions + return_reward * 1[return]

    of its page; 1[return] says that the step ended with the user's next visit, at most
    `return_days` days after the last one.

    Raises:
        ConfigError: on a value outside its range, naming it.

    Example:
        >>> SlateTask(slots=10, candidates=5)
        Traceback (most recent call last):
        matinee_policies.errors.ConfigError: slots must be <= candidates = 5, got 10
    """

    days: int = 28
    """Days of an episode, from the user's first visit; then it is truncated."""
    candidates: int = 50
    """K: items that the agent chooses from at each page."""
    slots: int = 10
    """L: items shown on a page."""
    click_reward: float = 1.0
    """Worth of a click."""
    watch_reward: float = 0.0
    """Worth of an item that was watched to its end."""
    return_reward: float = 0.0
    """Worth of a return visit."""
    return_days: int = 7
    """Days within which a return visit counts."""
    skip_days_away: bool = True
    """Whether a step that ends a session goes on to the next visit. Else each day without a visit
    is a step of its own, whose action shows nothing."""

    def __post_init__(self) -> None:
        check_whole("days", self.days, low=1, high=LONGEST)
        check_whole("candidates", self.candidates, low=1, high=10_000)
        check_whole("slots", self.slots, low=1)
        if self.slots > self.candidates:
            raise ConfigError(
                f"slots must be <= candidates = {self.candidates}, got {self.slots!r}"
            )
        for name in ("click_reward", "watch_reward", "return_reward"):
            check_range(name, getattr(self, name))
        check_whole("return_days", self.return_days, low=1, high=LONGEST)
        if not isinstance(self.skip_days_away, bool):
            raise ConfigError(f"skip_days_away must be true or false, got {self.skip_days_away!r}")
