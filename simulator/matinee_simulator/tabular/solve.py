"""Exact values of the tabular world: of the best policy, and of any policy.

Sources: Puterman 1994, "Markov decision processes", sections 6.3 (value iteration) and 6.1.1
(evaluation); Kakade and Langford 2002, "Approximately optimal approximate reinforcement learning",
lemma 6.1 (performance difference).
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from matinee_policies.arrays import AnyArray, FloatArray, IndexArray
from matinee_policies.config import check_range, check_whole
from matinee_policies.errors import ConfigError, ContextError
from matinee_simulator.tabular.model import TabularModel
from matinee_simulator.tabular.states import ACTIONS, START, STATES

_LAW_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """The optimum, as far as it was iterated.

    Attributes:
        values: V*, discounted clicks still to come under the best policy, `float64 [S]`.
        q: Q*, the same if the step takes action a, `float64 [S, A]`; its maximum is `values`.
        sweeps: applications of the Bellman operator.
        residual: largest change of a value in the last sweep, max |T V - V|.
        contraction: beta, the largest discounted probability of a next step.
        error: bound on max |values - V*|, beta / (1 - beta) times the residual.
    """

    values: FloatArray
    q: FloatArray
    sweeps: int
    residual: float
    contraction: float
    error: float

    @property
    def regrets(self) -> FloatArray:
        """V*(s) - Q*(s, a): clicks that a choice gives up, >= 0, `float64 [S, A]`."""
        return self.values[:, None] - self.q


def value_iteration(
    model: TabularModel, *, tolerance: float = 1e-10, most_sweeps: int = 100_000
) -> Solution:
    """V* and Q* by value iteration.

    Args:
        model: the world.
        tolerance: residual at which to stop, in clicks, above 0.
        most_sweeps: gives up after so many.

    Raises:
        ConfigError: if discounting and churn do not make the operator a contraction, or the
            tolerance is not reached.
    """
    check_range("tolerance", tolerance, low=0.0, low_open=True)
    check_whole("most_sweeps", most_sweeps, low=1)
    contraction = contraction_of(model)
    steps = csr_array(model.discounted.reshape(STATES * ACTIONS, STATES))
    values = np.zeros(STATES)
    for sweep in range(1, most_sweeps + 1):
        q = model.rewards + (steps @ values).reshape(STATES, ACTIONS)
        improved = q.max(axis=1)
        residual = float(np.abs(improved - values).max())
        values = improved
        if residual <= tolerance:
            error = residual * contraction / (1.0 - contraction)
            return Solution(values, q, sweep, residual, contraction, error)
    raise ConfigError(
        f"most_sweeps must let the residual fall to {tolerance:g}, "
        f"got {residual:g} after {most_sweeps} sweeps"
    )


def contraction_of(model: TabularModel) -> float:
    """The largest discounted probability of a next step, the modulus of the Bellman operator.

    Raises:
        ConfigError: if it is not below 1.
    """
    contraction = float(model.discounted.sum(axis=2).max())
    if contraction >= 1.0 - 1e-12:
        raise ConfigError(
            f"parameters must leave every step a chance to end or a discount: "
            f"the discounted probability of a next step must be < 1, got {contraction!r}"
        )
    return contraction


def policy_evaluation(
    model: TabularModel, law: FloatArray, *, rewards: FloatArray | None = None
) -> FloatArray:
    """Expected discounted sum of rewards under a policy, from each state, `float64 [S]`.

    Solves V = r_pi + P_pi V.

    Args:
        model: the world.
        law: probability of each action in each state, `float64 [S, A]`.
        rewards: of each step, `float64 [S, A]`; clicks if `None`.

    Raises:
        ContextError: if `law` is no law over actions.
    """
    check_law(law)
    earned = np.sum(law * (model.rewards if rewards is None else rewards), axis=1)
    return np.linalg.solve(np.eye(STATES) - _chain(model.discounted, law), earned)


def undiscounted_evaluation(
    model: TabularModel, law: FloatArray, *, rewards: FloatArray | None = None
) -> FloatArray:
    """Expected plain sum of rewards over a lifetime; arguments as `policy_evaluation`."""
    check_law(law)
    earned = np.sum(law * (model.rewards if rewards is None else rewards), axis=1)
    return np.linalg.solve(np.eye(STATES) - _chain(model.transitions, law), earned)


def action_values(model: TabularModel, values: FloatArray) -> FloatArray:
    """Q(s, a) = r(s, a) + sum over s' of P(s' | s, a) V(s'), `float64 [S, A]`."""
    return np.asarray(model.rewards + model.discounted @ values)


def occupancy(model: TabularModel, law: FloatArray, *, start: int = START) -> FloatArray:
    """Discounted expected number of steps in each state under a policy, `float64 [S]`.

    Args:
        model: the world.
        law: probability of each action in each state, `float64 [S, A]`.
        start: state of the first step.

    Raises:
        ContextError: if `law` is no law over actions, or `start` no state.
    """
    check_law(law)
    check_states(start)
    first = np.zeros(STATES)
    first[start] = 1.0
    return np.asarray(
        np.linalg.solve((np.eye(STATES) - _chain(model.discounted, law)).T, first), dtype=np.float64
    )


def greedy(q: FloatArray) -> FloatArray:
    """Law that takes the first best action of each state, `float64 [S, A]`, from `[S, A]`."""
    return deterministic(np.argmax(q, axis=1).astype(np.int32))


def deterministic(actions: IndexArray) -> FloatArray:
    """Law that takes one given action in each state, `float64 [S, A]`, from `int32 [S]`."""
    return np.asarray(np.eye(ACTIONS)[actions])


def check_law(law: AnyArray) -> None:
    """Refuse what is no probability of each action in each state.

    Raises:
        ContextError: with the value and the rule.
    """
    if law.shape != (STATES, ACTIONS):
        raise ContextError(f"law must have shape {(STATES, ACTIONS)}, got {law.shape}")
    bad = ~(law >= 0.0)
    if bad.any():
        raise ContextError(f"law must be at least 0, got {law[bad][0]}")
    total = law.sum(axis=1)
    wrong = np.abs(total - 1.0) > _LAW_TOLERANCE
    if wrong.any():
        state = int(np.argmax(wrong))
        raise ContextError(f"law must sum to 1 in each state, got {total[state]:g} in {state}")


def check_states(states: AnyArray | int) -> None:
    """Refuse numbers that are no states.

    Raises:
        ContextError: with the value and the rule.
    """
    numbers = np.atleast_1d(states)
    bad = (numbers < 0) | (numbers >= STATES)
    if bad.any():
        raise ContextError(f"states must be within 0 and {STATES - 1}, got {numbers[bad][0]}")


def _chain(transitions: FloatArray, law: FloatArray) -> FloatArray:
    """Transitions of the chain that a policy makes of the process, `float64 [S, S]`."""
    return np.asarray(np.einsum("sa,sat->st", law, transitions))
