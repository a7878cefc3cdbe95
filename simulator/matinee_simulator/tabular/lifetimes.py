"""Whole lifetimes of independent simulated users under a fixed policy (Monte Carlo)."""

from dataclasses import dataclass

import numpy as np

from matinee_policies.arrays import AnyArray, BoolArray, FloatArray, Int64Array, UInt64Array
from matinee_policies.compiled import kernel
from matinee_policies.config import check_whole
from matinee_policies.errors import ContextError
from matinee_policies.philox import uniform
from matinee_simulator.tabular.equations import NOTHING, SATISFIED
from matinee_simulator.tabular.model import TabularModel
from matinee_simulator.tabular.solve import check_law, check_states
from matinee_simulator.tabular.states import GONE, START
from matinee_simulator.tabular.step import (
    StepTables,
    TabularStreams,
    advance,
    advance_reference,
    cumulated,
    drawn,
    step_tables,
    tabular_streams,
)

_COUNTED = ("clicks", "satisfied", "steps", "sessions", "days")


@dataclass(frozen=True, slots=True, eq=False)
class Lifetimes:
    """What `n` users did until they were gone for good.

    Attributes:
        discounted_clicks: sum of gamma^days over clicks, `float64 [n]`.
        clicks: `int64 [n]`.
        satisfied: clicks that satisfied, `int64 [n]`.
        steps: items shown, `int64 [n]`.
        sessions: `int64 [n]`.
        days: from the first visit to the last, `int64 [n]`.
        ended: whether the user was gone within the steps that were asked for, `bool [n]`.
    """

    discounted_clicks: FloatArray
    clicks: Int64Array
    satisfied: Int64Array
    steps: Int64Array
    sessions: Int64Array
    days: Int64Array
    ended: BoolArray

    @property
    def value(self) -> float:
        """Mean of the discounted clicks."""
        return float(self.discounted_clicks.mean())

    @property
    def standard_error(self) -> float:
        """Of `value`; at least two users."""
        clicks = self.discounted_clicks
        return float(clicks.std(ddof=1) / np.sqrt(clicks.size))


def simulate_lifetimes(
    model: TabularModel,
    law: FloatArray,
    users: AnyArray,
    *,
    seed: int,
    start: int = START,
    most_steps: int = 1_000_000,
) -> Lifetimes:
    """Let users live under a fixed policy.

    Args:
        model: the world.
        law: probability of each action in each state, `float64 [S, A]`.
        users: their numbers, whole and at least 0, `[n]`; a number means the same luck in any call
            with the same seed.
        seed: of the luck.
        start: state of the first step.
        most_steps: stops a user after so many items; then `ended` is false.

    Raises:
        ContextError: if `law` is no law, or `users` or `start` are out of range.
        ConfigError: if `most_steps` is below 1.
    """
    check_law(law)
    check_states(start)
    check_whole("most_steps", most_steps, low=1)
    numbers = user_numbers(users)
    clicks = np.zeros(numbers.size)
    counts = np.zeros((numbers.size, len(_COUNTED)), dtype=np.int64)
    ended = np.zeros(numbers.size, dtype=np.bool_)
    _live(
        step_tables(model),
        tabular_streams(seed),
        cumulated(law),
        numbers,
        start,
        most_steps,
        clicks,
        counts,
        ended,
    )
    return _lifetimes(clicks, counts, ended)


def simulate_lifetimes_reference(
    model: TabularModel, law: FloatArray, users: AnyArray, *, seed: int, start: int = START
) -> Lifetimes:
    """Plain twin of `simulate_lifetimes`, user by user and day by day."""
    streams = tabular_streams(seed)
    rows, discounted = [], []
    for user in np.asarray(users).tolist():
        state, step, worth, total = start, 0, 1.0, 0.0
        row = np.zeros(len(_COUNTED), dtype=np.int64)
        while state != GONE:
            draw = uniform(streams.action, np.uint64(user), np.uint64(step))
            action = int(np.searchsorted(cumulated(law[state]), draw, side="right"))
            outcome, away, state = advance_reference(
                model, streams, user=user, step=step, state=state, action=action
            )
            total += worth * (outcome != NOTHING)
            row += np.array([outcome != NOTHING, outcome == SATISFIED, 1, away != 0, max(away, 0)])
            for _ in range(max(away, 0)):
                worth *= model.parameters.discount
            step += 1
        rows.append(row)
        discounted.append(total)
    return _lifetimes(np.array(discounted), np.array(rows), np.ones(len(rows), dtype=np.bool_))


def user_numbers(users: AnyArray) -> UInt64Array:
    """Numbers of users as kernels take them, `uint64 [n]`.

    Raises:
        ContextError: if they are no whole numbers of at least 0, or none at all.
    """
    given = np.asarray(users)
    if given.ndim != 1 or given.size == 0 or given.dtype.kind not in "iu":
        raise ContextError(
            f"users must be a row of at least one whole number, "
            f"got {given.dtype} of shape {given.shape}"
        )
    if given.dtype.kind == "i" and int(given.min()) < 0:
        raise ContextError(f"users must be at least 0, got {int(given.min())}")
    return given.astype(np.uint64)


def _lifetimes(clicks: FloatArray, counts: Int64Array, ended: BoolArray) -> Lifetimes:
    """From counts `int64 [n, 5]` in the order of the fields."""
    named = dict(zip(_COUNTED, np.ascontiguousarray(counts.T), strict=True))
    return Lifetimes(discounted_clicks=clicks, ended=ended, **named)


@kernel
def _live(
    tables: StepTables,
    streams: TabularStreams,
    cumulated_law: FloatArray,
    users: UInt64Array,
    start: int,
    most_steps: int,
    discounted_clicks: FloatArray,
    counts: Int64Array,
    ended: BoolArray,
) -> None:
    for row in range(users.shape[0]):
        state, step, worth, total = start, 0, 1.0, 0.0
        while state != GONE and step < most_steps:
            moment = np.uint64(step)
            draw = uniform(streams.action, users[row], moment)
            action = drawn(cumulated_law[state], draw)
            outcome, away, state = advance(tables, streams, users[row], moment, state, action)
            step += 1
            if outcome != NOTHING:
                total += worth
                counts[row, 0] += 1
            if outcome == SATISFIED:
                counts[row, 1] += 1
            if away != 0:
                counts[row, 3] += 1
            if away > 0:
                worth *= tables.worth[away]
                counts[row, 4] += away
        counts[row, 2] = step
        discounted_clicks[row] = total
        ended[row] = state == GONE
