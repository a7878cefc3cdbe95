"""Every estimator against its closed form in numpy, and IPS and SNIPS against vw-estimators."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from estimators.bandits import gaussian, ips, snips

from matinee_platform.ope.estimates import Estimate, estimates
from matinee_platform.ope.records import LoggedBatch
from matinee_platform.ope.row_columns import weights_reference
from matinee_platform.ope.slot_sums import EstimatorPlan, SlotSums
from matinee_platform.ope.testing_logs import make_log, mean_and_error, parts_of
from matinee_platform.ope.unit_sums import UnitSums
from matinee_platform.ope.weight_grid import GridPoint, default_grid
from matinee_policies.arrays import AnyArray, FloatArray
from matinee_policies.errors import ConfigError, ContextError

PLAIN = EstimatorPlan()


def said(
    log: LoggedBatch, plan: EstimatorPlan = PLAIN, *, buckets: int | str | None = "none"
) -> dict[tuple[str, int | None, float | None], Estimate]:
    """Estimates of a log by name, slot and hyper-parameter."""
    sums = SlotSums(plan)
    sums.add(log)
    units = None
    if not isinstance(buckets, str):
        units = UnitSums(plan, buckets=buckets)
        units.add(log)
    return {(e.name, e.slot, e.hyper_parameter): e for e in estimates(sums, units=units)}


@pytest.mark.parametrize("hundred", range(10))
def test_ips_and_snips_are_those_of_vw_estimators(hundred: int) -> None:
    for seed in range(100 * hundred, 100 * hundred + 100):
        compare_with_vw_estimators(seed)


def compare_with_vw_estimators(seed: int) -> None:
    rng = np.random.default_rng(seed)
    log = make_log(seed, n=int(rng.integers(2, 40)), slots=1, model=False)
    plain, normal, interval = ips.Estimator(), snips.Estimator(), gaussian.Interval()
    for p, r, q in zip(log.logged.flat, log.rewards.flat, log.target.flat, strict=True):
        plain.add_example(p, r, q)
        normal.add_example(p, r, q)
        interval.add_example(p, r, q)
    ours = said(log)
    assert ours["ips", 0, None].value == pytest.approx(plain.get(), rel=1e-9, abs=1e-12)
    other = normal.get()
    if other is not None:
        assert ours["snips", 0, None].value == pytest.approx(other, rel=1e-9, abs=1e-12)
    low, high = interval.get(alpha=0.3173105078629141)
    error = ours["ips", 0, None].standard_error
    assert error == pytest.approx((high - low) / 2, rel=1e-9, abs=1e-12)


def ratio_error(numerator: AnyArray, weight: AnyArray) -> float:
    """Delta method of `sum numerator / sum weight` over rows."""
    residual = (numerator - numerator.sum() / weight.sum() * weight) / weight.mean()
    return mean_and_error(residual)[1]


@pytest.mark.parametrize("seed", range(20))
def test_every_estimator_of_a_slot_is_its_closed_form(seed: int) -> None:
    log = make_log(seed, n=150, slots=2)
    assert log.predicted is not None
    assert log.expected is not None
    grid = default_grid(model=True)
    ours = said(log, EstimatorPlan("slot", grid))
    for slot in range(2):
        w = log.target[:, slot] / log.logged[:, slot]
        r, q, e = log.rewards[:, slot], log.predicted[:, slot], log.expected[:, slot]
        terms = {"ips": w * r, "dm": e, "dr": e + w * (r - q)}
        for name, term in terms.items():
            check(ours[name, slot, None], *mean_and_error(term))
        check(ours["snips", slot, None], (w * r).sum() / w.sum(), ratio_error(w * r, w))
        weighted = (w * (r - q)).sum() / w.sum()
        influence = e + (w * (r - q) - weighted * w) / w.mean()
        check(ours["sndr", slot, None], e.mean() + weighted, mean_and_error(influence)[1])
        for point in grid:
            c = point.value
            tamed, with_model = TAMED[point.name](w, c)
            term = e + tamed * (r - q) if with_model else tamed * r
            estimate = ours[point.name, slot, c]
            check(estimate, *mean_and_error(term))
            size = tamed.sum() ** 2 / (tamed**2).sum() if tamed.any() else 0.0
            assert estimate.effective_size == pytest.approx(size, rel=1e-9)
            assert estimate.largest_weight == pytest.approx(tamed.max(), rel=1e-12)
        plain = ours["ips", slot, None]
        assert plain.effective_size == pytest.approx(w.sum() ** 2 / (w**2).sum())
        assert plain.largest_weight == w.max()
        assert plain.share == pytest.approx(w.max() / w.sum())
        assert (plain.mean_weight, plain.mean_weight_error) == pytest.approx(mean_and_error(w))
        assert plain.positives == np.count_nonzero(w * r > 0)
        assert plain.n == 150


TAMED: dict[str, Callable[[FloatArray, float], tuple[FloatArray, bool]]] = {
    "clipped": lambda w, c: (np.minimum(w, c), False),
    "clipped_dr": lambda w, c: (np.minimum(w, c), True),
    "switch_dr": lambda w, c: (w * (w <= c), True),
    "dros": lambda w, c: (w * c / np.maximum(w**2 + c, 1e-300), True),
    "subgaussian": lambda w, c: (w / (1 - c + c * w), False),
    "subgaussian_dr": lambda w, c: (w / (1 - c + c * w), True),
}


def check(estimate: Estimate, value: float, error: float) -> None:
    assert estimate.value == pytest.approx(value, rel=1e-9, abs=1e-12)
    assert estimate.standard_error == pytest.approx(error, rel=1e-9, abs=1e-12)
    assert estimate.reason == ""


@pytest.mark.parametrize("seed", range(10))
def test_the_page_is_the_sum_over_slots_with_their_covariance(seed: int) -> None:
    log = make_log(seed, n=300, slots=3)
    assert log.predicted is not None
    assert log.expected is not None
    w, r, e = log.target / log.logged, log.rewards, log.expected
    y = w * (r - log.predicted)
    ours = said(log, EstimatorPlan("slot", default_grid(model=True)))
    check(ours["ips", None, None], *mean_and_error((w * r).sum(axis=1)))
    check(ours["dr", None, None], *mean_and_error((e + y).sum(axis=1)))
    check(ours["dros", None, 5.0], *mean_and_error((e + y * 5.0 / (w**2 + 5.0)).sum(axis=1)))
    normal = (w * r).sum(axis=0) / w.sum(axis=0)
    influence = ((w * r - normal * w) / w.mean(axis=0)).sum(axis=1)
    check(ours["snips", None, None], normal.sum(), mean_and_error(influence)[1])
    rest = y.sum(axis=0) / w.sum(axis=0)
    influence = (e + (y - rest * w) / w.mean(axis=0)).sum(axis=1)
    check(ours["sndr", None, None], (e.mean(axis=0) + rest).sum(), mean_and_error(influence)[1])
    slots = [ours["ips", slot, None] for slot in range(3)]
    page = ours["ips", None, None]
    assert page.effective_size == min(slot.effective_size for slot in slots)
    assert page.share == max(slot.share for slot in slots)
    assert page.positives == sum(slot.positives for slot in slots)


@pytest.mark.parametrize("weights", ["slot", "cascade", "slate", "marginal"])
def test_errors_by_unit_are_those_of_sums_by_unit(weights: str) -> None:
    log = make_log(5, n=400, slots=2, units=60)
    plan = EstimatorPlan(weights, default_grid(model=True))  # type: ignore[arg-type]
    for key, estimate in said(log, plan, buckets=None).items():
        if estimate.name != "replay":
            assert (estimate.unit_error is None) == (key[1] is not None and key[2] is not None)
    if weights != "slot":
        return
    ours = said(log, plan, buckets=None)
    w = log.target / log.logged
    units, place = np.unique(log.unit, return_inverse=True)
    m = units.size

    def clustered(influence: FloatArray) -> float:
        by_unit = np.bincount(place, weights=influence - influence.mean())
        return math.sqrt(m / (m - 1) * (by_unit**2).sum()) / len(log)

    x = w * log.rewards
    assert ours["ips", 0, None].unit_error == pytest.approx(clustered(x[:, 0]), rel=1e-9)
    assert ours["ips", None, None].unit_error == pytest.approx(clustered(x.sum(axis=1)), rel=1e-9)
    clipped = (np.minimum(w, 2.0) * log.rewards).sum(axis=1)
    assert ours["clipped", None, 2.0].unit_error == pytest.approx(clustered(clipped), rel=1e-9)
    normal = x.sum(axis=0) / w.sum(axis=0)
    influence = ((x - normal * w) / w.mean(axis=0)).sum(axis=1)
    assert ours["snips", None, None].unit_error == pytest.approx(clustered(influence), rel=1e-9)


def test_one_row_a_unit_gives_the_error_of_independent_rows() -> None:
    log = make_log(6, n=100, slots=2)
    object.__setattr__(log, "unit", np.arange(100, dtype=np.uint64))
    for estimate in said(log, buckets=None).values():
        if estimate.name != "replay":
            assert estimate.unit_error == pytest.approx(estimate.standard_error, rel=1e-9)


def test_buckets_agree_with_units_within_their_own_error() -> None:
    log = make_log(7, n=20_000, slots=1, units=8000)
    exact, hashed = said(log, buckets=None), said(log, buckets=1024)
    for key in (("ips", 0, None), ("snips", 0, None), ("dr", 0, None)):
        ratio = hashed[key].unit_error / exact[key].unit_error  # type: ignore[operator]
        assert abs(ratio - 1.0) < 4.0 / math.sqrt(2 * 1024)


def test_units_in_parts_give_the_same_bits() -> None:
    log, plan = make_log(8, n=3000, units=500), EstimatorPlan("slot", default_grid(model=True))
    for buckets in (None, 64):
        whole, pieces = UnitSums(plan, buckets=buckets), UnitSums(plan, buckets=buckets)
        whole.add(log)
        for part in parts_of(log, [1, 700, 5, 1024]):
            pieces.add(part)
        left = np.sort(whole.totals().columns, axis=0)
        np.testing.assert_array_equal(left, np.sort(pieces.totals().columns, axis=0))


def test_mips_weighs_by_the_masses_of_clusters() -> None:
    log = make_log(9, slots=1, model=False)
    assert log.marginal is not None
    ours = said(log, EstimatorPlan("marginal"))
    check(ours["mips", 0, None], *mean_and_error((log.marginal * log.rewards)[:, 0]))


def uniform_log(n: int = 200) -> LoggedBatch:
    log = make_log(10, n=n, slots=1, model=False)
    log.logged[:] = 0.25
    log.target[:] = np.round(log.target)
    return log


def test_replay_is_the_mean_over_matching_rows_of_a_uniform_log() -> None:
    log = uniform_log()
    matched = log.rewards[log.target == 1.0]
    ours = said(log)["replay", 0, None]
    assert ours.value == pytest.approx(matched.mean(), rel=1e-12)
    log.logged[3] = 0.3
    refused = said(log)["replay", 0, None]
    assert refused.value is None
    assert refused.standard_error is None
    assert "it needs a uniform log" in refused.reason
    assert "slot 1 range from 0.25 to 0.3" in refused.reason


def test_a_log_that_never_shows_what_the_target_would() -> None:
    log = make_log(11, slots=2)
    log.target[:] = 0.0
    ours = said(log)
    assert ours["ips", None, None].value == 0.0
    assert ours["ips", 0, None].effective_size == 0.0
    assert ours["ips", 0, None].share == 0.0
    for name in ("snips", "sndr"):
        for slot in (0, None):
            assert ours[name, slot, None].value is None
            assert "every weight is 0" in ours[name, slot, None].reason


def test_no_reward_at_all_is_worth_nothing() -> None:
    log = make_log(12, model=False)
    log.rewards[:] = 0.0
    for key, estimate in said(log, buckets=None).items():
        if key[0] != "replay":
            assert (estimate.value, estimate.standard_error) == (0.0, 0.0)
            assert estimate.positives == 0


def test_one_row_has_no_standard_error() -> None:
    for estimate in said(make_log(13, n=1), buckets=None).values():
        assert estimate.standard_error is None
        assert estimate.unit_error is None
        assert estimate.mean_weight_error is None


def test_huge_weights_stay_exact_and_overflow_is_told() -> None:
    log = make_log(14, n=50, slots=2, model=False)
    log.logged[:] = 1e-100
    log.target[:] = 1.0
    ours = said(log)
    assert ours["ips", 0, None].value == pytest.approx(1e100 * log.rewards[:, 0].mean(), rel=1e-12)
    assert ours["snips", 0, None].value == pytest.approx(log.rewards[:, 0].mean(), rel=1e-12)
    assert ours["ips", 0, None].effective_size == pytest.approx(50.0)
    log.logged[:] = 1e-200
    last = said(log, EstimatorPlan("cascade"))["ips", 1, None]
    assert last.value is None
    assert "too large" in last.reason


def test_settings_out_of_range_are_refused() -> None:
    for name, value in (("clipped", 0.0), ("dros", -1.0), ("subgaussian", 1.0), ("ips", 1.0)):
        with pytest.raises(ConfigError):
            GridPoint(name, value)
    with pytest.raises(ConfigError, match="weights must be one of"):
        EstimatorPlan("page")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="buckets"):
        UnitSums(EstimatorPlan(), buckets=1)
    sums, units = SlotSums(EstimatorPlan()), UnitSums(EstimatorPlan())
    sums.add(make_log(1))
    units.add(make_log(1, n=5))
    with pytest.raises(ContextError, match="same log and plan"):
        estimates(sums, units=units)


@pytest.mark.parametrize("seed", range(10))
def test_slates_are_their_closed_forms(seed: int) -> None:
    log = make_log(seed, n=400, slots=3)
    assert log.predicted is not None
    assert log.expected is not None
    log.target[:] = np.maximum(log.target, 0.02) if seed % 2 else log.target
    w, r = log.target / log.logged, log.rewards
    down = np.cumprod(w, axis=1)
    above = np.concatenate([np.ones((400, 1)), down[:, :-1]], axis=1)
    standard = said(log, EstimatorPlan("slate"))
    check(standard["ips", None, None], *mean_and_error(down[:, -1] * r.sum(axis=1)))
    whole = down[:, -1]
    error = ratio_error(whole * r.sum(axis=1), whole)
    check(standard["snips", None, None], (whole @ r.sum(axis=1)) / whole.sum(), error)
    ours = said(log, EstimatorPlan("cascade"))
    check(ours["ips", None, None], *mean_and_error((down * r).sum(axis=1)))
    normal = (down * r).sum(axis=0) / down.sum(axis=0)
    influence = ((down * r - normal * down) / down.mean(axis=0)).sum(axis=1)
    check(ours["snips", None, None], normal.sum(), mean_and_error(influence)[1])
    x, e = down * (r - log.predicted), above * log.expected
    check(ours["dr", None, None], *mean_and_error((x + e).sum(axis=1)))
    first, second = e.mean(axis=0) / above.mean(axis=0), x.mean(axis=0) / down.mean(axis=0)
    influence = (e - first * above) / above.mean(axis=0) + (x - second * down) / down.mean(axis=0)
    error = mean_and_error(influence.sum(axis=1))[1]
    check(ours["sndr", None, None], (first + second).sum(), error)


def test_products_in_log_space_are_the_products() -> None:
    log = make_log(15, n=50, slots=4)
    own, above = weights_reference(log.logged, log.target, "cascade")
    down = np.cumprod(log.target / log.logged, axis=1)
    np.testing.assert_allclose(own, down, rtol=1e-13)
    np.testing.assert_allclose(above[:, 1:], down[:, :-1], rtol=1e-13)
    assert (down == 0.0).any()
