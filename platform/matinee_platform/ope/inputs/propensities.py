"""Probabilities of logs that kept none: only by an estimator that is named, and flagged for good.

    uniform     1 over the items that could be shown
    empirical   share of the item among all that were shown at its position
    logistic    multinomial logistic regression of the item on context and position

All are guesses at a law that nobody wrote down. `empirical` holds for policies that look at nothing
but the position; `logistic` for those whose log-odds are linear in the context that the log kept.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

import numpy as np
from scipy.optimize import minimize

from matinee_platform.ope.inputs.action_log import (
    ActionBatch,
    ActionLog,
    parts_within,
    shown_counts,
)
from matinee_platform.ope.inputs.choices import choices
from matinee_policies.arrays import FloatArray, Int64Array
from matinee_policies.errors import ConfigError

Estimator: TypeAlias = Literal["uniform", "empirical", "logistic"]

ESTIMATORS: tuple[str, ...] = get_args(Estimator)

L2 = 1.0
"""Weight of half the squared coefficients (but for intercepts) beside the sum of log-likelihoods,
with columns of the context scaled to a standard deviation of 1."""

_CELLS = 1 << 20
_STEPS = 200


def with_propensities(log: ActionLog, estimator: Estimator) -> ActionLog:
    """A log whose probabilities are estimated from its own rows.

    Args:
        log: what it holds of probabilities is ignored.
        estimator: one of `ESTIMATORS`.

    Returns:
        The log, flagged.

    Raises:
        ConfigError: on another estimator, or `logistic` for a log without context.
    """
    if estimator not in ESTIMATORS:
        raise ConfigError(f"propensities must be by one of {ESTIMATORS}, got {estimator!r}")
    if estimator == "logistic" and not log.contexts:
        raise ConfigError("propensities by logistic regression need columns of context, none named")
    law = {"uniform": _uniform, "empirical": _empirical, "logistic": _logistic}[estimator](log)

    def stream() -> Iterator[ActionBatch]:
        for batch in parts_within(log, _CELLS):
            yield replace(batch, logged=np.where(batch.shown, law(batch), 1.0))

    return replace(log, stream=stream, propensities=estimator)


_OfShown: TypeAlias = Callable[[ActionBatch], FloatArray]


def _uniform(log: ActionLog) -> _OfShown:
    return lambda batch: 1.0 / choices(log, batch)


def _empirical(log: ActionLog) -> _OfShown:
    counts = shown_counts(log)
    # Positions that never show anything are asked for at no shown slot.
    shares = counts / np.maximum(counts.sum(axis=0), 1.0)
    return lambda batch: shares[np.maximum(batch.actions, 0), batch.positions]


@dataclass(frozen=True, slots=True)
class _Scale:
    """Of the columns of context."""

    mean: FloatArray
    deviation: FloatArray

    def rows(self, batch: ActionBatch, positions: int) -> tuple[FloatArray, Int64Array]:
        """Regressors and items of the shown slots, `float64 [m, p + d]` and `int64 [m]`."""
        row, slot = np.nonzero(batch.shown)
        context = batch.context if batch.context is not None else np.zeros((len(batch), 0))
        x = np.zeros((row.size, positions + context.shape[1]))
        x[np.arange(row.size), batch.positions[row, slot]] = 1.0
        x[:, positions:] = (context[row] - self.mean) / self.deviation
        return x, batch.actions[row, slot]


def _logistic(log: ActionLog) -> _OfShown:
    scale, K = _scale(log), len(log.items)
    width = log.positions + len(log.contexts)
    penalty = np.where(np.arange(width) < log.positions, 0.0, L2)[:, None]

    def loss(flat: FloatArray) -> tuple[float, FloatArray]:
        theta = flat.reshape(width, K)
        total = 0.5 * float((penalty * theta**2).sum())
        slope = penalty * theta
        for batch in parts_within(log, _CELLS):
            x, items = scale.rows(batch, log.positions)
            logs = _log_softmax(x @ theta)
            total -= float(logs[np.arange(items.size), items].sum())
            off = np.exp(logs)
            off[np.arange(items.size), items] -= 1.0
            slope = slope + x.T @ off
        return total / log.rows, slope.reshape(-1) / log.rows

    found = minimize(
        loss, np.zeros(width * K), jac=True, method="L-BFGS-B", options={"maxiter": _STEPS}
    )
    theta = np.asarray(found.x).reshape(width, K)

    def law(batch: ActionBatch) -> FloatArray:
        x, items = scale.rows(batch, log.positions)
        values = np.ones(batch.actions.shape)
        logs = _log_softmax(x @ theta)
        values[batch.shown] = np.exp(logs[np.arange(items.size), items])
        return values

    return law


def _scale(log: ActionLog) -> _Scale:
    total = squares = np.zeros(len(log.contexts))
    for batch in log.stream():
        if batch.context is not None:
            total = total + batch.context.sum(axis=0)
    mean = total / log.rows
    for batch in log.stream():
        if batch.context is not None:
            squares = squares + ((batch.context - mean) ** 2).sum(axis=0)
    deviation = np.sqrt(squares / log.rows)
    return _Scale(mean, np.where(deviation > 0.0, deviation, 1.0))


def _log_softmax(z: FloatArray) -> FloatArray:
    z = z - z.max(axis=1, keepdims=True)
    logs: FloatArray = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    return logs
