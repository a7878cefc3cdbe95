"""Policies to compare with: what they show, and what share of the optimum they reach.

A policy is a law, the probability of each action in each state, `float64 [S, A]`.
"""

import numpy as np

from matinee_policies.arrays import FloatArray
from matinee_simulator.tabular.model import TabularModel
from matinee_simulator.tabular.solve import (
    Solution,
    deterministic,
    greedy,
    policy_evaluation,
)
from matinee_simulator.tabular.states import ACTIONS, START, STATES


def myopic_clicks(model: TabularModel) -> FloatArray:
    """The law that shows what is clicked most now."""
    return greedy(model.rewards)


def myopic_satisfaction(model: TabularModel) -> FloatArray:
    """The law that shows what satisfies most now, P(click) E[y | click]."""
    return greedy(model.satisfaction)


def fixed_action(action: int) -> FloatArray:
    """The law that always shows the same."""
    return deterministic(np.full(STATES, action, dtype=np.int32))


def uniform_law() -> FloatArray:
    """The law that shows anything with the same probability."""
    return np.full((STATES, ACTIONS), 1.0 / ACTIONS)


def best_fixed_action(model: TabularModel) -> int:
    """The action whose constant repetition is worth most to a new user."""
    values = [policy_evaluation(model, fixed_action(action))[START] for action in range(ACTIONS)]
    return int(np.argmax(values))


def share_of_optimum(model: TabularModel, law: FloatArray, solution: Solution) -> float:
    """V^pi / V* of a new user."""
    return float(policy_evaluation(model, law)[START] / solution.values[START])


def shares_of_optimum(model: TabularModel, solution: Solution) -> dict[str, float]:
    """Share of the optimum that each policy of this module reaches, by name."""
    laws = {
        "optimum": greedy(solution.q),
        "myopic satisfaction": myopic_satisfaction(model),
        "myopic clicks": myopic_clicks(model),
        "best fixed action": fixed_action(best_fixed_action(model)),
        "uniform": uniform_law(),
    }
    return {name: share_of_optimum(model, law, solution) for name, law in laws.items()}
