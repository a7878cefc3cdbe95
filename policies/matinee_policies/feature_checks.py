"""Refusals of features that a regression cannot read."""

import numpy as np

from matinee_policies.arrays import Float32Array, FloatArray
from matinee_policies.errors import ContextError
from matinee_policies.records import OutcomeBatch


def check_dimension(features: Float32Array, dimension: int) -> None:
    """Refuse features, `float32 [n, K, d]`, of another dimension.

    Raises:
        ContextError: with both dimensions.
    """
    if features.shape[2] != dimension:
        raise ContextError(f"features must have dimension {dimension}, got {features.shape[2]}")


def check_shown(outcomes: OutcomeBatch) -> None:
    """Refuse features that are not finite where something was shown.

    Raises:
        ContextError: with the first of them.
    """
    shown = outcomes.features[outcomes.shown]
    bad = ~np.isfinite(shown)
    if bad.any():
        raise ContextError(f"features of shown slots must be finite, got {shown[bad][0]}")


def check_sums(outcomes: OutcomeBatch, *sums: FloatArray) -> None:
    """Refuse sums that outcomes have made infinite; cheaper than to look at every feature.

    A feature that is not finite spoils the sums that it enters, whatever its reward.

    Raises:
        ContextError: with the first feature that is not finite, if one is to blame.
    """
    if not all(np.isfinite(part).all() for part in sums):
        check_shown(outcomes)
        raise ContextError("features and rewards must be of moderate size, got sums that overflow")
