"""What Vowpal Wabbit must be given, and would not refuse by itself."""

import numpy as np

from matinee_policies.arrays import AnyArray, FloatArray
from matinee_policies.config import check_whole
from matinee_policies.errors import ConfigError, ContextError
from matinee_policies.records import OutcomeBatch
from matinee_policies.vw_text import ACTION_NAMESPACE, CONTEXT_NAMESPACE

LARGEST_NUMBER = 1e6
"""Features and rewards beyond it are refused: the square of a product of three must stay finite in
Vowpal Wabbit's single precision."""


def check_numbers(name: str, numbers: AnyArray) -> None:
    """Refuse numbers that are not finite, or larger than `LARGEST_NUMBER`."""
    bad = ~(np.abs(numbers) <= LARGEST_NUMBER)
    if bad.any():
        raise ContextError(
            f"{name} must be finite and within {LARGEST_NUMBER:g}, got {numbers[bad][0]}"
        )


def check_dimension(got: int, dimension: int) -> None:
    """Refuse features of another dimension."""
    if got != dimension:
        raise ContextError(f"features must have dimension {dimension}, got {got}")


def check_outcomes(outcomes: OutcomeBatch) -> None:
    """Refuse outcomes that Vowpal Wabbit would learn nonsense from.

    Raises:
        ContextError: on a feature or reward of a shown slot that is not finite or too large, or a
            propensity outside (0, 1].
    """
    check_numbers("features of shown slots", outcomes.features[outcomes.shown])
    check_numbers("rewards of shown slots", outcomes.rewards[outcomes.shown])
    propensities: FloatArray = outcomes.propensities[outcomes.shown]
    bad = ~((propensities > 0.0) & (propensities <= 1.0))
    if bad.any():
        raise ContextError(
            f"propensities of shown slots must be in (0, 1], got {propensities[bad][0]}"
        )


def check_columns(columns: tuple[int, ...]) -> None:
    """Refuse columns of features that are no distinct numbers from 0 on."""
    for column in columns:
        check_whole("context_features", column, low=0)
    if len(set(columns)) < len(columns):
        raise ConfigError(f"context_features must be distinct, got {list(columns)}")


def check_columns_fit(columns: tuple[int, ...], dimension: int) -> None:
    """Refuse columns that features of this dimension do not have."""
    if any(column >= dimension for column in columns):
        raise ConfigError(
            f"context_features must be below the dimension {dimension}, got {max(columns)}"
        )


def check_interactions(
    interactions: tuple[str, ...], *, namespaces: str, has_context: bool
) -> None:
    """Refuse interactions of other namespaces, of empty ones, and doubled ones."""
    for names in interactions:
        if not isinstance(names, str) or len(names) not in (2, 3) or set(names) - set(namespaces):
            raise ConfigError(
                f"interactions must be two or three letters of {namespaces!r}, got {names!r}"
            )
        if CONTEXT_NAMESPACE in names and not has_context:
            raise ConfigError(f"interactions of 'c' need context_features, got {names!r}")
    if len({"".join(sorted(names)) for names in interactions}) < len(interactions):
        raise ConfigError(f"interactions must be distinct, got {list(interactions)}")


BOTH_NAMESPACES = ACTION_NAMESPACE + CONTEXT_NAMESPACE
"""Of actions and contexts."""
