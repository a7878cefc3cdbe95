"""Q-learning in the tabular world, from simulated users alone.

    Q(s, a) <- Q(s, a) + alpha_n (r + gamma^W max over a' of Q(s', a') - Q(s, a)),
    alpha_n = (1 + n(s, a))^(-power)

with gamma^W as the discount until the next item and 0 where there is none. What is learned is the
mean of Q over the second half of the steps. Sources: Watkins and Dayan 1992, "Q-learning"; Bradtke
and Duff 1995, "Reinforcement learning methods for continuous-time Markov decision problems", for
the discount; Even-Dar and Mansour 2003, "Learning rates for Q-learning", for polynomial steps; Li
et al. 2023, "A statistical analysis of Polyak-Ruppert averaged Q-learning", for the mean.

All users share one table. At each step they act one after the other, epsilon-greedily; a user who
is gone makes room for a new one.
"""

from dataclasses import dataclass

import numpy as np

from matinee_policies.arrays import FloatArray, Int64Array
from matinee_policies.compiled import kernel
from matinee_policies.config import Config, check_range, check_whole
from matinee_policies.errors import ConfigError
from matinee_simulator.tabular.equations import NOTHING
from matinee_simulator.tabular.model import TabularModel
from matinee_simulator.tabular.solve import greedy
from matinee_simulator.tabular.states import ACTIONS, GONE, START, STATES
from matinee_simulator.tabular.step import (
    StepTables,
    TabularStreams,
    advance,
    advance_reference,
    step_tables,
    tabular_streams,
    uniform_pair,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class QLearningConfig(Config):
    """How long and how to learn.

    Raises:
        ConfigError: on a value outside its range.
    """

    users: int = 500
    """Users at a time."""
    steps: int = 8_000
    """Items shown to each of them."""
    epsilon: float = 0.3
    """Probability of a random action at the first step, in [0, 1]."""
    last_epsilon: float = 0.1
    """The same at the last step, in [0, `epsilon`]; it falls by equal amounts in between."""
    power: float = 0.6
    """Of the step size, in (1/2, 1]."""
    initial_value: float = 15.0
    """Q before anything was tried, in clicks; a guess of the right size saves many steps."""

    def __post_init__(self) -> None:
        check_whole("users", self.users, low=1)
        check_whole("steps", self.steps, low=1)
        check_range("epsilon", self.epsilon, low=0.0, high=1.0)
        check_range("last_epsilon", self.last_epsilon, low=0.0, high=1.0)
        check_range("initial_value", self.initial_value)
        check_range("power", self.power, low=0.5, low_open=True, high=1.0)
        if self.last_epsilon > self.epsilon:
            raise ConfigError(
                f"last_epsilon must be <= epsilon = {self.epsilon:g}, got {self.last_epsilon!r}"
            )

    def schedule(self) -> FloatArray:
        """Epsilon of each step, `float64 [steps]`.

        Example:
            >>> QLearningConfig(steps=3, epsilon=1.0, last_epsilon=0.5).schedule()
            array([1.  , 0.75, 0.5 ])
        """
        return np.linspace(self.epsilon, self.last_epsilon, self.steps)


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """What was learned.

    Attributes:
        q: estimate of Q*, `float64 [S, A]`; the initial value where nothing was tried.
        visits: times an action was taken in a state, `int64 [S, A]`.
    """

    q: FloatArray
    visits: Int64Array

    @property
    def law(self) -> FloatArray:
        """The greedy law, `float64 [S, A]`."""
        return greedy(self.q)


def q_learning(model: TabularModel, *, seed: int, config: QLearningConfig | None = None) -> Learned:
    """Learn Q from the clicks of simulated users.

    Args:
        model: the world; only its simulated users are looked at.
        seed: of everything random.
        config: defaults if `None`.
    """
    config = config or QLearningConfig()
    q = np.full((STATES, ACTIONS), float(config.initial_value))
    visits = np.zeros((STATES, ACTIONS), dtype=np.int64)
    average = np.zeros((STATES, ACTIONS))
    tables, streams = step_tables(model), tabular_streams(seed)
    _learn(
        tables, streams, config.schedule(), config.users, float(config.power), q, average, visits
    )
    return Learned(average, visits)


def q_learning_reference(model: TabularModel, *, seed: int, config: QLearningConfig) -> Learned:
    """Plain twin of `q_learning`."""
    streams = tabular_streams(seed)
    q = np.full((STATES, ACTIONS), float(config.initial_value))
    visits = np.zeros((STATES, ACTIONS), dtype=np.int64)
    late = []
    states = [START] * config.users
    for step, epsilon in enumerate(config.schedule().tolist()):
        for user, state in enumerate(states):
            number, moment = np.uint64(user), np.uint64(step)
            action = int(np.argmax(q[state]))
            explore, which = uniform_pair(streams.action, number, moment)
            if explore < epsilon:
                action = int(which * ACTIONS)
            outcome, days, after = advance_reference(
                model, streams, user=user, step=step, state=state, action=action
            )
            to_come = 0.0 if after == GONE else model.parameters.discount**days * q[after].max()
            visits[state, action] += 1
            rate = (1.0 + visits[state, action]) ** -config.power
            q[state, action] += rate * ((outcome != NOTHING) + to_come - q[state, action])
            states[user] = START if after == GONE else after
        if step >= config.steps // 2:
            late.append(q.copy())
    return Learned(np.mean(late, axis=0), visits)


@kernel
def _learn(
    tables: StepTables,
    streams: TabularStreams,
    schedule: FloatArray,
    users: int,
    power: float,
    q: FloatArray,
    average: FloatArray,
    visits: Int64Array,
) -> None:
    first = schedule.shape[0] // 2
    states = np.full(users, START, np.int32)
    for step in range(schedule.shape[0]):
        moment = np.uint64(step)
        for user in range(users):
            number, state = np.uint64(user), int(states[user])
            action = _best_action(q, state)
            explore, which = uniform_pair(streams.action, number, moment)
            if explore < schedule[step]:
                action = int(which * ACTIONS)
            outcome, days, after = advance(tables, streams, number, moment, state, action)
            target = 0.0 if outcome == NOTHING else 1.0
            if after != GONE:
                target += tables.worth[days] * q[after, _best_action(q, after)]
            visits[state, action] += 1
            rate = (1.0 + visits[state, action]) ** -power
            q[state, action] += rate * (target - q[state, action])
            states[user] = START if after == GONE else after
        if step >= first:
            weight = 1.0 / (step - first + 1)
            for state in range(STATES):
                for action in range(ACTIONS):
                    average[state, action] += weight * (q[state, action] - average[state, action])


@kernel
def _best_action(q: FloatArray, state: int) -> int:
    best = 0
    for action in range(1, ACTIONS):
        if q[state, action] > q[state, best]:
            best = action
    return best
