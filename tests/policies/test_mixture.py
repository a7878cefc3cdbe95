"""The law of a mixture against its formula, exact fractions and frequencies."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from scipy.stats import chi2

from matinee_policies.arrays import FloatArray, IndexArray
from matinee_policies.mixture import (
    BASE_COUNTER,
    draw_bases,
    draw_bases_reference,
    mixture_propensities,
    mixture_propensities_reference,
)
from matinee_policies.philox import uniform
from matinee_policies.records import PAD
from matinee_policies.testing_data import example_keys


def made_up(
    seed: int, *, bases: int = 3, decisions: int = 60, slots: int = 6
) -> tuple[FloatArray, FloatArray, IndexArray]:
    """Laws with zeros among them, weights, and slates that end in padding."""
    rng = np.random.default_rng(seed)
    laws = rng.random((bases, decisions, slots))
    laws[rng.random(laws.shape) < 0.15] = 0.0
    laws[:, 5, 2] = 0.0
    weights = rng.dirichlet(np.ones(bases))
    positions = rng.integers(0, 9, size=(decisions, slots)).astype(np.int32)
    positions[6:][np.arange(slots) >= rng.integers(0, slots + 1, size=(decisions - 6, 1))] = PAD
    laws[:, positions == PAD] = 1.0
    return laws, weights, positions


@pytest.mark.parametrize("bases", [2, 3, 16])
def test_the_kernel_equals_its_twin(bases: int) -> None:
    laws, weights, positions = made_up(bases, bases=bases)
    mixed = mixture_propensities(laws, weights, positions)
    expected = mixture_propensities_reference(laws, weights, positions)
    np.testing.assert_allclose(mixed, expected, rtol=1e-13, atol=0)
    assert (mixed[positions == PAD] == 1.0).all()
    assert (mixed[positions != PAD] == 0.0).any()


def test_propensities_equal_exact_fractions() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        parts = [[Fraction(int(n), 97) for n in row] for row in rng.integers(0, 98, size=(3, 4))]
        weights = [Fraction(1, 2), Fraction(1, 3), Fraction(1, 6)]
        joint = [weights]
        for slot in range(4):
            joint.append([before * parts[j][slot] for j, before in enumerate(joint[-1])])
        sums = [sum(row) for row in joint]
        expected = [
            float(after / before) if before else 0.0 for before, after in itertools.pairwise(sums)
        ]
        got = mixture_propensities(
            np.array(parts, dtype=np.float64)[:, None],
            np.array(weights, dtype=np.float64),
            np.zeros((1, 4), dtype=np.int32),
        )
        np.testing.assert_allclose(got[0], expected, rtol=1e-13, atol=0)


def test_long_unlikely_slates_keep_their_law() -> None:
    """Products of 1e-30 over 30 slots are far below the smallest number."""
    laws = np.full((2, 1, 31), 1e-30)
    laws[1] = 1e-31
    laws[:, 0, 30] = [0.25, 0.75]
    slates = np.arange(31, dtype=np.int32)[None]
    mixed = mixture_propensities(laws, np.array([0.5, 0.5]), slates)[0]
    # After 30 slots the odds are 1 to 1e-30.
    np.testing.assert_allclose(mixed[[0, 29, 30]], [0.55e-30, 1e-30, 0.25], rtol=1e-12)
    assert np.isfinite(mixed).all()


def test_a_base_that_cannot_have_shown_the_prefix_drops_out() -> None:
    laws = np.array([[[0.5, 0.0, 0.3, 0.3]], [[0.5, 0.5, 0.2, 0.2]]])
    slates = np.arange(4, dtype=np.int32)[None]
    mixed = mixture_propensities(laws, np.array([0.5, 0.5]), slates)[0]
    np.testing.assert_allclose(mixed, [0.5, 0.25, 0.2, 0.2], rtol=1e-15)
    laws[1, 0, 2] = 0.0
    mixed = mixture_propensities(laws, np.array([0.5, 0.5]), slates)[0]
    np.testing.assert_allclose(mixed, [0.5, 0.25, 0.0, 0.0], rtol=1e-15)


def test_a_slot_that_only_some_bases_leave_empty_is_no_certainty() -> None:
    """Base 0 stops after one item; base 1 has two more. All slates together: probability 1."""
    weights = np.array([0.25, 0.75])
    slates = np.array([[0, PAD, PAD], [0, 1, 2], [0, 2, 1]], dtype=np.int32)
    laws = np.array(
        [
            [[1.0, 1.0, 1.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]],
            [[0.5, 0.0, 1.0], [0.5, 0.9, 1.0], [0.5, 0.1, 1.0]],
        ]
    )
    mixed = mixture_propensities(laws, weights, slates)
    np.testing.assert_allclose(mixed[0], [0.625, 0.4, 1.0], rtol=1e-15)
    # The other slates begin with 1 or 2: half of base 1.
    assert mixed.prod(axis=1).sum() == pytest.approx(1.0 - 0.375, rel=1e-14)
    np.testing.assert_allclose(mixed, mixture_propensities_reference(laws, weights, slates))


def test_certain_slots_are_certain_to_the_last_bit() -> None:
    laws, weights, _ = made_up(2, bases=7)
    laws[:, :, 1::2] = 1.0
    laws[:, :, 0::2] = np.maximum(laws[:, :, 0::2], 0.01)
    mixed = mixture_propensities(laws, weights, np.zeros(laws.shape[1:], dtype=np.int32))
    assert (mixed[:, 1::2] == 1.0).all()
    assert (mixed <= 1.0).all()


def test_bits_do_not_depend_on_the_batch() -> None:
    laws, weights, positions = made_up(3, bases=5)
    whole = mixture_propensities(laws, weights, positions)
    for row in range(len(positions)):
        alone = mixture_propensities(laws[:, row : row + 1], weights, positions[row : row + 1])
        np.testing.assert_array_equal(alone[0], whole[row])


def test_read_only_arrays_give_the_same() -> None:
    laws, weights, positions = made_up(4)
    expected = mixture_propensities(laws, weights, positions)
    for part in (laws, weights, positions):
        part.flags.writeable = False
    np.testing.assert_array_equal(mixture_propensities(laws, weights, positions), expected)


def test_bases_are_drawn_as_by_the_twin() -> None:
    weights = np.array([0.1, 0.2, 0.7])
    keys = example_keys(500)
    drawn = draw_bases(weights, keys)
    assert drawn.dtype == np.int8
    np.testing.assert_array_equal(drawn, draw_bases_reference(weights, keys))


def test_a_sum_just_below_one_still_draws_a_base() -> None:
    keys = example_keys(200)
    drawn = draw_bases(np.array([1e-12, 1e-12]), keys)
    np.testing.assert_array_equal(drawn, draw_bases_reference(np.array([1e-12, 1e-12]), keys))
    assert set(drawn.tolist()) == {1}


@pytest.mark.parametrize("slot", [0, 1, 9])
def test_bases_are_drawn_by_their_weights_whatever_a_slot_draws(slot: int) -> None:
    """Chi-square of base by tenth of the slot's uniform number: p > 1e-4."""
    n = 100_000
    weights = np.array([0.05, 0.3, 0.65])
    keys = example_keys(n)
    drawn = draw_bases(weights, keys)
    numbers = np.array([uniform(key, np.uint64(slot), np.uint64(0)) for key in keys])
    tenths = (numbers * 10).astype(int)
    expected = weights[:, None] * np.full(10, n / 10)
    observed = np.zeros((3, 10))
    np.add.at(observed, (drawn, tenths), 1.0)
    statistic = ((observed - expected) ** 2 / expected).sum()
    assert chi2.sf(statistic, 29) > 1e-4
    assert np.uint64(slot) != BASE_COUNTER
