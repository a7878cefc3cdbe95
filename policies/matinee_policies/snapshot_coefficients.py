"""The coefficients in a snapshot, by the names of the features they weigh.

They are read from the policy that the snapshot restores, so no layout of arrays is known here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from matinee_policies.arrays import FloatArray, IndexArray
from matinee_policies.errors import MatineeError
from matinee_policies.features import FEATURE_NAMES
from matinee_policies.registry import restore_policy
from matinee_policies.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Coefficient:
    """One number that weighs a feature.

    Attributes:
        owner: whose it is: `theta` is common to all candidates, `weights` are Vowpal Wabbit's and
            weigh a cost, `item 17` is that item's own; with `base0/` before it in a mixture.
        feature: name of the feature, or its number if the policy was made for others.
        value: the coefficient.
    """

    owner: str
    feature: str
    value: float


def coefficients(snapshot: Snapshot) -> dict[tuple[str, str], Coefficient]:
    """Every coefficient of a state, by owner and feature.

    A policy that has none gives none, and so does one that is not of this package, or cannot be
    restored.

    Example:
        >>> from matinee_policies.lin_ucb import LinUCB
        >>> found = coefficients(LinUCB(dimension=len(FEATURE_NAMES)).snapshot())
        >>> found["theta", "score"]
        Coefficient(owner='theta', feature='score', value=0.0)
    """
    try:
        policy = restore_policy(snapshot)
    except MatineeError:
        return {}
    return {(one.owner, one.feature): one for one in _of(policy, snapshot, prefix="")}


def feature_name(column: int, *, dimension: int) -> str:
    """Name of a column of features.

    Example:
        >>> feature_name(1, dimension=len(FEATURE_NAMES)), feature_name(1, dimension=3)
        ('score', 'feature 1')
    """
    return FEATURE_NAMES[column] if dimension == len(FEATURE_NAMES) else f"feature {column}"


def _of(policy: Any, snapshot: Snapshot, *, prefix: str) -> Iterator[Coefficient]:
    for number, base in enumerate(getattr(policy, "bases", ())):
        yield from _of(base, snapshot, prefix=f"{prefix}base{number}/")
    dimension = getattr(policy, "dimension", None)
    if dimension is None:
        return
    columns = range(dimension)
    for owner in ("theta", "weights"):
        values = getattr(policy, owner, None)
        if isinstance(values, np.ndarray) and values.shape == (dimension,):
            yield from _named(prefix + owner, values, columns=columns, dimension=dimension)
    items: IndexArray | None = snapshot.arrays.get(f"{prefix}items")
    if items is not None and hasattr(policy, "item_theta"):
        own = list(getattr(policy.config, "item_features", ())) or list(columns)
        for item, values in zip(items.tolist(), policy.item_theta(items), strict=True):
            yield from _named(f"{prefix}item {item}", values, columns=own, dimension=dimension)


def _named(
    owner: str, values: FloatArray, *, columns: "range | list[int]", dimension: int
) -> Iterator[Coefficient]:
    for column, value in zip(columns, values.tolist(), strict=True):
        yield Coefficient(owner, feature_name(column, dimension=dimension), value)
