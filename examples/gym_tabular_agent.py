"""Train a small PPO agent on the tabular world, and compare it with the exact optimum.

Stable-Baselines3 is no dependency of the project; install it into an environment of its own:

    pip install torch==2.13.0 && pip install stable-baselines3 'matinee[gym]'
    python examples/gym_tabular_agent.py --steps 120000 --seeds 3

The agent sees clicks alone. What it learned is read out as one action per state and evaluated
exactly, so the share of the optimum has no sampling error of its own, only a spread over seeds.
"""

import argparse
import statistics
import sys
import time

import gymnasium
import numpy as np

try:
    from stable_baselines3 import PPO
    from stable_baselines3.common.vec_env import DummyVecEnv
except ModuleNotFoundError:
    sys.exit(
        "This example needs Stable-Baselines3: "
        "pip install torch==2.13.0 && pip install stable-baselines3"
    )

from matinee_policies.arrays import AnyArray, FloatArray
from matinee_simulator.gym_env import TabularEnv
from matinee_simulator.tabular import (
    STATES,
    TabularModel,
    share_of_optimum,
    shares_of_optimum,
    value_iteration,
)
from matinee_simulator.tabular.states import goodwill_of, satiation_of

TABLE = np.column_stack(
    [satiation_of(np.arange(STATES)) / 3, goodwill_of(np.arange(STATES)) / 6]
).astype(np.float32)
"""Each state as the levels of its stocks, within 0 and 1: three of satiation, one of goodwill."""


def make_env() -> gymnasium.Env[AnyArray, np.int64]:
    """The tabular world, observed through the levels of its stocks."""
    space = gymnasium.spaces.Box(0.0, 1.0, TABLE.shape[1:])
    return gymnasium.wrappers.TransformObservation(TabularEnv(), lambda state: TABLE[state], space)


def learned_law(seed: int, steps: int) -> FloatArray:
    """Train an agent; its greedy law over actions in every state, `float64 [S, A]`."""
    agent = PPO(
        "MlpPolicy",
        DummyVecEnv([make_env] * 16),
        gamma=0.995,
        learning_rate=lambda left: 1e-3 * left,
        n_steps=256,
        batch_size=512,
        n_epochs=8,
        ent_coef=0.01,
        policy_kwargs={"net_arch": [64, 64]},
        seed=seed,
        device="cpu",
    )
    agent.learn(total_timesteps=steps)
    actions, _ = agent.predict(TABLE, deterministic=True)
    law = np.zeros((STATES, 6))
    law[np.arange(STATES), actions] = 1.0
    return law


def main() -> None:
    """Train with several seeds and print shares of the optimum."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    arguments.add_argument("--steps", type=int, default=120_000, help="items shown in training")
    arguments.add_argument("--seeds", type=int, default=3, help="agents trained")
    given = arguments.parse_args()
    model = TabularModel.from_parameters()
    solution = value_iteration(model)
    for name, share in shares_of_optimum(model, solution).items():
        print(f"{share:.3f} {name}")
    shares = []
    for seed in range(given.seeds):
        start = time.perf_counter()
        shares.append(share_of_optimum(model, learned_law(seed, given.steps), solution))
        seconds = time.perf_counter() - start
        print(f"{shares[-1]:.3f} PPO, seed {seed}, {seconds:.0f} s", flush=True)
    spread = statistics.stdev(shares) if len(shares) > 1 else float("nan")
    print(f"{statistics.mean(shares):.3f} PPO, mean of {len(shares)} seeds, sd {spread:.3f}")


if __name__ == "__main__":
    main()
