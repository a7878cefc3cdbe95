"""What is shown when a policy may not choose, or cannot: the order of the candidates.

Pinned items stand at their slots and excluded ones are left out, as on every page of the arm. There
is nothing random in it: each propensity is 1.
"""

from collections.abc import Sequence

import numpy as np

from matinee_platform.serving.work import Chosen
from matinee_policies.arrays import IndexArray
from matinee_policies.records import PAD, ContextBatch, SlateBatch

RAISED = "raised"
"""The policy raised."""

INVALID = "invalid"
"""The policy gave no valid slate: another type or shape, NaN, a propensity outside (0, 1]."""

LATE = "late"
"""The policy did not answer within the budget."""

HUNG = "hung"
"""The policy had not come back from an earlier call."""

STATE = "state"
"""What is known of the unit could not be read in time."""

REASONS = (RAISED, INVALID, LATE, HUNG, STATE)
"""Every reason, for metrics."""


def default_slates(contexts: ContextBatch, *, slots: int) -> SlateBatch:
    """The first candidates of each decision that may be shown, in their order.

    Args:
        contexts: as the policy would see them, pins and eligibility among them.
        slots: length `L`.
    """
    candidates = contexts.candidates
    n, K = candidates.shape
    if contexts.eligible is None and contexts.pinned is None and slots <= K:
        items = np.ascontiguousarray(candidates[:, :slots])
        places = np.arange(slots, dtype=np.int32)
        positions = np.where(items == PAD, np.int32(PAD), places).astype(np.int32)
    else:
        positions = np.full((n, slots), PAD, dtype=np.int32)
        for row in range(n):
            positions[row] = _positions(contexts, row, slots)
        chosen = np.take_along_axis(candidates, np.maximum(positions, 0), axis=1)
        items = np.where(positions == PAD, np.int32(PAD), chosen).astype(np.int32)
    return SlateBatch(positions=positions, items=items, propensities=np.ones((n, slots)))


def together(parts: Sequence[SlateBatch | str], instead: SlateBatch, *, version: int) -> Chosen:
    """Slates that a policy chose one by one, and others where it did not.

    Args:
        parts: a slate each, or why there is none.
        instead: those to show where there is none, changed in place.
        version: of the snapshot that was asked.
    """
    base = np.full(len(parts), -1, dtype=np.int8)
    share = np.ones(len(parts))
    for row, part in enumerate(parts):
        if isinstance(part, str):
            continue
        instead.positions[row], instead.items[row] = part.positions[0], part.items[0]
        instead.propensities[row] = part.propensities[0]
        if part.base is not None and part.base_propensity is not None:
            base[row], share[row] = part.base[0], part.base_propensity[0]
    slates = instead
    if (base >= 0).any():
        slates = SlateBatch(
            instead.positions, instead.items, instead.propensities, base=base, base_propensity=share
        )
    return Chosen(slates, version, [one if isinstance(one, str) else None for one in parts])


def is_valid(slates: object, contexts: ContextBatch, *, slots: int) -> bool:
    """Whether slates have the form that a log needs: types, shapes and propensities in (0, 1]."""
    if not isinstance(slates, SlateBatch):
        return False
    shape = (len(contexts), slots)
    positions, items, propensities = slates.positions, slates.items, slates.propensities
    for array, dtype in ((positions, np.int32), (items, np.int32), (propensities, np.float64)):
        if not isinstance(array, np.ndarray) or array.dtype != dtype or array.shape != shape:
            return False
    # NaN fails every comparison.
    if not (propensities.min() > 0.0 and propensities.max() <= 1.0):
        return False
    return bool(positions.min() >= PAD and positions.max() < contexts.candidates.shape[1])


def _positions(contexts: ContextBatch, row: int, slots: int) -> IndexArray:
    positions = np.full(slots, PAD, dtype=np.int32)
    is_open = contexts.candidates[row] != PAD
    if contexts.eligible is not None:
        is_open &= contexts.eligible[row]
    if contexts.pinned is not None:
        pins = contexts.pinned[row][:slots]
        positions[: pins.size] = pins
        # A pin beyond the last slot reserves nothing, as in the sampler of policies.
        is_open[pins[pins != PAD]] = False
    free = np.flatnonzero(positions == PAD)
    left = np.flatnonzero(is_open)[: free.size]
    positions[free[: left.size]] = left
    return positions
