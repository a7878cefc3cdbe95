"""The tabular world, whose optimum is known exactly, as a gymnasium environment."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from matinee_policies.config import check_whole
from matinee_policies.errors import ConfigError, ContextError
from matinee_simulator.tabular.equations import NOTHING, SATISFIED
from matinee_simulator.tabular.model import TabularModel
from matinee_simulator.tabular.parameters import TabularParameters
from matinee_simulator.tabular.states import ACTIONS, GONE, START, STATES
from matinee_simulator.tabular.step import advance, step_tables, tabular_streams

_LONGEST = 1_000_000_000
_MOST_USERS = 2**62


class TabularEnv(gymnasium.Env[np.int64, np.int64]):
    """One user of the tabular world: 448 states, 6 actions, a click is worth 1.

    A step shows one item. In the world, a click W days from now is worth gamma^W, and no time
    passes within a session; no constant discount per step says that. So by default a user who comes
    back after W days is let go with probability 1 - gamma^W instead: then the expected plain sum of
    rewards of an episode is exactly the value that `value_iteration` finds, and the discount of an
    agent should be 1 or close to it.

    Observation: the number of the state, `Discrete(448)`; `matinee_simulator.tabular.states`
    takes it apart. In the state of a user who is gone the last state is shown again.

    Args:
        parameters: of the world.
        seed: of the luck; a user number means the same luck in every environment with this seed.
        discount_ends: whether absence ends episodes as said above. If not, they end when users are
            gone for good, and `info["days"]` says how long they were away.
        most_steps: steps after which an episode is truncated.

    Raises:
        ConfigError: a setting is out of its range.
    """

    def __init__(
        self,
        *,
        parameters: TabularParameters | None = None,
        seed: int = 0,
        discount_ends: bool = True,
        most_steps: int = 100_000,
    ) -> None:
        check_whole("seed", seed, low=0)
        check_whole("most_steps", most_steps, low=2, high=_LONGEST)
        if not isinstance(discount_ends, bool):
            raise ConfigError(f"discount_ends must be true or false, got {discount_ends!r}")
        self.metadata = {"render_modes": []}
        self.model = TabularModel.from_parameters(parameters)
        self.observation_space = spaces.Discrete(STATES)
        self.action_space = spaces.Discrete(ACTIONS)
        self._tables = step_tables(self.model)
        self._streams = tabular_streams(seed)
        self._discount_ends = discount_ends
        self._most_steps = most_steps
        self._user = np.uint64(0)
        self._state = GONE
        self._steps = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.int64, dict[str, Any]]:
        """Begin with a new user.

        Args:
            seed: of the sequence of users from now on.
            options: `{"state": number}` names the first state, that of a new user by default.

        Raises:
            ContextError: an option is unknown or out of range.
        """
        super().reset(seed=seed)
        self._state = _first_state(options)
        self._user = np.uint64(self.np_random.integers(_MOST_USERS))
        self._steps = 0
        return np.int64(self._state), {"user": int(self._user)}

    def step(self, action: np.int64) -> tuple[np.int64, float, bool, bool, dict[str, Any]]:
        """Show an item.

        Raises:
            ContextError: there is no such action.
            ResetNeeded: the episode is over, or has not begun.
        """
        if self._state == GONE:
            raise gymnasium.error.ResetNeeded("reset must be called before step")
        if not self.action_space.contains(action):
            raise ContextError(f"action must be within 0 and {ACTIONS - 1}, got {action!r}")
        moment, shown = np.uint64(self._steps), int(action)
        outcome, days, after = advance(
            self._tables, self._streams, self._user, moment, self._state, shown
        )
        self._steps += 1
        terminated = after == GONE or self._let_go(days)
        following = self._state if after == GONE else after
        truncated = not terminated and self._steps >= self._most_steps
        self._state = GONE if terminated or truncated else after
        info = {"days": int(days), "satisfied": outcome == SATISFIED}
        return np.int64(following), float(outcome != NOTHING), terminated, truncated, info

    def _let_go(self, days: int) -> bool:
        """Whether the user who was away for `days` days is let go in place of a discount."""
        if days == 0 or not self._discount_ends:
            return False
        return bool(self.np_random.random() >= self._tables.worth[days])


def _first_state(options: dict[str, Any] | None) -> int:
    given = dict(options or {})
    state = given.pop("state", START)
    if given:
        raise ContextError(f"options has no {next(iter(given))!r}; it has state")
    if isinstance(state, bool) or not isinstance(state, int | np.integer):
        raise ContextError(f"options['state'] must be a whole number, got {state!r}")
    if not 0 <= state < STATES:
        raise ContextError(f"options['state'] must be within 0 and {STATES - 1}, got {state}")
    return int(state)
