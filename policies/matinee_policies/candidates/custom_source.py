"""Candidates from a class of the user's own, named in the user's own config.

    class Mine:
        def __init__(self, **settings): ...
        def fit(self, interactions, catalogue, *, seed): ...
        def candidates(self, histories, *, k): ...      # only if `fit` gives no model

`fit` may give a `FactorModel`; units are then folded in from what they do, day by day. Or it gives
`None`, and `candidates` is asked once, before the run, for the lists of all units. Either way the
result is kept as arrays: the class itself is needed while a run is prepared, and never after.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

import numpy as np

from matinee_policies.arrays import AnyArray, Float32Array, IndexArray
from matinee_policies.candidates.factor_model import FactorModel
from matinee_policies.candidates.score_table import (
    ScoreTable,
    build_score_table,
    logistic_scores,
)
from matinee_policies.candidates.source_data import SourceData
from matinee_policies.catalogue import Catalogue
from matinee_policies.errors import ConfigError, MatineeError
from matinee_policies.interactions import Interactions
from matinee_policies.plugin_guard import told
from matinee_policies.plugins import load_class
from matinee_policies.records import PAD

KIND = "custom"

LISTED = 300
"""Items that `candidates` is asked for, or all items where there are fewer."""

_UNITS_AT_ONCE = 4_096


class CustomSource(Protocol):
    """What a class of the user's own must have; it is built with the `settings` of the config."""

    def fit(
        self, interactions: Interactions, catalogue: Catalogue, *, seed: int
    ) -> FactorModel | None:
        """Learn from past ratings.

        Args:
            interactions: ratings of users of the data; columns are rows of the catalogue.
            catalogue: the items that can be shown.
            seed: of everything the fit draws.

        Returns:
            A model of all items of the catalogue, or None if `candidates` gives lists.
        """

    def candidates(self, histories: Interactions, *, k: int) -> tuple[IndexArray, Float32Array]:
        """Lists of units.

        Args:
            histories: what some units rated before the run, one row each; `user_ids` are the
                numbers n of simulated users `user-<n>`.
            k: items to give, at most.

        Returns:
            Distinct catalogue rows, -1 for none, whole numbers `[B, j]`, `j <= k`, in any order;
            and their scores, larger is better, finite, `[B, j]`.
        """


def fit_custom_source(
    name: str | None, settings: Mapping[str, Any], data: SourceData, *, seed: int
) -> tuple[FactorModel | None, ScoreTable | None]:
    """Fit a class of the user's own: exactly one of model and table is there.

    Args:
        name: `module:Class`.
        settings: keyword arguments of the class.
        data: what to fit to, and the units to serve.
        seed: of the fit.

    Raises:
        ConfigError: the class is missing, fails, or gives something else than it must.
    """
    found = load_class(name or "")
    source: Any = _call(name, "__init__", lambda: found(**settings))
    if not callable(getattr(source, "fit", None)):
        raise ConfigError(f"{name} must have a method fit(interactions, catalogue, *, seed)")
    model = _call(name, "fit", lambda: source.fit(data.interactions, data.catalogue, seed=seed))
    if model is None:
        if not callable(getattr(source, "candidates", None)):
            raise ConfigError(
                f"{name}: fit gave no model, so there must be a method candidates(histories, *, k)"
            )
        return None, _ask_for_lists(name, source, data)
    if not isinstance(model, FactorModel):
        raise ConfigError(f"{name}: fit must give a FactorModel or None, got {type(model)!r}")
    if model.n_items != len(data.catalogue):
        raise ConfigError(
            f"{name}: fit must give a model of the {len(data.catalogue)} items of the catalogue, "
            f"got {model.n_items}"
        )
    return replace(model, kind=KIND), None


def _ask_for_lists(name: str | None, source: CustomSource, data: SourceData) -> ScoreTable:
    n_items = len(data.catalogue)
    k = min(LISTED, n_items)
    histories, keys = data.units.histories(), data.units.keys
    parts = []
    for first in range(0, histories.n_users, _UNITS_AT_ONCE):
        part = histories.slice_users(first, min(first + _UNITS_AT_ONCE, histories.n_users))
        given = _call(name, "candidates", partial(source.candidates, part, k=k))
        items, raw = _checked_lists(name, given, units=part.n_users, k=k, n_items=n_items)
        listed = items != PAD
        owner = keys[first : first + part.n_users, None]
        parts.append(
            (
                np.broadcast_to(owner, items.shape)[listed],
                items[listed].astype(np.int32),
                raw[listed],
            )
        )
    unit, item, raw = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    if item.size == 0:
        raise ConfigError(f"{name}: candidates must list at least one item for some unit")
    wide = raw.astype(np.float64)
    scores = logistic_scores(raw, mean=float(wide.mean()), sd=float(wide.std()))
    return build_score_table(unit, item, raw, scores=scores, n_items=n_items)


def _checked_lists(
    name: str | None, given: object, *, units: int, k: int, n_items: int
) -> tuple[AnyArray, Float32Array]:
    if not (isinstance(given, tuple) and len(given) == 2):
        raise ConfigError(f"{name}: candidates must give (items, scores), got {type(given)!r}")
    items, scores = (np.asarray(array) for array in given)
    if items.ndim != 2 or len(items) != units or items.shape[1] > k or scores.shape != items.shape:
        raise ConfigError(
            f"{name}: items and scores must both have the shape ({units}, at most {k}), "
            f"got {items.shape} and {scores.shape}"
        )
    if items.dtype.kind not in "iu" or scores.dtype.kind not in "fiu":
        raise ConfigError(
            f"{name}: items must be whole numbers and scores numbers, "
            f"got {items.dtype} and {scores.dtype}"
        )
    listed = items != PAD
    if items.size and not (items.min() >= PAD and items.max() < n_items):
        worst = int(items.max()) if items.max() >= n_items else int(items.min())
        raise ConfigError(
            f"{name}: items must be rows of the catalogue, within 0 and {n_items - 1}, "
            f"or -1, got {worst}"
        )
    ordered = np.sort(items, axis=1)
    if ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != PAD)).any():
        raise ConfigError(f"{name}: items of a unit must be distinct, got one twice")
    with np.errstate(over="ignore"):
        raw = scores.astype(np.float32) + np.float32(0.0)
    if not np.isfinite(raw[listed]).all():
        bad = raw[listed][~np.isfinite(raw[listed])][0]
        raise ConfigError(f"{name}: scores must be finite, got {bad}")
    return items, raw


def _call(name: str | None, method: str, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except MatineeError as error:
        raise ConfigError(f"{name}: {method}: {error}") from error
    except Exception as error:
        raise ConfigError(f"{name}: {method} failed: {told(error)}") from error
