"""The assigner: equal to the batch hash, fair, independent layers, nobody changes arm."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from matinee_platform.assignment import BUCKETS, NO_ARM, assign, buckets
from matinee_platform.experiments.definition import HOLDOUT_ARM, LiveExperiment
from matinee_platform.experiments.errors import UnknownExperimentError
from matinee_platform.experiments.layers import (
    HELD_OUT,
    Assigner,
    Assignment,
    _packed_buckets,
    _packed_buckets_reference,
)
from matinee_platform.service.settings import Holdout
from matinee_policies.errors import ContextError

MILLION = 1_000_000


@pytest.fixture(scope="module")
def million() -> list[str]:
    return [f"user-{number}" for number in range(MILLION)]


def experiment(**changes: Any) -> LiveExperiment:
    arms = [
        {"name": "old", "bundle": "old", "weight": 0.5},
        {"name": "new", "bundle": "new", "weight": 0.3},
        {"name": "newer", "bundle": "newer", "weight": 0.2},
    ]
    return LiveExperiment.model_validate({"key": "home", "salt": "spring", "arms": arms, **changes})


@settings(deadline=None, max_examples=25)
@given(
    units=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), max_size=20),
    coverage=st.floats(0, 1),
    slice_=st.tuples(st.floats(0, 0.49), st.floats(0.5, 1)),
    held=st.floats(0, 1),
)
def test_one_unit_equals_the_batch(
    units: list[str], coverage: float, slice_: tuple[float, float], held: float
) -> None:
    one = experiment(coverage=coverage, layer="front", layer_slice=slice_)
    assigner = Assigner([one], Holdout(share=held))
    own, arms = assigner.assign_batch("home", units)
    weights = [arm.weight for arm in one.arms]
    plain = assign(units, salt="spring", weights=weights, coverage=coverage)
    layer = buckets(units, "layer:front") / BUCKETS
    holdout = buckets(units, "holdout:holdout") / BUCKETS
    names: dict[int, str | None] = {NO_ARM: None, HELD_OUT: HOLDOUT_ARM}
    names |= {place: arm.name for place, arm in enumerate(one.arms)}
    assert own.tolist() == buckets(units, "spring").tolist()
    for row, unit in enumerate(units):
        wanted = int(plain[row]) if slice_[0] <= layer[row] < slice_[1] else NO_ARM
        wanted = HELD_OUT if holdout[row] < held else wanted
        assert arms[row] == wanted
        assert assigner.assign("home", unit) == Assignment(int(own[row]), names[wanted])


@settings(deadline=None, max_examples=25)
@given(
    codes=st.lists(st.integers(0, 2**16 - 1), max_size=50),
    states=st.lists(st.integers(0, 2**32 - 1), min_size=3, max_size=3),
)
def test_kernel_equals_its_twin(codes: list[int], states: list[int]) -> None:
    array = np.frombuffer(np.array(codes, dtype="<u2").tobytes(), dtype="<u2")
    seeds = np.array(states, dtype=np.uint64)
    assert _packed_buckets(array, seeds) == _packed_buckets_reference(array, seeds)


def test_shares_of_a_million(million: list[str]) -> None:
    held, low, high, coverage = 0.03, 0.2, 0.7, 0.6
    one = experiment(coverage=coverage, layer="front", layer_slice=(low, high))
    _, arms = Assigner([one], Holdout(share=held)).assign_batch("home", million)
    shares = {HELD_OUT: held}
    for place, arm in enumerate(one.arms):
        shares[place] = (1 - held) * (high - low) * coverage * arm.weight
    for place, share in shares.items():
        found = np.count_nonzero(arms == place)
        assert abs(found - MILLION * share) < 4 * np.sqrt(MILLION * share * (1 - share))


def test_seeds_are_independent(million: list[str]) -> None:
    """Holdout, two layers and two experiments, pair by pair: a chi-square of deciles."""
    first = experiment(layer="front", key="one", salt="spring")
    seeds = ["holdout:holdout", "layer:front", "layer:back", first.salt, "summer"]
    deciles = [buckets(million, seed).astype(np.int64) // 1_000 for seed in seeds]
    for place, rows in enumerate(deciles):
        for columns in deciles[place + 1 :]:
            table = np.bincount(10 * rows + columns, minlength=100).reshape(10, 10)
            assert stats.chi2_contingency(table).pvalue > 1e-4


def test_arms_of_two_layers_are_independent(million: list[str]) -> None:
    pair = [experiment(key="home"), experiment(key="search", salt="search-1")]
    assigner = Assigner(pair, Holdout(share=0.05))
    (_, home), (_, search) = (assigner.assign_batch(one.key, million) for one in pair)
    assert np.array_equal(home == HELD_OUT, search == HELD_OUT)
    inside = home != HELD_OUT
    table = np.bincount(3 * home[inside].astype(np.int64) + search[inside], minlength=9)
    assert stats.chi2_contingency(table.reshape(3, 3)).pvalue > 1e-4


def test_slices_of_a_layer_share_nobody(million: list[str]) -> None:
    cuts = [0.0, 0.25, 1.0]
    parts = [
        experiment(key=f"part{number}", salt=f"part{number}", layer="front", layer_slice=cut)
        for number, cut in enumerate(itertools.pairwise(cuts))
    ]
    assigner = Assigner(parts, Holdout())
    inside = [assigner.assign_batch(one.key, million)[1] != NO_ARM for one in parts]
    assert (np.sum(inside, axis=0) == 1).all()


def test_ramping_moves_nobody(million: list[str]) -> None:
    before = np.full(MILLION, NO_ARM, dtype=np.int16)
    for coverage in (0.01, 0.3, 1.0):
        one = experiment(coverage=coverage, layer="front", layer_slice=(0.0, 0.8))
        _, arms = Assigner([one], Holdout(share=0.02)).assign_batch("home", million)
        inside = before != NO_ARM
        assert np.array_equal(arms[inside], before[inside])
        assert np.count_nonzero(arms != NO_ARM) > np.count_nonzero(inside)
        before = arms


def test_wrong_questions() -> None:
    assigner = Assigner([experiment()], Holdout())
    for ask in (assigner.assign, lambda key, unit: assigner.assign_batch(key, [unit])):
        with pytest.raises(UnknownExperimentError, match="'search'"):
            ask("search", "ada")
        with pytest.raises(ContextError, match="Unicode") as caught:
            ask("home", "half \ud800 canary")
        assert "canary" not in str(caught.value)
    with pytest.raises(ContextError):
        assigner.assign("home", 7)  # type: ignore[arg-type]
