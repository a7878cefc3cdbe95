"""Poisson draws by unit against their law, replicates against sums written down."""

import math

import numpy as np
import pytest

from matinee_platform.ope.estimates import estimates
from matinee_platform.ope.poisson_bootstrap import PoissonBootstrap
from matinee_platform.ope.poisson_counts import count_table, counts_reference, fill_counts
from matinee_platform.ope.row_columns import BLOCK
from matinee_platform.ope.slot_sums import EstimatorPlan, SlotSums
from matinee_platform.ope.testing_logs import make_log, parts_of, take
from matinee_platform.ope.unit_sums import UnitSums
from matinee_platform.ope.weight_grid import GridPoint
from matinee_policies.arrays import FloatArray, UInt64Array
from matinee_policies.errors import ConfigError, ContextError
from matinee_policies.philox import stream_key

KEY = stream_key(0, "poisson bootstrap")


def counts_of(unit: UInt64Array, *, replicates: int) -> FloatArray:
    counts = np.full((unit.size + 3, replicates), 9.0)
    words = np.zeros(replicates // 4, np.uint64)
    fill_counts(unit, 0, KEY, count_table(), words, counts)
    assert (counts[unit.size :] == 0.0).all()
    return counts[: unit.size]


def test_the_table_holds_poisson_probabilities() -> None:
    table = count_table()
    assert table.size == 65_536
    for k in range(9):
        exact = math.exp(-1.0) / math.factorial(k)
        assert abs((table == k).mean() - exact) < 3e-4


def test_compiled_draws_are_those_of_numpy() -> None:
    unit = np.random.default_rng(1).integers(0, 2**63, 300).astype(np.uint64)
    np.testing.assert_array_equal(
        counts_of(unit, replicates=40), counts_reference(unit, KEY, replicates=40)
    )


def test_draws_follow_their_law_over_units_and_over_replicates() -> None:
    counts = counts_of(np.arange(20_000, dtype=np.uint64), replicates=100)
    n = counts.size
    assert abs(counts.mean() - 1.0) < 4.0 / math.sqrt(n)
    assert abs(counts.var() - 1.0) < 4.0 * math.sqrt(3.0 / n)
    for k in range(5):
        p = math.exp(-1.0) / math.factorial(k)
        assert abs((counts == k).mean() - p) < 4.0 * math.sqrt(p * (1 - p) / n) + 3e-4
    # Neighbouring units, and neighbouring replicates of one unit, are independent.
    for left, right in ((counts[1:], counts[:-1]), (counts[:, 1:], counts[:, :-1])):
        product = ((left - 1.0) * (right - 1.0)).mean()
        assert abs(product) < 4.0 / math.sqrt(left.size)


@pytest.mark.parametrize("weights", ["slot", "cascade"])
@pytest.mark.parametrize("model", [True, False])
def test_replicates_are_estimates_of_the_rows_so_often(weights: str, *, model: bool) -> None:
    log = make_log(2, n=BLOCK + 300, slots=2, units=90, model=model)
    grid = (GridPoint("clipped", 2.0),) + ((GridPoint("dros", 5.0),) if model else ())
    plan = EstimatorPlan(weights, grid)  # type: ignore[arg-type]
    boot = PoissonBootstrap(plan, replicates=8)
    boot.add(log)
    counts = counts_reference(log.unit, KEY, replicates=8).astype(int)
    for b in range(8):
        sums = SlotSums(plan)
        times = np.repeat(np.arange(len(log)), counts[:, b])
        for row in np.array_split(times, 3):
            sums.add(take(log, row))
        for estimate in estimates(sums):
            if estimate.value is None or (estimate.slot is not None and estimate.hyper_parameter):
                continue
            draws = boot.draws(estimate.name, slot=estimate.slot, value=estimate.hyper_parameter)
            assert draws[b] == pytest.approx(estimate.value, rel=1e-9, abs=1e-12)


def test_parts_of_any_size_give_the_same_bits() -> None:
    log = make_log(3, n=2 * BLOCK + 100, units=100)
    whole, parts = (PoissonBootstrap(EstimatorPlan(), replicates=20) for _ in range(2))
    whole.add(log)
    for part in parts_of(log, [1, 300, 0, 1024]):
        parts.add(part)
        parts.draws("ips")
    for name in ("ips", "sndr"):
        for slot in (None, 0):
            left, right = whole.draws(name, slot=slot), parts.draws(name, slot=slot)
            assert left.tobytes() == right.tobytes()


def test_the_spread_of_replicates_is_the_error_by_unit() -> None:
    log = make_log(4, n=6000, slots=2, units=1500)
    plan = EstimatorPlan("slot", (GridPoint("clipped", 5.0),))
    boot, sums = PoissonBootstrap(plan, replicates=1000), SlotSums(plan)
    units = UnitSums(plan, buckets=None)
    for each in (boot, sums, units):
        each.add(log)
    for estimate in estimates(sums, units=units):
        if estimate.slot is None and estimate.name != "replay":
            value = estimate.hyper_parameter
            spread = boot.draws(estimate.name, value=value).std(ddof=1)
            assert estimate.unit_error is not None
            # Plain means also vary with the number of rows drawn, as ratios by unit do.
            assert abs(spread / estimate.unit_error - 1.0) < 4.0 / math.sqrt(2 * 1000) + 0.03


def test_seeds_tell_draws_apart() -> None:
    log = make_log(5)
    draws = []
    for seed in (0, 0, 1):
        boot = PoissonBootstrap(EstimatorPlan(), replicates=12, seed=seed)
        boot.add(log)
        draws.append(boot.draws("ips"))
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (draws[0] != draws[2]).all()


def test_what_is_not_replicated_is_refused() -> None:
    for replicates in (0, 10):
        with pytest.raises(ConfigError):
            PoissonBootstrap(EstimatorPlan(), replicates=replicates)
    boot = PoissonBootstrap(EstimatorPlan(), replicates=4)
    with pytest.raises(ContextError, match="at least one row"):
        boot.draws("ips")
    boot.add(make_log(6, model=False))
    with pytest.raises(ConfigError, match="no estimator"):
        boot.draws("dr")
    with pytest.raises(ConfigError, match="slot"):
        boot.draws("ips", slot=3)
    with pytest.raises(ConfigError, match="not replicated"):
        boot.draws("clipped", value=2.0)
    with pytest.raises(ContextError, match="agree in slots and model"):
        boot.add(make_log(6))
