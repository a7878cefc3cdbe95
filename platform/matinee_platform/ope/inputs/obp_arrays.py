"""Logs in the form of the Open Bandit Pipeline: a dict of arrays, or such a dict in a `.npz` file.

A log of single actions has (`bandit_feedback` of obp)

    n_rounds, n_actions   numbers
    action, reward, pscore   [n]
    position              [n], from 0; None without positions
    context               [n, d]; None without
    pi_b                  [n, n_actions, 1 or positions], the whole logging law, if it is known

A log of slates has rows of slots (`slate_id`, `position`, `action`, `reward`, all `[n_rounds * L]`
in order) and `pscore_cascade`, the probability of the slate down to the slot, from which the slot's
own follows. What this package writes has more keys, which others need not know: `pscore_slot` (the
slot's own, to the last bit), `items` (names), `positions` (how many), `unit`, `time`, where
`propensities` came from. An action of -1 is an empty slot.
"""

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from matinee_platform.ope.inputs.action_log import ActionBatch, ActionLog, Propensities
from matinee_platform.ope.inputs.object_arrays import given_arrays
from matinee_platform.ope.inputs.propensities import Estimator, with_propensities
from matinee_platform.ope.inputs.table_parts import MOST_POSITIONS
from matinee_platform.ope.inputs.target_law import TargetLaw, matrix_law
from matinee_platform.ope.inputs.unit_ids import array_units
from matinee_policies.arrays import AnyArray, FloatArray, Int64Array
from matinee_policies.errors import ConfigError, ContextError, DataError
from matinee_policies.records import PAD

ROWS = 16_384

MOST_CELLS = 2**26
"""Items times positions that a log may name: half a gigabyte for a table of them."""

_ROUNDING = 1e-6

_UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


def obp_log(
    feedback: Mapping[str, Any] | Path | str,
    *,
    propensities: Estimator | None = None,
    distinct: bool = False,
) -> ActionLog:
    """Open a dict of arrays as a log of actions; they stay in memory.

    Args:
        feedback: the dict, or a `.npz` file of it; nothing in it is unpickled.
        propensities: estimator of the probabilities, for logs that have none only.
        distinct: whether slates show no item twice by design.

    Raises:
        ContextError: naming the array, the row, the value and the rule that it breaks.
        DataError: if the file cannot be read.
        ConfigError: if there are neither probabilities nor an estimator of them, or both.
    """
    if isinstance(feedback, Path | str):
        feedback = _load(Path(feedback))
    given = given_arrays(feedback)
    for name in ("action", "reward"):
        if name not in given:
            raise ContextError(f"bandit feedback must have {name!r}, got {', '.join(given)}")
    rows = _slate_rows(given) if "slate_id" in given else (len(np.asarray(given["action"])), 1)
    whole = _whole(given, rows, has_propensities=propensities is None)
    K = _number(given, "n_actions") or _number(given, "n_unique_action") or 0
    K = K or int(whole.actions.max(initial=0)) + 1
    positions = max(_number(given, "positions") or 1, int(whole.positions.max(initial=0)) + 1)
    _check_size(K, positions)
    _check_actions(whole.actions, K)
    names = _names(given, "items") if "items" in given else tuple(map(str, range(K)))
    if len(names) != K or len(set(names)) != K:
        raise ContextError(f"items must be {K} distinct names, got {len(set(names))}")
    if "distinct" in given:
        distinct = _flag(given, "distinct")
    if distinct:
        _check_distinct(whole.actions)
    source: Propensities = "logged"
    if "propensities" in given:
        source = str(given["propensities"])  # type: ignore[assignment]
    log = ActionLog(
        stream=lambda: _parts(whole),
        rows=len(whole),
        items=names,
        positions=positions,
        slots=whole.slots,
        contexts=_context_names(given, whole),
        propensities=source,
        distinct=distinct,
        has_units="unit" in given,
        has_times="time" in given,
        rewards=(float(whole.rewards.min()), float(whole.rewards.max())),
        notes=_names(given, "notes") if "notes" in given else (),
    )
    return log if propensities is None else with_propensities(log, propensities)


def action_dist_law(action_dist: FloatArray, log: ActionLog) -> TargetLaw:
    """The law that obp's `action_dist` gives.

    Args:
        action_dist: probability of each item at each position, `float64 [n, K, P]`; of slates, the
            probabilities given the items that the log shows above.
        log: whose rows these are.

    Raises:
        ContextError: on another shape.
    """
    wanted = (log.rows, len(log.items))
    if action_dist.ndim != 3 or action_dist.shape[:2] != wanted:
        raise ContextError(
            f"action_dist must be [{wanted[0]}, {wanted[1]}, positions], "
            f"got {list(action_dist.shape)}"
        )
    if action_dist.shape[2] < log.positions:
        raise ContextError(
            f"action_dist must have {log.positions} positions, got {action_dist.shape[2]}"
        )
    if log.slots > 1:
        return matrix_law(action_dist[:, :, : log.slots].transpose(0, 2, 1))

    def law(batch: ActionBatch) -> FloatArray:
        rows = np.arange(batch.first, batch.first + len(batch))
        found: FloatArray = action_dist[rows, :, batch.positions[:, 0]]
        return found[:, None, :]

    return law


def _load(path: Path) -> dict[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except _UNREADABLE as error:
        rule = f"must be a .npz file of arrays without pickle ({error})"
        raise DataError(path, rule=rule) from None


def _number(given: Mapping[str, Any], name: str) -> int | None:
    if name not in given:
        return None
    value = np.asarray(given[name])
    if value.shape != () or value.dtype.kind not in "iu" or value < 1:
        raise ContextError(f"{name} must be a whole number above 0, got {value.tolist()!r}")
    return int(value)


def _flag(given: Mapping[str, Any], name: str) -> bool:
    value = np.asarray(given[name])
    if value.shape != () or value.dtype.kind != "b":
        raise ContextError(f"{name} must be one truth value, got {value.dtype} {list(value.shape)}")
    return bool(value)


def _names(given: Mapping[str, Any], name: str) -> tuple[str, ...]:
    values = np.asarray(given[name])
    if values.ndim != 1:
        raise ContextError(f"{name} must be a list, got {values.dtype} {list(values.shape)}")
    return tuple(str(value) for value in given[name])


def _check_size(items: int, positions: int) -> None:
    if positions > MOST_POSITIONS:
        raise ContextError(f"positions must be at most {MOST_POSITIONS:,}, got {positions:,}")
    if items * positions > MOST_CELLS:
        raise ContextError(
            f"items times positions must be at most {MOST_CELLS:,}, got {items:,} x {positions:,}"
        )


def _slate_rows(given: Mapping[str, Any]) -> tuple[int, int]:
    """Slates and their slots."""
    slate, position = np.asarray(given["slate_id"]), np.asarray(given.get("position", ()))
    n = _number(given, "n_rounds") or int(np.unique(slate).size)
    L = slate.size // n
    if slate.shape != (n * L,) or not L or (np.diff(slate.reshape(n, L), axis=1) != 0).any():
        raise ContextError(f"slate_id must list {n} slates of one length in order, slot by slot")
    if position.shape != slate.shape or (position.reshape(n, L) != np.arange(L)).any():
        raise ContextError(f"position must count 0 to {L - 1} on each of {n} slates")
    return n, L


def _whole(
    given: Mapping[str, Any], rows: tuple[int, int], *, has_propensities: bool
) -> ActionBatch:
    n, L = rows
    stated = _number(given, "n_rounds")
    if stated is not None and stated != n:
        raise ContextError(f"n_rounds must be the number of rows, {n}, got {stated}")
    actions = _whole_numbers(given, "action", (n * L,)).reshape(n, L)
    positions = np.tile(np.arange(L, dtype=np.int64), (n, 1))
    if "position" in given and L == 1:
        positions = _whole_numbers(given, "position", (n,), low=0)[:, None]
    logged = np.ones((n, L))
    if has_propensities:
        logged = _propensities(given, n, L)
        _refuse("pscore", logged, (logged > 0.0) & (logged <= 1.0), "must be in (0, 1]")
    elif {"pscore", "pscore_cascade", "pscore_slot"} & {*given}:
        raise ConfigError("the log has propensities (pscore), so none are estimated")
    context = _floats(given, "context") if "context" in given else None
    if context is not None and (context.ndim != 2 or len(context) != n):
        raise ContextError(f"context must be [{n}, d], got {list(context.shape)}")
    numbers = np.arange(n)
    time = _whole_numbers(given, "time", (n,), low=0) if "time" in given else numbers
    if (np.diff(time) < 0).any():
        raise ContextError(
            f"time must not fall, it does at row {int(np.argmin(np.diff(time))) + 2}"
        )
    return ActionBatch(
        first=0,
        unit=array_units(np.asarray(given.get("unit", numbers)), n),
        time=time,
        actions=actions,
        rewards=_floats(given, "reward", (n * L,)).reshape(n, L),
        logged=np.where(actions == PAD, 1.0, logged),
        positions=positions,
        context=context,
        offered=_offered(given, actions, positions, logged) if "pi_b" in given else None,
    )


def _propensities(given: Mapping[str, Any], n: int, L: int) -> FloatArray:
    if L == 1:
        if "pscore" not in given:
            raise ConfigError(
                "the log has no propensities (pscore): name an estimator (uniform, empirical or "
                "logistic), which every result will then say"
            )
        return _floats(given, "pscore", (n,))[:, None]
    if "pscore_slot" in given:
        return _floats(given, "pscore_slot", (n * L,)).reshape(n, L)
    if "pscore_cascade" not in given:
        raise ConfigError(
            "a log of slates needs pscore_cascade; probabilities of whole slates, or of items at "
            "positions, do not tell what a slot was given those above"
        )
    cascade = _floats(given, "pscore_cascade", (n * L,)).reshape(n, L)
    above = np.concatenate([np.ones((n, 1)), cascade[:, :-1]], axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: FloatArray = cascade / above
    return ratio


def _offered(
    given: Mapping[str, Any], actions: Int64Array, positions: Int64Array, logged: FloatArray
) -> Int64Array:
    """Items that the whole logging law could show at each row's position."""
    pi_b = _floats(given, "pi_b")
    n, L = actions.shape
    if L > 1 or pi_b.ndim != 3 or len(pi_b) != n:
        raise ContextError(
            f"pi_b must be [{n}, actions, positions] of single actions, got {list(pi_b.shape)}"
        )
    at = positions[:, 0] if pi_b.shape[2] > 1 else np.zeros(n, dtype=np.int64)
    law = pi_b[np.arange(n), :, at]
    _check_actions(actions, pi_b.shape[1])
    own = np.take_along_axis(law, actions, axis=1)
    _refuse("pscore", logged, abs(own - logged) <= _ROUNDING, "must be that of pi_b")
    return np.where(law > 0.0, np.arange(pi_b.shape[1]), PAD)


def _context_names(given: Mapping[str, Any], whole: ActionBatch) -> tuple[str, ...]:
    d = 0 if whole.context is None else whole.context.shape[1]
    names = tuple(f"context {k}" for k in range(d))
    names = _names(given, "contexts") if "contexts" in given else names
    if len(names) != d:
        raise ContextError(f"contexts must be {d} names, got {len(names)}")
    return names


def _parts(whole: ActionBatch) -> Iterator[ActionBatch]:
    for start in range(0, len(whole), ROWS):
        yield whole.rows(start, min(start + ROWS, len(whole)))


def _floats(
    given: Mapping[str, Any], name: str, shape: tuple[int, ...] | None = None
) -> FloatArray:
    raw = np.asarray(given[name])
    if raw.dtype.kind not in "biuf" or (shape is not None and raw.shape != shape):
        words = "" if shape is None else f" {list(shape)}"
        raise ContextError(f"{name} must be numbers{words}, got {raw.dtype} {list(raw.shape)}")
    values = raw.astype(np.float64)
    _refuse(name, values, np.isfinite(values), "must be finite")
    return values


def _whole_numbers(
    given: Mapping[str, Any], name: str, shape: tuple[int, ...], *, low: int = PAD
) -> Int64Array:
    raw = np.asarray(given[name])
    if raw.dtype.kind not in "iu" or raw.shape != shape:
        raise ContextError(
            f"{name} must be whole numbers {list(shape)}, got {raw.dtype} {list(raw.shape)}"
        )
    values = raw.astype(np.int64)
    _refuse(name, values, values >= low, f"must be at least {low}")
    return values


def _check_actions(actions: Int64Array, count: int) -> None:
    low = 0 if actions.shape[1] == 1 else PAD
    good = (actions >= low) & (actions < count)
    _refuse("action", actions, good, f"must be within 0 and {count - 1}")


def _check_distinct(actions: Int64Array) -> None:
    ordered = np.sort(actions, axis=1)
    again = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != PAD)
    rule = "must not show it twice, the log is said to be distinct"
    _refuse("an item of a slate", ordered[:, 1:], ~again, rule)


def _refuse(name: str, values: AnyArray, good: AnyArray, rule: str) -> None:
    bad = np.argwhere(~np.asarray(good))
    if len(bad):
        at = tuple(bad[0])
        raise ContextError(f"{name}, row {at[0] + 1}: {rule}, got {values[at]}")
