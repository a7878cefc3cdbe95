"""The columns that every estimator is made of: weight, weighted reward, prediction, residual.

For a slot of a row with weight `u`, reward `r`, prediction `q` and expected prediction `e`:
`u`, `u r`, `a e`, `u (r - q)`, where `a` is the weight of the slots above. The weights are

- `slot`: `w_l = target / logged` of the slot alone, `a` = 1. Summed over slots this is IIPS (Li et
  al. 2018). As the probabilities are conditional on the items above, it values the target's choice
  at each slot under what the *log* shows above it.
- `cascade`: `w_1 w_2 ... w_l`, `a = w_1 ... w_(l-1)`: RIPS (McInerney et al. 2020), and cascade-DR
  (Kiyohara et al. 2022) with the residual.
- `slate`: `w_1 ... w_L` on every slot: standard slate IPS.
- `marginal`: the ratio of the masses of the item's cluster, `a` = 1: MIPS (Saito and Joachims
  2022).

Products are taken in log space; a weight of 0 anywhere makes the products below it 0.
"""

import math
from typing import Literal, TypeAlias

import numpy as np

from matinee_platform.ope.records import LoggedBatch
from matinee_policies.arrays import FloatArray
from matinee_policies.compiled import kernel
from matinee_policies.errors import ContextError

Weights: TypeAlias = Literal["slot", "cascade", "slate", "marginal"]

SLOT, CASCADE, SLATE, MARGINAL = 0, 1, 2, 3
FORMS: dict[str, int] = {"slot": SLOT, "cascade": CASCADE, "slate": SLATE, "marginal": MARGINAL}

BLOCK = 1024
"""Rows that are summed together; blocks start at fixed rows of the log, whatever its parts."""

# Eight more than a power of two, so that columns do not fall on the same lines of the cache.
WIDTH = BLOCK + 8

U, X, E, Y, R, P = 0, 1, 2, 3, 4, 5
COLUMNS = 6
"""Weight, weighted reward, expected prediction, weighted residual, reward, logged probability."""

_NOTHING = np.zeros((0, 0))


BatchArrays: TypeAlias = tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]


def batch_arrays(batch: LoggedBatch, weights: Weights) -> BatchArrays:
    """Rewards, logged and target probabilities, predictions and expectations, each `[n, L]`.

    Without a model the last two have no rows. For `marginal` weights the ratios take the place of
    the target's probabilities.

    Raises:
        ContextError: if shapes differ, one prediction lacks its expectation, or ratios are missing.
    """
    target = batch.marginal if weights == "marginal" else batch.target
    if target is None:
        raise ContextError("marginal weights must be given for MIPS, got none")
    if (batch.predicted is None) != (batch.expected is None):
        raise ContextError("predicted and expected must be given both or neither")
    arrays = [batch.rewards, batch.logged, target]
    if batch.predicted is not None and batch.expected is not None:
        arrays += [batch.predicted, batch.expected]
    shape = (len(batch), *batch.rewards.shape[1:])
    if len(shape) != 2 or any(array.shape != shape for array in arrays):
        shapes = [array.shape for array in arrays]
        raise ContextError(f"arrays of a batch must be [n, L] with n = {len(batch)}, got {shapes}")
    given = [np.ascontiguousarray(array, dtype=np.float64) for array in arrays]
    predicted, expected = given[3:] if len(given) > 3 else (_NOTHING, _NOTHING)
    return given[0], given[1], given[2], predicted, expected


@kernel
def fill_columns(
    rewards: FloatArray,
    logged: FloatArray,
    target: FloatArray,
    predicted: FloatArray,
    expected: FloatArray,
    form: int,
    first: int,
    rows: int,
    z: FloatArray,
) -> None:
    """Write the columns of some rows, slot by slot.

    Args:
        rewards: `float64 [n, L]`, as all arrays of the batch.
        logged: of the policy that chose.
        target: of the evaluated policy.
        predicted: without rows if there is no model.
        expected: likewise.
        form: of the weights, see `FORMS`.
        first: number of the first row.
        rows: how many, at most `BLOCK`.
        z: receives the columns, `float64 [COLUMNS, L, WIDTH]`.
    """
    slots = rewards.shape[1]
    model = predicted.shape[0] > 0
    if slots == 1 and form == SLOT:
        stop = first + rows
        _fill_one_slot(
            rewards.reshape(-1)[first:stop],
            logged.reshape(-1)[first:stop],
            target.reshape(-1)[first:stop],
            z[U, 0],
            z[X, 0],
            z[R, 0],
            z[P, 0],
        )
        if model:
            _fill_model(
                rewards.reshape(-1)[first:stop],
                predicted.reshape(-1)[first:stop],
                expected.reshape(-1)[first:stop],
                z[U, 0],
                z[E, 0],
                z[Y, 0],
            )
    elif form in (SLOT, MARGINAL):
        for slot in range(slots):
            for i in range(rows):
                probability = logged[first + i, slot]
                weight = target[first + i, slot]
                if form == SLOT:
                    weight = weight / probability
                reward = rewards[first + i, slot]
                z[U, slot, i] = weight
                z[X, slot, i] = weight * reward
                z[R, slot, i] = reward
                z[P, slot, i] = probability
                if model:
                    z[E, slot, i] = expected[first + i, slot]
                    z[Y, slot, i] = weight * (reward - predicted[first + i, slot])
    else:
        for i in range(rows):
            whole = 0.0
            if form == SLATE:
                for slot in range(slots):
                    whole += math.log(target[first + i, slot] / logged[first + i, slot])
            above = 0.0
            for slot in range(slots):
                probability = logged[first + i, slot]
                here = above + math.log(target[first + i, slot] / probability)
                weight = math.exp(whole if form == SLATE else here)
                reward = rewards[first + i, slot]
                z[U, slot, i] = weight
                z[X, slot, i] = weight * reward
                z[R, slot, i] = reward
                z[P, slot, i] = probability
                if model:
                    z[E, slot, i] = math.exp(above) * expected[first + i, slot]
                    z[Y, slot, i] = weight * (reward - predicted[first + i, slot])
                above = here


@kernel
def _fill_one_slot(
    rewards: FloatArray,
    logged: FloatArray,
    target: FloatArray,
    u: FloatArray,
    x: FloatArray,
    r: FloatArray,
    p: FloatArray,
) -> None:
    """As `fill_columns`, of one slot on its own, where rows lie side by side.

    One column a loop: the compiler gives up on loops over many arrays that may overlap.
    """
    for i in range(rewards.size):
        u[i] = target[i] / logged[i]
    for i in range(rewards.size):
        x[i] = u[i] * rewards[i]
    for i in range(rewards.size):
        r[i] = rewards[i]
    for i in range(rewards.size):
        p[i] = logged[i]


@kernel
def _fill_model(
    rewards: FloatArray,
    predicted: FloatArray,
    expected: FloatArray,
    u: FloatArray,
    e: FloatArray,
    y: FloatArray,
) -> None:
    for i in range(rewards.size):
        e[i] = expected[i]
    for i in range(rewards.size):
        y[i] = u[i] * (rewards[i] - predicted[i])


def columns_reference(batch: LoggedBatch, weights: Weights) -> FloatArray:
    """The plain twin of `fill_columns`: `float64 [COLUMNS, L, n]`."""
    rewards, logged, target, predicted, expected = batch_arrays(batch, weights)
    own, above = weights_reference(logged, target, weights)
    z = np.zeros((COLUMNS, rewards.shape[1], rewards.shape[0]))
    z[U], z[X], z[R], z[P] = own.T, (own * rewards).T, rewards.T, logged.T
    if predicted.size:
        z[E], z[Y] = (above * expected).T, (own * (rewards - predicted)).T
    return z


def weights_reference(
    logged: FloatArray, target: FloatArray, weights: Weights
) -> tuple[FloatArray, FloatArray]:
    """Weights of the slots, and of the slots above each, both `float64 [n, L]`.

    Example:
        >>> logged, target = np.array([[0.5, 0.25]]), np.array([[1.0, 0.5]])
        >>> own, above = weights_reference(logged, target, "cascade")
        >>> own.round(12).tolist(), above.round(12).tolist()
        ([[2.0, 4.0]], [[1.0, 2.0]])
    """
    if weights == "slot":
        return target / logged, np.ones_like(target)
    if weights == "marginal":
        return target, np.ones_like(target)
    with np.errstate(divide="ignore"):
        logs = np.log(target / logged)
    products = np.exp(np.cumsum(logs, axis=1))
    above = np.concatenate([np.ones((len(logs), 1)), products[:, :-1]], axis=1)
    if weights == "slate":
        products = np.repeat(products[:, -1:], logs.shape[1], axis=1)
    return products, above
