"""The compiled pass against plain numpy, whatever the parts of the log."""

import numpy as np
import pytest

from matinee_platform.ope.column_moments import (
    SUMS,
    grid_reference,
    pairs_reference,
    sums_reference,
)
from matinee_platform.ope.records import LoggedBatch
from matinee_platform.ope.row_columns import BLOCK, R, Weights, columns_reference
from matinee_platform.ope.slot_sums import EstimatorPlan, SlotSums, Totals
from matinee_platform.ope.testing_logs import make_log, parts_of, rows_of
from matinee_platform.ope.weight_grid import GridPoint, default_grid
from matinee_policies.errors import ContextError

KINDS: list[Weights] = ["slot", "cascade", "slate", "marginal"]


def totals_of(parts: list[LoggedBatch], plan: EstimatorPlan) -> Totals:
    sums = SlotSums(plan)
    for part in parts:
        sums.add(part)
    return sums.totals()


@pytest.mark.parametrize("weights", KINDS)
@pytest.mark.parametrize(("n", "slots"), [(1, 1), (5, 3), (BLOCK, 2), (3 * BLOCK + 77, 3)])
def test_one_pass_is_plain_numpy(weights: Weights, n: int, slots: int) -> None:
    log = make_log(n, n=n, slots=slots)
    grid = default_grid(model=True)
    totals = totals_of([log], EstimatorPlan(weights, grid))
    z = columns_reference(log, weights)
    assert totals.n == n
    sums = np.stack([totals.sums[name] for name in SUMS], axis=1)
    np.testing.assert_allclose(sums, sums_reference(z), rtol=1e-12, atol=1e-11)
    if slots > 1:
        assert totals.pairs is not None
        np.testing.assert_allclose(totals.pairs, pairs_reference(z), rtol=1e-12, atol=1e-11)
    extremes = np.stack(list(totals.extremes.values()))
    probabilities = log.logged.T
    expected = [z[0].max(1), z[0].min(1), probabilities.max(1), probabilities.min(1)]
    np.testing.assert_allclose(extremes, np.stack(expected), rtol=1e-12)
    for h, point in enumerate(grid):
        c, v = grid_reference(z, point.form, model=point.needs_model, value=point.value)
        plain = np.stack([c.sum(1), (c * c).sum(1), v.sum(1), (v * v).sum(1)])
        ours = np.stack([totals.grid[name][h] for name in ("c", "cc", "v", "vv")])
        np.testing.assert_allclose(ours, plain, rtol=1e-12, atol=1e-11)
        np.testing.assert_allclose(totals.grid_largest[h], v.max(1), rtol=1e-12)
        page = c.sum(axis=0)
        np.testing.assert_allclose(
            totals.grid_pages[h], [page.sum(), (page**2).sum()], rtol=1e-12, atol=1e-11
        )


def every_bit(totals: Totals) -> list[bytes]:
    assert totals.pairs is not None
    arrays = [*totals.sums.values(), *totals.extremes.values(), *totals.grid.values()]
    arrays += [totals.pairs, totals.grid_largest, totals.grid_pages]
    return [np.ascontiguousarray(array).tobytes() for array in arrays]


@pytest.mark.parametrize("seed", range(6))
def test_parts_of_any_size_give_the_same_bits(seed: int) -> None:
    rng = np.random.default_rng(seed)
    log = make_log(seed, n=5 * BLOCK + 3, slots=2, model=bool(seed % 2))
    plan = EstimatorPlan("slot", default_grid(model=bool(seed % 2)))
    cuts = np.sort(rng.integers(0, len(log), 7 if seed else 2000))
    sizes = np.diff(cuts, prepend=0).tolist()
    whole = totals_of([log], plan)
    assert every_bit(totals_of(list(parts_of(log, sizes)), plan)) == every_bit(whole)


def test_totals_may_be_looked_at_on_the_way() -> None:
    log = make_log(3, n=BLOCK + 10)
    sums = SlotSums(EstimatorPlan())
    for part in parts_of(log, [10, 900]):
        sums.add(part)
        first = sums.totals()
        assert every_bit(sums.totals()) == every_bit(first)
    assert every_bit(sums.totals()) == every_bit(totals_of([log], EstimatorPlan()))


def test_merged_sums_agree_with_one_pass() -> None:
    log = make_log(4, n=4 * BLOCK + 5)
    plan = EstimatorPlan("cascade", default_grid(model=True))
    left, right = SlotSums(plan), SlotSums(plan)
    for sums, (start, stop) in ((left, (0, 1500)), (right, (1500, len(log)))):
        sums.add(rows_of(log, start, stop))
    left.merge(right)
    merged, whole = left.totals(), totals_of([log], plan)
    assert merged.n == whole.n
    for name in SUMS:
        np.testing.assert_allclose(merged.sums[name], whole.sums[name], rtol=1e-12)
    for mine, theirs in zip(merged.extremes.values(), whole.extremes.values(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_allclose(merged.grid_pages, whole.grid_pages, rtol=1e-12)
    empty = SlotSums(plan)
    empty.merge(left)
    empty.merge(SlotSums(plan))
    assert empty.totals().n == len(log)


def test_sums_lose_nothing_to_the_number_of_rows() -> None:
    n = 300 * BLOCK
    one = np.full((n, 1), 0.1)
    log = LoggedBatch(
        np.zeros(n, np.uint64), np.zeros(n, np.int64), one, one / one, one / one, 0 * one
    )
    total = totals_of([log], EstimatorPlan()).sums["x"][0]
    assert abs(total - 0.1 * n) <= 1e-15 * 0.1 * n


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("rewards", np.nan, "finite"),
        ("rewards", np.inf, "finite"),
        ("predicted", np.nan, "finite"),
        ("logged", 0.0, "finite"),
        ("logged", -0.5, "must lie in"),
        ("logged", 1.5, "must lie in"),
        ("target", -0.1, "at least 0"),
        ("target", np.nan, "finite"),
    ],
)
@pytest.mark.parametrize("n", [30, BLOCK])
def test_bad_numbers_are_refused(field: str, value: float, rule: str, n: int) -> None:
    log = make_log(1, n=n)
    getattr(log, field)[7, 1] = value
    sums = SlotSums(EstimatorPlan())
    with pytest.raises(ContextError, match=rule):
        add_and_finish(sums, log)


def add_and_finish(sums: SlotSums, log: LoggedBatch) -> None:
    sums.add(log)
    sums.totals()


def test_arrays_that_do_not_fit_are_refused() -> None:
    log = make_log(1)
    with pytest.raises(ContextError, match=r"must be \[n, L\]"):
        totals_of([LoggedBatch(log.unit, log.time, log.rewards[:, :2], *[log.logged] * 3)], PLAN)
    with pytest.raises(ContextError, match="both or neither"):
        totals_of([LoggedBatch(log.unit, log.time, *[log.logged] * 5)], PLAN)
    with pytest.raises(ContextError, match="marginal weights"):
        totals_of([LoggedBatch(log.unit, log.time, *[log.logged] * 4)], EstimatorPlan("marginal"))
    with pytest.raises(ContextError, match="at least one row"):
        totals_of([], PLAN)
    with pytest.raises(ContextError, match="agree in slots and model"):
        totals_of([log, make_log(2, slots=2)], PLAN)
    with pytest.raises(ContextError, match="needs predictions"):
        totals_of([make_log(2, model=False)], EstimatorPlan("slot", default_grid(model=True)))


PLAN = EstimatorPlan()


def test_columns_of_the_reward_are_the_rewards() -> None:
    log = make_log(2)
    np.testing.assert_array_equal(columns_reference(log, "slot")[R], log.rewards.T)


@pytest.mark.parametrize("n", [1, 1024, 5000])
def test_one_slot_straight_from_its_arrays_has_the_bits_of_its_columns(n: int) -> None:
    """A grid makes columns; without one, sums of whole blocks are made without them."""
    log = make_log(21, n=n, slots=1)
    found = []
    for grid in ((), (GridPoint("clipped", 2.0),)):
        sums = SlotSums(EstimatorPlan(grid=grid, pages=False))
        for part in parts_of(log, [min(n, 700)]):
            sums.add(part)
        found.append(sums.totals())
    for straight, columns in zip(
        (*found[0].sums.values(), *found[0].extremes.values()),
        (*found[1].sums.values(), *found[1].extremes.values()),
        strict=True,
    ):
        np.testing.assert_array_equal(straight, columns)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, -0.5, 1.5])
def test_probabilities_that_cannot_be_are_refused_in_whole_blocks(value: float) -> None:
    log = make_log(22, n=3000, slots=1)
    log.logged[1500] = value
    sums = SlotSums(EstimatorPlan(pages=False))
    with pytest.raises(ContextError):
        sums.add(log)
