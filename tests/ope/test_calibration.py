"""Are propensities the law of the draws? Honest logs pass, falsified ones do not."""

import math

import numpy as np
import pytest
from scipy import stats

from matinee_platform.ope.calibration import Calibration, CalibrationSums
from matinee_platform.ope.draw_cells import CELLS, EDGES, add_draws, add_draws_reference
from matinee_platform.ope.refusal import WARN_CALIBRATION, Verdict
from matinee_policies.arrays import FloatArray, Int64Array
from matinee_policies.errors import ContextError

LOGS = 300


def drawn(rng: np.random.Generator, laws: FloatArray) -> Int64Array:
    below = (laws.cumsum(axis=1) < rng.random((len(laws), 1))).sum(axis=1)
    picks: Int64Array = np.minimum(below, laws.shape[1] - 1).astype(np.int64)
    return picks


def tempered(laws: FloatArray, power: float) -> FloatArray:
    sharp = laws**power
    law: FloatArray = sharp / sharp.sum(axis=1, keepdims=True)
    return law


def told(laws: FloatArray, chosen: Int64Array) -> Calibration:
    sums = CalibrationSums()
    sums.add(laws, chosen)
    return sums.found()


def warned(found: Calibration) -> bool:
    return bool(Verdict().with_draws(found).warned)


def test_the_kernel_counts_as_its_twin() -> None:
    rng = np.random.default_rng(1)
    laws = rng.dirichlet(np.full(23, 0.1), size=60)
    laws[:10] = np.eye(23)[:10]
    laws[10, :] = np.repeat([EDGES[3], 1 - EDGES[3]], [1, 1]).tolist() + [0] * 21
    chosen = laws.argmax(axis=1).astype(np.int64)
    chosen[::7] = -1
    sums = np.zeros((2, CELLS)), np.zeros((2, CELLS)), np.zeros((2, CELLS, CELLS))
    assert add_draws(laws, chosen, EDGES, *sums) == (chosen >= 0).sum()
    for mine, theirs in zip(sums, add_draws_reference(laws, chosen), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-15)


def test_one_law_for_all_rows_is_pearsons_chi_square() -> None:
    law = np.array([0.05, 0.15, 0.3, 0.5])
    chosen = np.random.default_rng(5).choice(4, p=law, size=1_000)
    found = told(np.tile(law, (1_000, 1)), chosen).versions[0]
    statistic, p_value = stats.chisquare(np.bincount(chosen, minlength=4), 1_000 * law)
    for test in (found.by_propensity, found.by_place):
        assert test.freedom == 3
        assert test.statistic == pytest.approx(statistic)
        assert test.p_value == pytest.approx(p_value)
    assert found.p_value == pytest.approx(min(1.0, 2 * p_value))


def honest_and_tempered(
    seed: int, *, rows: int, power: float
) -> tuple[FloatArray, Int64Array, Int64Array]:
    """Laws that differ by row, draws from them and draws from tempered ones."""
    rng = np.random.default_rng([7, seed])
    laws = rng.dirichlet(np.full(12, 0.7), size=rows)
    return laws, drawn(rng, laws), drawn(rng, tempered(laws, power))


def test_honest_logs_are_not_accused() -> None:
    """Each test's p-values are uniform (Kolmogorov-Smirnov, p > 1e-4); false alarms within 4 sigma
    of what the tests allow, which together is an upper bound."""
    found = [told(*honest_and_tempered(seed, rows=800, power=1)[:2]) for seed in range(LOGS)]
    for name in ("by_propensity", "by_place"):
        p_values = [getattr(one.versions[0], name).p_value for one in found]
        assert stats.kstest(p_values, "uniform").pvalue > 1e-4
    for level in (0.05, 0.01):
        share = np.mean([float(one.p_value or 0) < level for one in found])
        assert share < level + 4 * math.sqrt(level * (1 - level) / LOGS)
    assert not any(warned(one) for one in found)


@pytest.mark.parametrize("power", [1 / 1.1, 1.1])
def test_laws_that_are_tempered_by_a_tenth_are_found(power: float) -> None:
    """20,000 draws from laws that are sharper or flatter than what is logged: each of 8 logs."""
    for seed in range(8):
        laws, honest, forged = honest_and_tempered(seed, rows=20_000, power=power)
        assert not warned(told(laws, honest))
        assert warned(told(laws, forged))


def test_the_version_whose_propensities_are_not_its_law_is_named() -> None:
    sums = CalibrationSums()
    for version in (3, 9):
        laws, honest, forged = honest_and_tempered(version, rows=6_000, power=1.3)
        for rows in np.split(np.arange(6_000), 3):
            sums.add(laws[rows], (forged if version == 9 else honest)[rows], version=version)
    found = sums.found()
    good, bad = (one.p_value for one in found.versions)
    assert good is not None
    assert bad is not None
    assert good > WARN_CALIBRATION > bad
    assert found.worst == 9
    (reason,) = Verdict().with_draws(found).warned
    assert (reason.rule, reason.limit) == ("calibration", WARN_CALIBRATION)
    assert "not the law of the draws of version 9 (chi-square, p = " in reason.words


def test_versions_too_small_to_tell_alone_are_told_together() -> None:
    laws, honest, forged = honest_and_tempered(4, rows=20_000, power=1.2)
    for chosen, is_bad in ((honest, False), (forged, True)):
        sums = CalibrationSums()
        for version, rows in enumerate(np.split(np.arange(20_000), 400)):
            sums.add(laws[rows], chosen[rows], version=version)
        found = sums.found()
        assert warned(found) is is_bad
        assert found.worst is None or not is_bad


def test_small_propensities_that_are_too_small_are_found() -> None:
    """A floor that is logged at half of what it is: little mass, but the largest weights."""
    law = np.array([0.002, 0.002, 0.496, 0.5])
    real = np.array([0.004, 0.004, 0.492, 0.5])
    chosen = np.random.default_rng(9).choice(4, p=real, size=20_000)
    found = told(np.tile(law, (20_000, 1)), chosen)
    assert found.versions[0].by_propensity.expected[0] == pytest.approx(80)
    assert warned(found)


def test_a_law_that_says_all_are_alike_is_held_against_places() -> None:
    rng = np.random.default_rng(2)
    laws = np.full((20_000, 34), 1 / 34)
    assert not warned(told(laws, rng.integers(34, size=20_000)))
    first = rng.choice(34, p=tempered(np.arange(34, 0, -1.0)[None], 0.1)[0], size=20_000)
    found = told(laws, first)
    assert found.versions[0].by_propensity.freedom == 0
    assert warned(found)


def test_certain_draws_are_no_doubt() -> None:
    laws = np.tile([1.0, 0.0], (50, 1))
    found = told(laws, np.zeros(50, dtype=np.int64))
    assert (found.method, found.p_value, warned(found)) == ("none", None, False)
    nothing = CalibrationSums().found()
    assert (nothing.method, nothing.p_value, nothing.versions) == ("none", None, ())


@pytest.mark.parametrize(
    ("laws", "chosen", "rule"),
    [
        (np.full((3, 2), 1.0), np.zeros(3), "sum to 1"),
        (np.array([[1.5, -0.5]]), np.zeros(1), "sum to 1"),
        (np.full((3, 2), 0.5), np.full(3, 2), "choices must be below 2"),
        (np.full((3, 2), 0.5), np.zeros(2), r"laws must be \[n, K\]"),
        (np.tile([1.0, 0.0], (2, 1)), np.arange(2), "propensity above 0"),
    ],
)
def test_what_is_no_law_is_refused(laws: FloatArray, chosen: FloatArray, rule: str) -> None:
    with pytest.raises(ContextError, match=rule):
        CalibrationSums().add(laws, chosen.astype(np.int64))


def even(propensities: FloatArray, candidates: int) -> Calibration:
    sums, n = CalibrationSums(), len(propensities)
    for rows in np.array_split(np.arange(n), 3):
        p = propensities[rows][:, None]
        sums.add_even(p, np.ones_like(p, dtype=bool), np.full(rows.size, candidates))
    return sums.found()


def test_without_whole_laws_the_weight_of_an_even_choice_is_one() -> None:
    """False alarms at 1 % within 4 sigma above; its mean and error are those of the weights."""
    rng, alarms = np.random.default_rng(8), 0
    for _ in range(LOGS):
        laws = 0.5 * rng.dirichlet(np.ones(5), size=500) + 0.1
        p = laws[np.arange(500), drawn(rng, laws)]
        found = even(p, 5)
        assert found.method == "even weight"
        assert not warned(found)
        alarms += float(found.p_value or 0) < 0.01
    assert found.even.mean == pytest.approx((1 / (5 * p)).mean())
    assert found.even.error == pytest.approx((1 / (5 * p)).std(ddof=1) / math.sqrt(500))
    assert alarms / LOGS < 0.01 + 4 * math.sqrt(0.01 * 0.99 / LOGS)


def test_propensities_that_are_smaller_than_the_shares_drawn_are_found() -> None:
    rng = np.random.default_rng(3)
    laws = rng.dirichlet(np.full(5, 3.0), size=20_000)
    # Drawn from what is flatter than logged: the rare are drawn too often.
    p = laws[np.arange(20_000), drawn(rng, tempered(laws, 0.9))]
    found = even(p, 5)
    (reason,) = Verdict().with_draws(found).warned
    assert reason.words.startswith("mean weight of an even choice is 1.")
    # Items that could not be drawn make it less than 1, which accuses nobody.
    assert not warned(even(np.full(9_000, 0.25), 8))
    # All alike: exact.
    assert even(np.full(9, 0.25), 4).p_value == 1.0
    assert even(np.full(9, 0.2), 4).p_value == 0.0
