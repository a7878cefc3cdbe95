"""Quantiles by the bootstrap over units: exact laws, scipy and coverage by simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from matinee_platform.analysis.inference import quantile as module
from matinee_platform.analysis.inference.quantile import (
    quantile_difference,
    resampled_quantiles,
    row_quantile_difference,
)
from matinee_policies.arrays import AnyArray, FloatArray
from matinee_policies.errors import ConfigError, ContextError


@pytest.mark.parametrize(("n", "wanted"), [(1, 0.5), (7, 0.5), (10, 0.25), (30, 0.9), (30, 0.99)])
def test_a_shortcut_has_the_law_of_plain_resampling(n: int, wanted: float) -> None:
    rng = np.random.default_rng(n)
    values = np.sort(rng.normal(size=n))
    found = resampled_quantiles(values, quantile=wanted, resamples=20_000, generator=rng)
    plain = np.quantile(values[rng.integers(0, n, size=(20_000, n))], wanted, axis=1)
    if n == 1:
        assert (found == values[0]).all()
        return
    edges = np.unique(np.quantile(plain, np.linspace(0, 1, 12)[1:-1]))
    # Both laws are discrete or nearly so: counts by cell, a hair beside the edges.
    cells = [
        np.bincount(np.searchsorted(edges + 1e-12, x), minlength=edges.size + 1)
        for x in (found, plain)
    ]
    table = np.array(cells)
    assert stats.chi2_contingency(table[:, table.sum(axis=0) > 0]).pvalue > 1e-4


def test_the_interval_is_near_that_of_scipy() -> None:
    rng = np.random.default_rng(61)
    treatment, control = rng.gamma(2.0, 1.2, size=400), rng.gamma(2.0, 1.0, size=500)
    found = quantile_difference(treatment, control, quantile=0.5, seed=1, resamples=20_000)
    peer = stats.bootstrap(
        (treatment, control),
        lambda x, y, axis: np.median(x, axis=axis) - np.median(y, axis=axis),
        n_resamples=5_000,
        batch=500,
        method="percentile",
        rng=np.random.default_rng(62),
    )
    assert found.difference == pytest.approx(np.median(treatment) - np.median(control), rel=1e-12)
    # The two differ by their draws: a tail quantile of 5,000 has an error of some 4 %.
    assert found.low == pytest.approx(peer.confidence_interval.low, abs=0.12 * found.standard_error)
    assert found.high == pytest.approx(
        peer.confidence_interval.high, abs=0.12 * found.standard_error
    )
    assert found.standard_error == pytest.approx(peer.standard_error, rel=0.05)
    assert (found.p_value < 0.05) == (found.low > 0 or found.high < 0)
    lift = np.median(treatment) / np.median(control) - 1
    assert found.relative == pytest.approx(lift, rel=1e-12)
    assert found.relative_low < lift < found.relative_high


def test_medians_are_covered_as_promised() -> None:
    rng = np.random.default_rng(63)
    runs, covered = 1_500, 0
    for seed in range(runs):
        found = quantile_difference(
            rng.exponential(1.5, size=150),
            rng.exponential(1.0, size=200),
            quantile=0.5,
            seed=seed,
            resamples=1_000,
        )
        covered += found.low < 0.5 * math.log(2) < found.high
    # S3: within 93 and 97 %.
    assert 0.93 <= covered / runs <= 0.97


def pages(seed: int, *, units: int) -> tuple[FloatArray, AnyArray]:
    """Delays of pages that differ more between units than within one."""
    rng = np.random.default_rng(seed)
    unit = np.repeat(np.arange(units), rng.poisson(6, size=units) + 1)
    slow = rng.normal(size=units)
    return np.exp(slow[unit] + 0.3 * rng.normal(size=unit.size)), unit


def test_rows_of_a_unit_are_not_taken_as_independent() -> None:
    runs, covered, naive = 120, 0, 0
    for seed in range(runs):
        treatment, control = pages(seed, units=150), pages(seed + runs, units=150)
        found = row_quantile_difference(treatment, control, quantile=0.5, seed=seed, resamples=300)
        covered += found.low < 0 < found.high
        one = quantile_difference(treatment[0], control[0], quantile=0.5, seed=seed, resamples=300)
        naive += one.low < 0 < one.high
    assert abs(covered / runs - 0.95) < 4 * math.sqrt(0.95 * 0.05 / runs)
    assert naive / runs < 0.75


def test_rows_of_one_each_are_units() -> None:
    rng = np.random.default_rng(64)
    values = rng.normal(size=300), rng.normal(size=300)
    rows = [(column, np.arange(300)) for column in values]
    found = row_quantile_difference(rows[0], rows[1], quantile=0.3, seed=1, resamples=4_000)
    expected = quantile_difference(*values, quantile=0.3, seed=2, resamples=4_000)
    assert found.treatment == np.quantile(values[0], 0.3, method="inverted_cdf")
    assert found.standard_error == pytest.approx(expected.standard_error, rel=0.1)


def test_batches_do_not_change_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    arms = pages(1, units=40), pages(2, units=40)
    settings = {"quantile": 0.9, "seed": 7, "resamples": 100}
    found = row_quantile_difference(*arms, **settings)  # type: ignore[arg-type]
    monkeypatch.setattr(module, "BATCH_BYTES", 1)
    assert row_quantile_difference(*arms, **settings) == found  # type: ignore[arg-type]


def test_the_seed_decides_the_draws() -> None:
    values = np.random.default_rng(65).normal(size=(2, 50))
    first, again, other = (
        quantile_difference(values[0], values[1], quantile=0.5, seed=seed) for seed in (1, 1, 2)
    )
    assert first == again
    assert first.low != other.low


def test_too_few_units_are_told() -> None:
    found = quantile_difference(np.ones(1), np.ones(5), quantile=0.5, seed=1)
    assert found.reason == "treatment has 1 unit, an interval needs 2"
    rows = (np.arange(4.0), np.zeros(4, dtype=np.int64))
    found = row_quantile_difference(rows, rows, quantile=0.5, seed=1)
    assert found.reason == "treatment has 1 unit, an interval needs 2"
    none = (np.zeros(0), np.zeros(0, dtype=np.int64))
    empty = row_quantile_difference(pages(1, units=9), none, quantile=0.5, seed=1)
    assert empty.reason == "control has 0 units, an interval needs 2"
    same = quantile_difference(np.ones(5), np.ones(5), quantile=0.5, seed=1)
    assert (same.low, same.high, same.p_value) == (0.0, 0.0, 1.0)
    assert math.isnan(
        quantile_difference(np.zeros(5), np.zeros(5), quantile=0.5, seed=1).relative_low
    )


def test_bad_settings_are_refused() -> None:
    values = np.ones(3)
    with pytest.raises(ConfigError, match="quantile must be < 1, got 1"):
        quantile_difference(values, values, quantile=1.0, seed=1)
    with pytest.raises(ConfigError, match="resamples must be"):
        quantile_difference(values, values, quantile=0.5, seed=1, resamples=99)
    with pytest.raises(ConfigError, match="seed of the bootstrap"):
        quantile_difference(values, values, quantile=0.5, seed=-1)
    with pytest.raises(ContextError, match="got 3 rows, 2 units"):
        row_quantile_difference((values, np.zeros(2)), (values, np.zeros(3)), quantile=0.5, seed=1)
