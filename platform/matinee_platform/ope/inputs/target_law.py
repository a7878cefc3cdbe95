"""Evaluated policies of logs of actions: a law over the items of each slot, as a function.

    table_law      an item x position table, the same for every row
    matrix_law     a table per row, held in memory
    uniform_law    all that could be shown alike
    any function   `law(batch) -> float64 [n, L, K]` of one's own

`logged_stream` turns a log and a law into what estimators read.
"""

from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np

from matinee_platform.ope.calibration import CalibrationSums
from matinee_platform.ope.inputs.action_log import (
    ActionBatch,
    ActionLog,
    add_shown,
    parts_within,
)
from matinee_platform.ope.inputs.choices import choices, could_show
from matinee_platform.ope.inputs.logged_draws import add_logged_draws
from matinee_platform.ope.records import LoggedBatch, LoggedStream
from matinee_policies.arrays import AnyArray, BoolArray, FloatArray, Int64Array
from matinee_policies.errors import ContextError

TargetLaw: TypeAlias = Callable[[ActionBatch], FloatArray]
"""Probability of every item at each slot given those that the log shows above, `[n, L, K]`."""

ItemRewards: TypeAlias = Callable[[ActionBatch], FloatArray]
"""Cross-fitted prediction of the reward of every item at each slot, `float64 [n, L, K]`."""

CELLS = 1 << 20
"""Of row, slot and item that are held at once."""

ROUNDING = 1e-5
"""Relative difference up to which probabilities are equal: logs keep them in six digits."""

_TOLERANCE = 1e-6


def table_law(table: FloatArray) -> TargetLaw:
    """A law that knows the position only.

    Args:
        table: of items by positions, each column sums to 1, `float64 [K, P]`.

    Raises:
        ContextError: on a number out of [0, 1], or a column that does not sum to 1.

    Example:
        >>> law = table_law(np.array([[1.0, 0.25], [0.0, 0.75]]))
        >>> batch = ActionBatch(
        ...     first=0,
        ...     unit=np.arange(1, dtype=np.uint64),
        ...     time=np.arange(1),
        ...     actions=np.array([[1]]),
        ...     rewards=np.ones((1, 1)),
        ...     logged=np.ones((1, 1)),
        ...     positions=np.array([[1]]),
        ... )
        >>> law(batch).tolist()
        [[[0.25, 0.75]]]
    """
    if table.ndim != 2:
        raise ContextError(f"a policy's table must be [items, positions], got {list(table.shape)}")
    for position, column in enumerate(table.T):
        _check_pmf(column, f"position {position + 1} of the policy's table")
    by_position = np.ascontiguousarray(table.T, dtype=np.float64)

    def law(batch: ActionBatch) -> FloatArray:
        if batch.positions.max(initial=0) >= len(by_position):
            highest = int(batch.positions.max()) + 1
            raise ContextError(f"the policy's table has no position {highest} that the log has")
        return by_position[batch.positions]

    return law


def matrix_law(rows: FloatArray) -> TargetLaw:
    """A law that is given for each row of the log, in the order of its rows.

    Args:
        rows: `float64 [N, L, K]`, of the whole log.
    """
    if rows.ndim != 3:
        raise ContextError(f"laws by row must be [rows, slots, items], got {list(rows.shape)}")

    def law(batch: ActionBatch) -> FloatArray:
        stop = batch.first + len(batch)
        if stop > len(rows):
            raise ContextError(f"laws are given for {len(rows):,} rows, the log has more")
        return rows[batch.first : stop]

    return law


def uniform_law(log: ActionLog) -> TargetLaw:
    """The same probability for every item that could be shown, as logs of uniform draws have it.

    Of the items that a row offers, where the log says so, and else of all that it names; if pages
    are `distinct`, of those that do not stand above.
    """

    def law(batch: ActionBatch) -> FloatArray:
        could = could_show(log, batch)
        masses: FloatArray = could / np.maximum(could.sum(axis=2, keepdims=True), 1)
        return masses

    return law


def logged_stream(
    log: ActionLog,
    law: TargetLaw | None,
    *,
    rewards: ItemRewards | None = None,
    clusters: Int64Array | None = None,
    draws: CalibrationSums | None = None,
) -> LoggedStream:
    """A log under an evaluated policy, as estimators read it.

    An item could be shown if it was offered, where the log says what was, and otherwise if the log
    shows it anywhere at that position; if pages are `distinct`, not below its own slot. The largest
    weight that was possible is known of logs that draw uniformly: of others the whole law is not.

    Args:
        log: of actions.
        law: of the evaluated policy; None for the log's own columns `target` and `unreachable`.
        rewards: predictions of a reward model.
        clusters: of each item, for weights of clusters, `int64 [K]`; None without.
        draws: each reading of the stream adds its own to them; None for none.

    Returns:
        The stream; reading it raises `ContextError`, naming the row, where the law is none.

    Raises:
        ContextError: if there is neither a law nor a column, predictions or clusters without a law,
            or clusters without the whole law that logged.
    """
    if law is None:
        if clusters is not None:
            raise ContextError(
                "weights of clusters need the whole law of the policy, not its column alone"
            )
        if rewards is not None:
            raise ContextError(
                "a policy known by its probability of the item shown alone has no expected "
                "prediction: give its whole law, or no reward model"
            )
        return lambda: _by_columns(log, draws)
    seen, uniform = _looked_through(log)
    if clusters is not None and not uniform:
        raise ContextError(
            "weights of clusters need the whole law that logged, which is known of logs that draw "
            "uniformly from what could be shown; the probabilities of this log are not uniform"
        )

    def stream() -> Iterator[LoggedBatch]:
        for part in parts_within(log, CELLS):
            yield _batch(
                log, part, law, rewards=rewards, clusters=clusters, seen=seen, uniform=uniform
            )
            if draws is not None:
                add_logged_draws(draws, log, part, uniform=uniform)

    return stream


def _looked_through(log: ActionLog) -> tuple[BoolArray, bool]:
    """Which items stand at which positions, `bool [K, P]`, and whether all draws were uniform."""
    counts, uniform = np.zeros((len(log.items), log.positions)), True
    for batch in log.stream():
        add_shown(counts, batch)
        even = abs(batch.logged * choices(log, batch) - 1.0) <= ROUNDING
        uniform = uniform and bool(even[batch.shown].all())
    return np.greater(counts, 0.0), uniform


def _by_columns(log: ActionLog, draws: CalibrationSums | None) -> Iterator[LoggedBatch]:
    for batch in log.stream():
        if batch.target is None:
            raise ContextError("the log has no column of the evaluated policy; give its law")
        if draws is not None:
            add_logged_draws(draws, log, batch, uniform=False)
        unknown = np.full(batch.target.shape, np.nan)
        yield LoggedBatch(
            unit=batch.unit,
            time=batch.time,
            rewards=batch.rewards,
            logged=batch.logged,
            target=batch.target,
            unreachable=unknown if batch.unreachable is None else batch.unreachable,
        )


def _batch(
    log: ActionLog,
    batch: ActionBatch,
    law: TargetLaw,
    *,
    rewards: ItemRewards | None,
    clusters: Int64Array | None,
    seen: AnyArray,
    uniform: bool,
) -> LoggedBatch:
    masses = _checked(law(batch), log, batch)
    shown = batch.shown
    place = np.where(shown, batch.actions, 0)[:, :, None]
    could = could_show(log, batch, seen)
    predicted = expected = None
    if rewards is not None:
        predictions = rewards(batch)
        if predictions.shape != masses.shape:
            raise ContextError(
                f"predictions must be {list(masses.shape)}, got {list(predictions.shape)}"
            )
        predicted = np.where(shown, np.take_along_axis(predictions, place, axis=2)[:, :, 0], 0.0)
        expected = np.where(shown, (masses * predictions).sum(axis=2), 0.0)
    target = np.take_along_axis(masses, place, axis=2)[:, :, 0]
    # Sums of masses may end a hair beyond 1.
    outside = np.clip(np.where(could, 0.0, masses).sum(axis=2), 0.0, 1.0)
    return LoggedBatch(
        unit=batch.unit,
        time=batch.time,
        rewards=batch.rewards,
        logged=batch.logged,
        target=np.where(shown, target, 1.0),
        unreachable=np.where(shown, outside, 0.0),
        predicted=predicted,
        expected=expected,
        marginal=None if clusters is None else _marginal(log, batch, masses, clusters),
        largest=_largest(batch, np.where(could, masses, 0.0)) if uniform else None,
    )


def _marginal(
    log: ActionLog, batch: ActionBatch, masses: FloatArray, clusters: Int64Array
) -> FloatArray:
    """Ratio of both laws' masses on the cluster of the item shown; the log's draws are uniform."""
    own = clusters[np.maximum(batch.actions, 0)]
    alike = clusters == own[:, :, None]
    could = (alike & could_show(log, batch)).sum(axis=2)
    drawn = np.maximum(could, 1) / choices(log, batch)
    return np.where(batch.shown, (masses * alike).sum(axis=2) / drawn, 1.0)


def _largest(batch: ActionBatch, masses: FloatArray) -> FloatArray:
    """Largest weight of any item that a uniform law could have shown, `float64 [n, L]`."""
    # Over the probability as logged, which rounding may have put beside one over the choices.
    return np.where(batch.shown, masses.max(axis=2) / batch.logged, 1.0)


def _checked(masses: FloatArray, log: ActionLog, batch: ActionBatch) -> FloatArray:
    wanted = (len(batch), batch.slots, len(log.items))
    if masses.shape != wanted:
        raise ContextError(f"a law must be {list(wanted)} here, got {list(masses.shape)}")
    good = (masses >= 0.0).all(axis=2) & (abs(masses.sum(axis=2) - 1.0) <= _TOLERANCE)
    bad = np.argwhere(~good & batch.shown)
    if bad.size:
        row, slot = bad[0]
        where = f"row {batch.first + row + 1}, slot {slot + 1} of the evaluated policy's law"
        _check_pmf(masses[row, slot], where)
    return masses


def _check_pmf(masses: FloatArray, where: str) -> None:
    odd = masses[~(masses >= 0.0)]
    if odd.size:
        raise ContextError(f"{where}: probabilities must be at least 0, got {odd[0]}")
    if not abs(masses.sum() - 1.0) <= _TOLERANCE:
        raise ContextError(f"{where}: probabilities must sum to 1, got {masses.sum()}")
