"""Many simulated users side by side, as a gymnasium vector environment."""

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from matinee_policies.arrays import AnyArray, BoolArray, FloatArray, IndexArray
from matinee_policies.errors import ContextError
from matinee_simulator.gym_env.scene import Scene, synthetic_scene
from matinee_simulator.gym_env.slate_env import draw_user
from matinee_simulator.gym_env.stage import Stage, Step, named_users
from matinee_simulator.gym_env.task import SlateTask
from matinee_simulator.parameters import Parameters


class SlateVectorEnv(VectorEnv[dict[str, AnyArray], AnyArray, AnyArray]):
    """`num_envs` users at once, each as in a `SlateEnv` of its own, computed as one batch.

    With seed s, place i does what `SlateEnv` does with seed s + i, to the last bit. Autoreset is
    `NEXT_STEP`: the step after the last one of an episode ignores the action of that place and
    returns the first observation of its next user, with reward 0.

    Args:
        num_envs: number of users, n.
        scene: as `SlateEnv`.
        task: as `SlateEnv`.
        parameters: as `SlateEnv`.
        seed: as `SlateEnv`.

    Raises:
        ConfigError: task and scene do not fit together, or `num_envs` is below 1.
    """

    def __init__(
        self,
        num_envs: int = 1,
        *,
        scene: Scene | None = None,
        task: SlateTask | None = None,
        parameters: Parameters | None = None,
        seed: int = 0,
    ) -> None:
        self._stage = Stage(
            scene or synthetic_scene(),
            num_envs,
            task=task or SlateTask(),
            parameters=parameters or Parameters(),
            seed=seed,
        )
        self.metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}
        self.num_envs = num_envs
        self.single_observation_space = self._stage.observation_space
        self.single_action_space = self._stage.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._generators: list[np.random.Generator] = []
        self._over: BoolArray = np.zeros(num_envs, dtype=np.bool_)

    def reset(
        self,
        *,
        seed: int | Sequence[int] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[dict[str, AnyArray], dict[str, Any]]:
        """Begin with new users in all places.

        Args:
            seed: of place 0, place i has `seed + i`; or one seed for each place.
            options: `{"user": numbers}` names the users, n of them.

        Raises:
            ContextError: there are not n seeds, or an option is unknown or out of range.
        """
        users = named_users(options, self.num_envs)
        self._seed(seed)
        everyone = np.arange(self.num_envs, dtype=np.int32)
        self._over[:] = False
        if users is None:
            self._enter(everyone)
        else:
            self._stage.enter(everyone, users)
        return self._stage.observe(), _with_masks(self._stage.facts(), ~self._over)

    def step(
        self, actions: AnyArray
    ) -> tuple[dict[str, AnyArray], FloatArray, BoolArray, BoolArray, dict[str, Any]]:
        """Show a slate to every user, and bring new users to places whose episode was over.

        Args:
            actions: scores, `[n, K]`.

        Raises:
            ContextError: the actions have another shape, or hold NaN.
            ResetNeeded: there was no reset yet.
        """
        if not self._generators:
            raise gymnasium.error.ResetNeeded("reset must be called before step")
        given = np.asarray(actions)
        if given.shape != self.action_space.shape:
            raise ContextError(
                f"actions must have shape {self.action_space.shape}, got {given.shape}"
            )
        going_on = ~self._over
        places = np.flatnonzero(going_on).astype(np.int32)
        step = self._stage.step(places, given[places])
        self._enter(np.flatnonzero(self._over).astype(np.int32))
        rewards = np.zeros(self.num_envs)
        terminated = np.zeros(self.num_envs, dtype=np.bool_)
        truncated = np.zeros(self.num_envs, dtype=np.bool_)
        rewards[places] = step.rewards
        terminated[places] = step.terminated
        truncated[places] = step.truncated
        self._over = terminated | truncated
        return self._stage.observe(), rewards, terminated, truncated, self._info(step, going_on)

    def _info(self, step: Step, going_on: BoolArray) -> dict[str, Any]:
        info = _with_masks(self._stage.facts(), np.ones(self.num_envs, dtype=np.bool_))
        if going_on.any():
            for name, rows in step.info.items():
                info[name] = np.zeros((self.num_envs, *rows.shape[1:]), dtype=rows.dtype)
                info[name][going_on] = rows
                info[f"_{name}"] = going_on.copy()
        return info

    def _enter(self, places: IndexArray) -> None:
        """Bring the next users to some places, each from the sequence of its own seed."""
        if places.size:
            users = [draw_user(self._generators[place]) for place in places]
            self._stage.enter(places, np.concatenate(users))

    def _seed(self, seed: int | Sequence[int] | None) -> None:
        if seed is None and self._generators:
            return
        if seed is None or isinstance(seed, int | np.integer):
            super().reset(seed=None if seed is None else int(seed))
            first = self.np_random_seed if seed is None else int(seed)
            seeds = [int(first or 0) + place for place in range(self.num_envs)]
        else:
            seeds = list(seed)
        if len(seeds) != self.num_envs:
            raise ContextError(f"seed must hold {self.num_envs} seeds, got {len(seeds)}")
        self._generators = [gymnasium.utils.seeding.np_random(one)[0] for one in seeds]


def _with_masks(rows: dict[str, Any], mask: BoolArray) -> dict[str, Any]:
    """Each entry with the mask that gymnasium wants beside it, at every level."""
    out: dict[str, Any] = {}
    for name, value in rows.items():
        out[name] = _with_masks(value, mask) if isinstance(value, dict) else value
        out[f"_{name}"] = mask.copy()
    return out
