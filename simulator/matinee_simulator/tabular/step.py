"""One step of one simulated user of the tabular world, drawn event by event.

The draws follow the equations one after the other and never look at the transition tensor, so that
simulated users are a test of it. Each draw is a function of (seed, purpose, user, step) alone: a
user has the same luck in any batch and whatever is shown to the others.
"""

from typing import NamedTuple

import numpy as np

from matinee_policies.arrays import (
    FloatArray,
    IndexArray,
    Int8Array,
    UInt64Array,
)
from matinee_policies.compiled import kernel
from matinee_policies.philox import random_bits, stream_key
from matinee_simulator.tabular.equations import DISAPPOINTED, NOTHING, SATISFIED
from matinee_simulator.tabular.model import TabularModel
from matinee_simulator.tabular.states import (
    GONE,
    GOODWILL_LEVELS,
    SATIATION_LEVELS,
    goodwill_of,
    satiation_of,
    state_number,
)

_ALMOST_ONE = 1.0 - 1e-12
_FIRST, _SECOND = SATIATION_LEVELS**2, SATIATION_LEVELS
_SHIFT11 = np.uint64(11)
_TO_UNIT = 2.0**-53


class StepTables(NamedTuple):
    """The laws of a step as kernels draw from them, `float64`.

    Attributes:
        click: as `Laws.click`, `[A, 4]`.
        satisfied: as `Laws.satisfied`, `[A, 4]`.
        satiation: cumulated `Laws.satiation`, `[2, 4, 4]`.
        goodwill: cumulated `Laws.goodwill`, `[3, 7, 7]`.
        leave: as `Laws.leave`, `[3]`.
        churn: as `Laws.churn`, `[7]`.
        away: cumulated `Laws.away`, `[7, D + 1]`.
        recovery: cumulated `Laws.recovery`, `[D + 1, 4, 4]`.
        worth: gamma^W, `[D + 1]`.
    """

    click: FloatArray
    satisfied: FloatArray
    satiation: FloatArray
    goodwill: FloatArray
    leave: FloatArray
    churn: FloatArray
    away: FloatArray
    recovery: FloatArray
    worth: FloatArray


class TabularStreams(NamedTuple):
    """Keys of the random numbers of simulated users, `uint64` each."""

    action: np.uint64
    click: np.uint64
    levels: np.uint64
    leave: np.uint64
    away: np.uint64
    recovery: np.uint64


def tabular_streams(seed: int) -> TabularStreams:
    """The streams of one seed."""
    return TabularStreams(*(stream_key(seed, "tabular", name) for name in TabularStreams._fields))


def step_tables(model: TabularModel) -> StepTables:
    """What the kernels need of a model."""
    laws = model.laws
    return StepTables(
        click=laws.click.copy(),
        satisfied=laws.satisfied.copy(),
        satiation=cumulated(laws.satiation),
        goodwill=cumulated(laws.goodwill),
        leave=laws.leave.copy(),
        churn=laws.churn.copy(),
        away=cumulated(laws.away),
        recovery=cumulated(laws.recovery),
        worth=model.parameters.discount ** np.arange(laws.away.shape[1], dtype=np.float64),
    )


def cumulated(law: FloatArray) -> FloatArray:
    """Sums of probabilities up to each outcome, the last axis; sums within rounding of 1 are 1."""
    sums = np.cumsum(law, axis=-1)
    # Else a draw could fall into the gap and name an outcome of probability 0.
    sums[sums > _ALMOST_ONE] = 1.0
    return sums


@kernel
def uniform_pair(key: np.uint64, user: np.uint64, step: np.uint64) -> tuple[float, float]:
    """Two uniform numbers in [0, 1) of one counter."""
    first, second = random_bits(key, user, step)
    return float(first >> _SHIFT11) * _TO_UNIT, float(second >> _SHIFT11) * _TO_UNIT


@kernel
def drawn(cumulated_row: FloatArray, draw: float) -> int:
    """First outcome whose cumulated probability exceeds `draw`; the number of outcomes if none."""
    outcome = 0
    while outcome < cumulated_row.shape[0] and draw >= cumulated_row[outcome]:
        outcome += 1
    return outcome


@kernel
def advance(
    tables: StepTables,
    streams: TabularStreams,
    user: np.uint64,
    step: np.uint64,
    state: int,
    action: int,
) -> tuple[int, int, int]:
    """Show one item to one user.

    Args:
        tables: the laws.
        streams: of random numbers.
        user: number of the user, `uint64`.
        step: number of the step, `uint64`.
        state: before the step.
        action: what is shown.

    Returns:
        The outcome, the days until the next item (0 within a session, -1 if there is none), and the
        state in which it is shown, `GONE` if there is none.
    """
    place, goodwill = state // GOODWILL_LEVELS, state % GOODWILL_LEVELS
    topic = action // 2
    level = place // _FIRST if topic == 0 else place // _SECOND if topic == 1 else place
    level %= SATIATION_LEVELS

    outcome, clicked = NOTHING, 0
    click, satisfaction = uniform_pair(streams.click, user, step)
    if click < tables.click[action, level]:
        clicked = 1
        outcome = SATISFIED if satisfaction < tables.satisfied[action, level] else DISAPPOINTED
    tiring, moving = uniform_pair(streams.levels, user, step)
    rise = drawn(tables.satiation[clicked, level], tiring) - level
    place += rise * (_FIRST if topic == 0 else _SECOND if topic == 1 else 1)
    goodwill = drawn(tables.goodwill[outcome, goodwill], moving)

    leave, churn = uniform_pair(streams.leave, user, step)
    if leave >= tables.leave[outcome]:
        return outcome, 0, place * GOODWILL_LEVELS + goodwill
    if churn < tables.churn[goodwill]:
        return outcome, -1, GONE
    away, first = uniform_pair(streams.away, user, step)
    days = drawn(tables.away[goodwill], away)
    if days == tables.away.shape[1]:
        return outcome, -1, GONE
    second, third = uniform_pair(streams.recovery, user, step)
    recovery = tables.recovery[days]
    rested = _FIRST * drawn(recovery[place // _FIRST], first)
    rested += _SECOND * drawn(recovery[place // _SECOND % SATIATION_LEVELS], second)
    rested += drawn(recovery[place % SATIATION_LEVELS], third)
    return outcome, days, rested * GOODWILL_LEVELS + goodwill


@kernel
def step_users(
    tables: StepTables,
    streams: TabularStreams,
    users: UInt64Array,
    step: np.uint64,
    states: IndexArray,
    actions: IndexArray,
    outcomes: Int8Array,
    following: IndexArray,
) -> None:
    """Show one item to each of `n` users; arguments as `advance`.

    Args:
        tables: the laws.
        streams: of random numbers.
        users: their numbers, `uint64 [n]`.
        step: of all of them.
        states: `int32 [n]`.
        actions: `int32 [n]`.
        outcomes: receives the outcomes, `int8 [n]`.
        following: receives the next states, `int32 [n]`.
    """
    for row in range(users.shape[0]):
        outcome, _, after = advance(tables, streams, users[row], step, states[row], actions[row])
        outcomes[row] = outcome
        following[row] = after


@kernel
def fill_keys(key: np.uint64, users: UInt64Array, step: np.uint64, out: UInt64Array) -> None:
    """Keys for the draws of a policy, one for each user and step, into `uint64 [n]`."""
    for row in range(users.shape[0]):
        out[row], _ = random_bits(key, users[row], step)


def advance_reference(
    model: TabularModel, streams: TabularStreams, *, user: int, step: int, state: int, action: int
) -> tuple[int, int, int]:
    """Plain twin of `advance`, written along the equations."""
    laws = model.laws

    def draws(key: np.uint64) -> tuple[float, float]:
        return uniform_pair(key, np.uint64(user), np.uint64(step))

    def draw_from(law: FloatArray, at: float) -> int:
        return int(np.searchsorted(cumulated(law), at, side="right"))

    goodwill = int(goodwill_of(np.array(state)))
    levels: list[int] = satiation_of(np.array(state)).tolist()
    topic = action // 2
    level = levels[topic]
    click, satisfaction = draws(streams.click)
    clicked = click < laws.click[action, level]
    outcome = NOTHING
    if clicked:
        outcome = SATISFIED if satisfaction < laws.satisfied[action, level] else DISAPPOINTED
    tiring, moving = draws(streams.levels)
    levels[topic] = draw_from(laws.satiation[int(clicked), level], tiring)
    goodwill = draw_from(laws.goodwill[outcome, goodwill], moving)
    leave, churn = draws(streams.leave)
    days = 0
    if leave < laws.leave[outcome]:
        away, first = draws(streams.away)
        days = draw_from(laws.away[goodwill], away)
        if churn < laws.churn[goodwill] or days == laws.away.shape[1]:
            return outcome, -1, GONE
        rest = (first, *draws(streams.recovery))
        levels = [draw_from(laws.recovery[days, h], at) for h, at in zip(levels, rest, strict=True)]
    return outcome, days, state_number((levels[0], levels[1], levels[2]), goodwill)
