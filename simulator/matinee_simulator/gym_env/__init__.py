"""The simulated worlds as gymnasium environments, for agents from any library.

    import gymnasium
    import matinee_simulator.gym_env

    env = gymnasium.make("matinee/Slate-v0")
    users = gymnasium.make_vec("matinee/Slate-v0", num_envs=1_000)
    small = gymnasium.make("matinee/Tabular-v0")

Importing this package registers the environments; nothing else of the project needs gymnasium.
"""

try:
    import gymnasium
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "matinee_simulator.gym_env needs gymnasium: pip install 'matinee[gym]'", name="gymnasium"
    ) from error

from matinee_simulator.gym_env.scene import Scene, synthetic_scene
from matinee_simulator.gym_env.slate_env import SlateEnv
from matinee_simulator.gym_env.slate_vector_env import SlateVectorEnv
from matinee_simulator.gym_env.tabular_env import TabularEnv
from matinee_simulator.gym_env.task import SlateTask

__all__ = [
    "Scene",
    "SlateEnv",
    "SlateTask",
    "SlateVectorEnv",
    "TabularEnv",
    "synthetic_scene",
]

_HERE = "matinee_simulator.gym_env"

if "matinee/Slate-v0" not in gymnasium.registry:
    gymnasium.register(
        "matinee/Slate-v0",
        entry_point=f"{_HERE}.slate_env:SlateEnv",
        vector_entry_point=f"{_HERE}.slate_vector_env:SlateVectorEnv",
    )
    gymnasium.register("matinee/Tabular-v0", entry_point=f"{_HERE}.tabular_env:TabularEnv")
