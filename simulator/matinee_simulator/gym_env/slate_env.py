"""One simulated user at a time, as a gymnasium environment."""

from typing import Any

import gymnasium
import numpy as np

from matinee_policies.arrays import AnyArray, Int64Array
from matinee_simulator.gym_env.scene import Scene, synthetic_scene
from matinee_simulator.gym_env.stage import MOST_USERS, Stage, named_users
from matinee_simulator.gym_env.task import SlateTask
from matinee_simulator.parameters import Parameters

_HERE = np.zeros(1, dtype=np.int32)


class SlateEnv(gymnasium.Env[dict[str, AnyArray], AnyArray]):
    """A user of the semi-real world who is shown page after page.

    An episode is one user from the first visit on; each reset takes a new one. A step is a page. If
    the user leaves the session with it, the days away pass in the same step (`info["days"]`), or
    one day per step (`SlateTask.skip_days_away`). The episode is truncated after `SlateTask.days`
    days, and terminates if the user is gone for good.

    Action: a score for each of the K candidates, `Box [K]`. The L best, in the order of their
    scores, are the slate; ties go to the better candidate score. So every action is a valid slate
    of distinct items. Scores of padded candidates are ignored.

    Observation: `candidates [K, d]`, the columns of `matinee_policies.features.FEATURES`; `genres
    [K, G]` of the candidates; `mask [K]`, 0 where padded; `interests [G]`, what the user watched
    lately; `session`, see `stage.SESSION`. All of it is known to a service. What is not, is in
    `info["oracle"]`.

    Args:
        scene: the data; drawn ones if `None`.
        task: sizes, days and reward.
        parameters: of the users.
        seed: of who the users are and of their luck, apart from which of them come, which `reset`
            draws from its own seed.

    Raises:
        ConfigError: task and scene do not fit together.
    """

    def __init__(
        self,
        *,
        scene: Scene | None = None,
        task: SlateTask | None = None,
        parameters: Parameters | None = None,
        seed: int = 0,
    ) -> None:
        self.metadata = {"render_modes": []}
        self._stage = Stage(
            scene or synthetic_scene(),
            1,
            task=task or SlateTask(),
            parameters=parameters or Parameters(),
            seed=seed,
        )
        self.observation_space = self._stage.observation_space
        self.action_space = self._stage.action_space
        self._going_on = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, AnyArray], dict[str, Any]]:
        """Begin with a new user.

        Args:
            seed: of the sequence of users from now on.
            options: `{"user": number}` names the user.

        Raises:
            ContextError: an option is unknown or out of range.
        """
        super().reset(seed=seed)
        users = named_users(options, 1)
        self._stage.enter(_HERE, draw_user(self.np_random) if users is None else users)
        self._going_on = True
        return self._observed(), _only(self._stage.facts())

    def step(
        self, action: AnyArray
    ) -> tuple[dict[str, AnyArray], float, bool, bool, dict[str, Any]]:
        """Show the slate that the scores name.

        Raises:
            ContextError: the action has another shape, or holds NaN.
            ResetNeeded: the episode is over, or has not begun.
        """
        if not self._going_on:
            raise gymnasium.error.ResetNeeded("reset must be called before step")
        step = self._stage.step(_HERE, np.asarray(action)[None])
        terminated, truncated = bool(step.terminated[0]), bool(step.truncated[0])
        self._going_on = not (terminated or truncated)
        info = _only(self._stage.facts()) | _only(step.info)
        return self._observed(), float(step.rewards[0]), terminated, truncated, info

    def _observed(self) -> dict[str, AnyArray]:
        return {name: rows[0] for name, rows in self._stage.observe().items()}


def draw_user(generator: np.random.Generator) -> Int64Array:
    """A user number, `int64 [1]`."""
    return generator.integers(MOST_USERS, size=1)


def _only(rows: dict[str, Any]) -> dict[str, Any]:
    """The facts about one user, from rows of one."""
    return {
        name: _only(value) if isinstance(value, dict) else _plain(value[0])
        for name, value in rows.items()
    }


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
