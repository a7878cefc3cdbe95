"""Run the tabular scenario: solve its world, let policies live in it, learn it from scratch."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np

from matinee_platform.json_file import write_json
from matinee_policies.arrays import FloatArray
from matinee_policies.errors import ConfigError
from matinee_simulator.scenarios import Figure, Scenario, Verdict, score
from matinee_simulator.tabular import (
    START,
    QLearningConfig,
    Solution,
    TabularModel,
    TabularParameters,
    best_fixed_action,
    fixed_action,
    greedy,
    myopic_clicks,
    myopic_satisfaction,
    policy_evaluation,
    q_learning,
    simulate_lifetimes,
    uniform_law,
    value_iteration,
)

LEARNED = "q-learning"
"""Name of what Q-learning learned, beside those of the reference policies."""

SEEDS = 5
"""Seeds of Q-learning, for a standard error."""


@dataclass(frozen=True, slots=True)
class LawValue:
    """What one policy is worth to a new user, in discounted clicks of a lifetime.

    Attributes:
        name: of the policy.
        value: exact, by solving its equations; for Q-learning the mean over its seeds.
        share: of V*.
        share_error: standard error of the share over seeds; 0 where it is exact.
        simulated: mean over simulated lifetimes, NaN for Q-learning.
        simulated_error: its standard error over users.
    """

    name: str
    value: float
    share: float
    share_error: float
    simulated: float
    simulated_error: float


@dataclass(frozen=True, slots=True)
class TabularResults:
    """What a run of the tabular scenario found.

    Attributes:
        optimum: V* of a new user.
        users: simulated lifetimes per policy.
        seeds: of Q-learning.
        policies: the optimum first.
        verdicts: on the scenario's expectations.
    """

    optimum: float
    users: int
    seeds: int
    policies: tuple[LawValue, ...]
    verdicts: tuple[Verdict, ...]

    def to_json(self) -> dict[str, Any]:
        """JSON values without the verdicts; numbers that do not exist are null."""
        return {
            "optimum": self.optimum,
            "users": self.users,
            "seeds": self.seeds,
            "policies": [
                {key: None if value != value else value for key, value in asdict(law).items()}
                for law in self.policies
            ],
        }


def run_tabular(
    scenario: Scenario,
    *,
    users: int,
    seed: int,
    seeds: int = SEEDS,
    steps: int | None = None,
    announce: Callable[[str], None] = lambda line: None,
) -> TabularResults:
    """Solve the world and play it.

    Args:
        scenario: of regime T0.
        users: simulated lifetimes per policy, at least 2.
        seed: of the lifetimes; Q-learning takes this one and those after it.
        seeds: of Q-learning, at least 2.
        steps: items that Q-learning shows each of its users; None for its default.
        announce: told what is being done.

    Raises:
        ConfigError: on too few users or seeds.
    """
    if users < 2 or seeds < 2:
        raise ConfigError(f"users and seeds must be at least 2, got {users} and {seeds}")
    model = TabularModel.from_parameters(TabularParameters.from_json(scenario.world))
    announce("Solving 448 states by value iteration")
    solution = value_iteration(model)
    laws = {
        "optimum": greedy(solution.q),
        "myopic satisfaction": myopic_satisfaction(model),
        "myopic clicks": myopic_clicks(model),
        "best fixed action": fixed_action(best_fixed_action(model)),
        "uniform": uniform_law(),
    }
    announce(f"{users:,} lifetimes under each of {len(laws)} policies")
    found = [
        _law_value(name, law, model, solution, users=users, seed=seed) for name, law in laws.items()
    ]
    announce(f"Q-learning with {seeds} seeds")
    found.append(_learned(model, solution, seed=seed, seeds=seeds, steps=steps))
    figures = {law.name: {"share_of_optimum": _figure(law, solution)} for law in found}
    return TabularResults(
        optimum=float(solution.values[START]),
        users=users,
        seeds=seeds,
        policies=tuple(found),
        verdicts=score(scenario, figures, control="optimum"),
    )


def write_tabular(values: Mapping[str, Any], out: Path) -> Path:
    """Write JSON values to `tabular.json` in a folder, which is made if need be; gives the path.

    Raises:
        ConfigError: if there is a file where the folder should be.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out must name a folder, {out} is a file")
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "tabular.json", dict(values))
    return out / "tabular.json"


def _law_value(
    name: str, law: FloatArray, model: TabularModel, solution: Solution, *, users: int, seed: int
) -> LawValue:
    value = float(policy_evaluation(model, law)[START])
    lives = simulate_lifetimes(model, law, np.arange(users), seed=seed)
    share = value / float(solution.values[START])
    return LawValue(name, value, share, 0.0, lives.value, lives.standard_error)


def _learned(
    model: TabularModel, solution: Solution, *, seed: int, seeds: int, steps: int | None
) -> LawValue:
    config = QLearningConfig() if steps is None else QLearningConfig(steps=steps)
    values = [
        float(policy_evaluation(model, q_learning(model, seed=one, config=config).law)[START])
        for one in range(seed, seed + seeds)
    ]
    shares = [value / float(solution.values[START]) for value in values]
    error = stdev(shares) / math.sqrt(seeds)
    return LawValue(LEARNED, fmean(values), fmean(shares), error, math.nan, math.nan)


def _figure(law: LawValue, solution: Solution) -> Figure:
    """The share of the optimum: as simulated, for the optimum; as computed, for the others."""
    if law.name != "optimum":
        return Figure(law.share, law.share_error)
    optimum = float(solution.values[START])
    return Figure(law.simulated / optimum, law.simulated_error / optimum)
