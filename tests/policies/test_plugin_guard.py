"""Slots that caps, eligibility and pins leave empty are no fault of a policy; others are."""

from dataclasses import replace

import numpy as np
import pytest

from matinee_policies.errors import ConfigError
from matinee_policies.plugin_guard import check_slates
from matinee_policies.records import SlateBatch
from matinee_policies.testing_data import example_contexts


def _check(
    positions: list[int],
    *,
    capped: bool = False,
    eligible: list[bool] | None = None,
    pinned: list[int] | None = None,
) -> None:
    contexts = replace(
        example_contexts(5, decisions=1, candidates=4, dimension=2),
        eligible=None if eligible is None else np.array([eligible]),
        pinned=None if pinned is None else np.array([pinned], dtype=np.int32),
    )
    places = np.array([positions], dtype=np.int32)
    items = np.where(places < 0, -1, contexts.candidates[0][places]).astype(np.int32)
    slates = SlateBatch(places, items, np.ones(places.shape))
    check_slates(slates, contexts, slots=len(positions), capped=capped)


@pytest.mark.parametrize("positions", [[2, -1, 0], [-1, -1, -1], [1, 2, 3], [-1, 3, -1]])
def test_caps_may_leave_any_slot_empty(positions: list[int]) -> None:
    _check(positions, capped=True)


@pytest.mark.parametrize("positions", [[2, -1, 0], [1, 2, -1], [-1, -1, -1]])
def test_without_caps_a_slot_is_empty_only_when_candidates_have_run_out(
    positions: list[int],
) -> None:
    with pytest.raises(ConfigError, match="positions must be those of candidates, then -1"):
        _check(positions)


def test_only_eligible_candidates_count() -> None:
    eligible = [True, False, True, False]
    _check([2, 0, -1], eligible=eligible)
    for wrong in ([2, 1, -1], [2, 0, 3], [2, -1, -1], [2, -1, 0]):
        with pytest.raises(ConfigError, match="positions must be those"):
            _check(wrong, eligible=eligible)


def test_a_pin_may_stand_below_empty_slots() -> None:
    eligible = [True, False, True, False]
    _check([2, -1, 0], eligible=eligible, pinned=[-1, -1, 0])
    with pytest.raises(ConfigError, match="positions must be those"):
        _check([-1, -1, 0], eligible=eligible, pinned=[-1, -1, 0])
