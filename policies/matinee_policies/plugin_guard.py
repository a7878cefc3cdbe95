"""What the user's own policy does at run time: its failures told, its slates checked.

The guard is a subclass made around the user's class, so that policies of ours pay nothing for it.
"""

import functools
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np

from matinee_policies.arrays import AnyArray, FloatArray, IndexArray, UInt64Array
from matinee_policies.errors import ConfigError, ContextError, MatineeError, SnapshotError
from matinee_policies.policy import Policy
from matinee_policies.records import PAD, ContextBatch, OutcomeBatch, SlateBatch
from matinee_policies.slate import NO_CAPS
from matinee_policies.snapshot import Snapshot

_T = TypeVar("_T")


def told(error: Exception) -> str:
    """An error of the user's own code in one line, with the place it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{where}"


def guard(policy: Policy, name: str) -> Policy:
    """Let whatever a policy raises become a `MatineeError`, and check what it gives.

    Args:
        policy: of the user's own class; its class becomes a subclass of that class.
        name: `module:Class`, for the messages.

    Returns:
        The same policy. `decide`, `propensities`, `learn`, `snapshot` and `exploration_cost`, if
        it has one, then raise a `ContextError` or `SnapshotError` where the class does, and a
        `ConfigError` for any other failure or for a result that breaks a rule of `Policy`.
    """
    # Also of frozen classes, which refuse a plain assignment.
    object.__setattr__(policy, "__class__", _guarded_class(type(policy), name))
    return policy


def check_slates(slates: object, contexts: ContextBatch, *, slots: int, gaps: bool = False) -> None:
    """Refuse slates that do not hold distinct candidates with propensities in (0, 1].

    Args:
        slates: what `decide` gave.
        contexts: `B` decisions with `K` candidates each.
        slots: length `L` of every slate.
        gaps: whether slots may stay empty while candidates are left.

    Raises:
        ConfigError: naming the first decision to break a rule.
    """
    if not isinstance(slates, SlateBatch):
        raise ConfigError(f"must give a SlateBatch, got {type(slates).__name__}")
    positions, propensities = slates.positions, slates.propensities
    shape = (len(contexts), slots)
    _check_array("positions", positions, dtype=np.int32, shape=shape)
    _check_array("items", slates.items, dtype=np.int32, shape=shape)
    _check_array("propensities", propensities, dtype=np.float64, shape=shape)
    is_open = contexts.candidates != PAD
    if contexts.eligible is not None:
        is_open &= contexts.eligible
    filled = positions != PAD
    inside = (positions >= 0) & (positions < is_open.shape[1])
    place = np.where(inside, positions, 0)
    valid = ~filled | (inside & np.take_along_axis(is_open, place, axis=1))
    if not gaps:
        # As many as there are, from the top; a pin may stand below slots that stay empty.
        wanted = np.minimum(is_open.sum(axis=1), slots)[:, None]
        first = filled == (np.arange(slots) < wanted)
        many = filled.sum(axis=1, keepdims=True) == wanted
        valid &= first if contexts.pinned is None else many
    _check_rows(valid, positions, "positions must be those of candidates, then -1")
    ordered = np.sort(positions, axis=1)
    distinct = (ordered[:, 1:] != ordered[:, :-1]) | (ordered[:, 1:] == PAD)
    _check_rows(distinct, positions, "positions must be distinct")
    chosen = np.where(filled, positions, 0)
    if slots:
        expected = np.where(filled, np.take_along_axis(contexts.candidates, chosen, axis=1), PAD)
        _check_rows(slates.items == expected, slates.items, "items must be those at the positions")
    certain = np.where(filled, (propensities > 0.0) & (propensities <= 1.0), propensities == 1.0)
    _check_rows(certain, propensities, "propensities must be in (0, 1], and 1 at padding")


def _guarded_class(found: Any, name: str) -> type[Any]:
    # Of a restored policy it may be the guarded class already.
    if getattr(found, "_is_guarded", False):
        return cast("type[Any]", found)
    return _new_guarded_class(found, name)


@functools.cache
def _new_guarded_class(found: Any, name: str) -> type[Any]:
    def decide(self: Any, contexts: ContextBatch, *, slots: int, keys: UInt64Array) -> SlateBatch:
        def call() -> SlateBatch:
            slates: SlateBatch = found.decide(self, contexts, slots=slots, keys=keys)
            check_slates(slates, contexts, slots=slots, gaps=_leaves_gaps(self))
            return slates

        return _call(name, "decide", call)

    def propensities(self: Any, contexts: ContextBatch, slates: IndexArray) -> FloatArray:
        def call() -> FloatArray:
            law: FloatArray = found.propensities(self, contexts, slates)
            _check_array("propensities", law, dtype=np.float64, shape=slates.shape)
            _check_rows((law >= 0.0) & (law <= 1.0), law, "propensities must be in [0, 1]")
            return law

        return _call(name, "propensities", call)

    def learn(self: Any, outcomes: OutcomeBatch) -> None:
        _call(name, "learn", lambda: found.learn(self, outcomes))

    def snapshot(self: Any) -> Snapshot:
        def call() -> Snapshot:
            state = found.snapshot(self)
            if not isinstance(state, Snapshot):
                raise ConfigError(f"must give a Snapshot, got {type(state).__name__}")
            return state

        return _call(name, "snapshot", call)

    def exploration_cost(self: Any, contexts: ContextBatch, slates: IndexArray) -> FloatArray:
        def call() -> FloatArray:
            costs: FloatArray = found.exploration_cost(self, contexts, slates)
            _check_array("costs", costs, dtype=np.float64, shape=(len(contexts),))
            _check_rows(
                (np.isfinite(costs) & (costs >= 0.0))[:, None], costs, "costs must be finite, >= 0"
            )
            return costs

        return _call(name, "exploration_cost", call)

    body = {
        "__slots__": (),
        "__doc__": found.__doc__,
        "__module__": found.__module__,
        "__qualname__": found.__qualname__,
        "_is_guarded": True,
        "decide": decide,
        "propensities": propensities,
        "learn": learn,
        "snapshot": snapshot,
    }
    if callable(getattr(found, "exploration_cost", None)):
        body["exploration_cost"] = exploration_cost
    return types.new_class(found.__name__, (found,), exec_body=lambda space: space.update(body))


def _leaves_gaps(policy: Any) -> bool:
    caps = getattr(getattr(policy, "config", None), "caps", NO_CAPS)
    return bool(caps != NO_CAPS or getattr(policy, "leaves_gaps", False))


def _call(name: str, method: str, call: Callable[[], _T]) -> _T:
    try:
        return call()
    except MatineeError as error:
        # One method may call another: the inner one has told already.
        if str(error).startswith(f"{name}: "):
            raise
        kinds = (ContextError, SnapshotError)
        kind = next((kind for kind in kinds if isinstance(error, kind)), ConfigError)
        raise kind(f"{name}: {method}: {error}") from error
    except Exception as error:
        raise ConfigError(f"{name}: {method} failed: {told(error)}") from error


def _check_array(name: str, array: object, *, dtype: type, shape: tuple[int, ...]) -> None:
    if not isinstance(array, np.ndarray):
        raise ConfigError(f"{name} must be an array, got {type(array).__name__}")
    if array.dtype != dtype or array.shape != shape:
        raise ConfigError(
            f"{name} must be {np.dtype(dtype).name} {shape}, got {array.dtype} {array.shape}"
        )


def _check_rows(good: AnyArray, values: AnyArray, rule: str) -> None:
    bad = np.flatnonzero(~good.all(axis=1))
    if bad.size:
        raise ConfigError(f"{rule}, got {values[bad[0]].tolist()} for decision {bad[0]}")
