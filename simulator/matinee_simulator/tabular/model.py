"""The tabular world as a Markov decision process: rewards and transitions of all states.

Decisions are taken when an item is shown; the time to the next one is 0 days within a session and W
days across sessions, so transitions carry their discount (a semi-Markov process, Puterman 1994,
"Markov decision processes", chapter 11).
"""

from dataclasses import dataclass

import numpy as np

from matinee_policies.arrays import FloatArray
from matinee_simulator.tabular.equations import (
    DISAPPOINTED,
    NOTHING,
    OUTCOMES,
    SATISFIED,
    Laws,
    laws,
)
from matinee_simulator.tabular.parameters import TabularParameters
from matinee_simulator.tabular.states import (
    ACTIONS,
    GOODWILL_LEVELS,
    SATIATION_LEVELS,
    STATES,
    TOPICS,
)

_PLACES = SATIATION_LEVELS**TOPICS


@dataclass(frozen=True, slots=True, eq=False)
class TabularModel:
    """A small world whose optimum is known.

    Arrays are read-only. `S` = 448 states, `A` = 6 actions, numbered as in `states`.

    Attributes:
        parameters: of the equations.
        laws: probabilities of what happens in a step.
        rewards: expected clicks of a step, `float64 [S, A]`.
        transitions: probability of the state of the next step, `float64 [S, A, S]`.
        discounted: the same, each weighed with gamma^W, `float64 [S, A, S]`.
        gone: probability that there is no next step, `float64 [S, A]`.

    Example:
        >>> model = TabularModel.from_parameters(TabularParameters())
        >>> model.transitions.shape
        (448, 6, 448)
        >>> bool(np.allclose(model.transitions.sum(axis=2) + model.gone, 1.0))
        True
    """

    parameters: TabularParameters
    laws: Laws
    rewards: FloatArray
    transitions: FloatArray
    discounted: FloatArray
    gone: FloatArray

    @classmethod
    def from_parameters(cls, parameters: TabularParameters | None = None) -> "TabularModel":
        """The process that the equations describe; default parameters if `None`."""
        parameters = parameters or TabularParameters()
        probabilities = laws(parameters)
        transitions = _transitions(probabilities, discount=1.0)
        arrays = {
            "rewards": by_state(probabilities.click),
            "transitions": transitions,
            "discounted": _transitions(probabilities, discount=parameters.discount),
            "gone": np.maximum(0.0, 1.0 - transitions.sum(axis=2)),
        }
        for array in (*arrays.values(), *probabilities):
            array.setflags(write=False)
        return cls(parameters=parameters, laws=probabilities, **arrays)

    @property
    def satisfaction(self) -> FloatArray:
        """Expected satisfaction of a step, P(click) E[y | click], `float64 [S, A]`."""
        return by_state(self.laws.click * (2.0 * self.laws.satisfied - 1.0))

    @property
    def ends(self) -> FloatArray:
        """Probability that a step is the last of its session, `float64 [S, A]`."""
        return np.asarray(outcome_law(self.laws) @ self.laws.leave)


def by_state(table: FloatArray) -> FloatArray:
    """A quantity of action and satiation `[A, 4]` as one of state and action `[S, A]`."""
    states = np.arange(STATES)[:, None]
    actions = np.arange(ACTIONS)
    weights = SATIATION_LEVELS ** np.arange(TOPICS - 1, -1, -1)
    levels = states // GOODWILL_LEVELS // weights[actions // 2] % SATIATION_LEVELS
    return table[actions, levels]


def outcome_law(probabilities: Laws) -> FloatArray:
    """Probability of each outcome of a step, `float64 [S, A, 3]`."""
    click, satisfied = by_state(probabilities.click), by_state(probabilities.satisfied)
    law = np.empty((STATES, ACTIONS, OUTCOMES))
    law[..., NOTHING] = 1.0 - click
    law[..., DISAPPOINTED] = click * (1.0 - satisfied)
    law[..., SATISFIED] = click * satisfied
    return law


def _transitions(probabilities: Laws, *, discount: float) -> FloatArray:
    """Weight of the state of the next step, `float64 [S, A, S]`."""
    returns = _returns(probabilities, discount=discount)
    outcomes = outcome_law(probabilities).reshape(_PLACES, GOODWILL_LEVELS, ACTIONS, OUTCOMES)
    out = np.zeros((_PLACES, GOODWILL_LEVELS, ACTIONS, _PLACES, GOODWILL_LEVELS))
    for action in range(ACTIONS):
        for outcome in range(OUTCOMES):
            tired = _tiring(probabilities, action=action, clicked=outcome != NOTHING)
            leave = probabilities.leave[outcome]
            for level in range(GOODWILL_LEVELS):
                places = tired @ ((1.0 - leave) * np.eye(_PLACES) + leave * returns[level])
                weight = outcomes[:, :, action, outcome] * probabilities.goodwill[outcome, :, level]
                out[:, :, action, :, level] += weight[:, :, None] * places[:, None, :]
    return out.reshape(STATES, ACTIONS, STATES)


def _returns(probabilities: Laws, *, discount: float) -> FloatArray:
    """Weight of satiation at the next visit after a session, `float64 [7, 64, 64]`."""
    days = np.arange(probabilities.away.shape[1])
    weights = (1.0 - probabilities.churn)[:, None] * probabilities.away * discount**days
    out = np.zeros((GOODWILL_LEVELS, _PLACES, _PLACES))
    for day in days[1:]:
        one = probabilities.recovery[day]
        # The topics recover independently, over the same days.
        out += weights[:, day, None, None] * np.kron(one, np.kron(one, one))
    return out


def _tiring(probabilities: Laws, *, action: int, clicked: bool) -> FloatArray:
    """Law of satiation after an item is shown, `float64 [64, 64]`."""
    law = np.eye(1)
    for topic in range(TOPICS):
        shown = topic == action // 2
        law = np.kron(
            law,
            probabilities.satiation[int(clicked)] if shown else np.eye(SATIATION_LEVELS),
        )
    return law
