"""A small world that is solved exactly: 3 topics, substance or clickbait, 448 states.

It tells the story of the large world: clickbait is clicked more and satisfies less, what is watched
tires, and goodwill decides who comes back. Its equations are in `equations`.

    >>> model = TabularModel.from_parameters()
    >>> solution = value_iteration(model)
    >>> round(float(solution.values[START]), 2)
    25.06
    >>> for name, share in shares_of_optimum(model, solution).items():
    ...     print(f"{share:.3f} {name}")
    1.000 optimum
    0.946 myopic satisfaction
    0.342 myopic clicks
    0.431 best fixed action
    0.433 uniform
"""

from matinee_simulator.tabular.lifetimes import Lifetimes, simulate_lifetimes
from matinee_simulator.tabular.model import TabularModel
from matinee_simulator.tabular.parameters import TabularParameters
from matinee_simulator.tabular.play import FEATURES, Play, PlayConfig, play_policy
from matinee_simulator.tabular.q_learning import Learned, QLearningConfig, q_learning
from matinee_simulator.tabular.reference_policies import (
    best_fixed_action,
    fixed_action,
    myopic_clicks,
    myopic_satisfaction,
    share_of_optimum,
    shares_of_optimum,
    uniform_law,
)
from matinee_simulator.tabular.solve import (
    Solution,
    greedy,
    occupancy,
    policy_evaluation,
    undiscounted_evaluation,
    value_iteration,
)
from matinee_simulator.tabular.states import (
    ACTIONS,
    GONE,
    START,
    STATES,
    action_name,
    action_number,
    state_number,
)

__all__ = [
    "ACTIONS",
    "FEATURES",
    "GONE",
    "START",
    "STATES",
    "Learned",
    "Lifetimes",
    "Play",
    "PlayConfig",
    "QLearningConfig",
    "Solution",
    "TabularModel",
    "TabularParameters",
    "action_name",
    "action_number",
    "best_fixed_action",
    "fixed_action",
    "greedy",
    "myopic_clicks",
    "myopic_satisfaction",
    "occupancy",
    "play_policy",
    "policy_evaluation",
    "q_learning",
    "share_of_optimum",
    "shares_of_optimum",
    "simulate_lifetimes",
    "state_number",
    "undiscounted_evaluation",
    "uniform_law",
    "value_iteration",
]
