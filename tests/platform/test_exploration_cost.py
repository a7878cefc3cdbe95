"""What exploration cost: asked of the policy for sampled decisions, averaged by unit."""

from pathlib import Path

import numpy as np
import pytest

from matinee_platform.analysis.exploration import read_exploration_cost
from matinee_platform.decision_log import read_parts
from matinee_platform.engine import FEATURE_SAMPLE, Decisions
from matinee_platform.offline.exploration_log import (
    BOUNDS,
    NO_METHOD,
    ExplorationLog,
    cost_function,
    why_untold,
)
from matinee_platform.part_writer import PartWriter
from matinee_policies.arrays import FloatArray, IndexArray
from matinee_policies.records import ContextBatch, SlateBatch
from matinee_policies.registry import build_policy
from matinee_policies.uniform import Uniform, UniformConfig

K, L, M = 6, 2, 9


class Teller(Uniform):
    """A policy whose cost is a function of scores and slate; it counts how often it is asked."""

    def __init__(self) -> None:
        super().__init__(UniformConfig())
        self.asked: list[int] = []

    def exploration_cost(self, contexts: ContextBatch, slates: IndexArray) -> FloatArray:
        self.asked.append(len(contexts))
        assert contexts.interests is not None
        costs: FloatArray = contexts.scores[:, 0] + 10.0 * slates[:, 0]
        return costs


def _decisions(first: int, n: int) -> Decisions:
    rng = np.random.default_rng(first)
    contexts = ContextBatch(
        candidates=np.tile(np.arange(K, dtype=np.int32), (n, 1)),
        features=np.zeros((n, K, 2), dtype=np.float32),
        scores=rng.random((n, K)).astype(np.float32),
        embeddings=np.zeros((M, 1), dtype=np.float32),
        interests=np.zeros((n, 0), dtype=np.float32),
    )
    positions = np.array([rng.permutation(K)[:L] for _ in range(n)], dtype=np.int32)
    slates = SlateBatch(positions, positions, np.full((n, L), 0.5))
    ids = np.arange(first, first + n, dtype=np.uint64)
    return Decisions(ids, contexts, slates, 0, 0, np.zeros((n, L, 2), dtype=np.float32))


def test_sampled_decisions_are_asked_for_once_in_the_order_of_the_log(tmp_path: Path) -> None:
    policy, log = Teller(), ExplorationLog(tmp_path, "arm")
    pages = [_decisions(first, 250) for first in (0, 250, 500)]
    log.open_day(0)
    units = np.arange(250, dtype=np.int32)
    for page in pages:
        log.append(policy, units, units.astype(np.uint64) + np.uint64(7), page)
    found_units, costs = log.flush(policy)
    log.close_day()
    # Once to compile, once for all.
    assert policy.asked == [1, 8]
    expected = [
        (int(page.ids[row]), row + 7, row, Teller().exploration_cost(*_row(page, row))[0])
        for page in pages
        for row in range(250)
        if int(page.ids[row]) % FEATURE_SAMPLE == 0
    ]
    assert found_units.tolist() == [row for _, _, row, _ in expected]
    assert costs.tolist() == [cost for *_, cost in expected]
    (rows,) = read_parts(tmp_path, "exploration", "arm")
    logged = [rows[name].to_pylist() for name in ("decision_id", "unit", "cost")]
    assert list(zip(*logged, strict=True)) == [
        (number, unit, cost) for number, unit, _, cost in expected
    ]
    assert log.flush(policy)[0].size == 0


def _row(page: Decisions, row: int) -> tuple[ContextBatch, IndexArray]:
    return page.contexts.rows(np.array([row])), page.slates.positions[[row]]


def test_a_policy_that_cannot_tell_leaves_nothing(tmp_path: Path) -> None:
    class Silent(Uniform):
        exploration_cost = None  # type: ignore[assignment]

    log, policy = ExplorationLog(tmp_path, "arm"), Silent(UniformConfig())
    assert cost_function(policy) is None
    log.open_day(0)
    units = np.arange(200, dtype=np.int32)
    log.append(policy, units, units.astype(np.uint64), _decisions(0, 200))
    assert log.flush(policy)[1].size == 0
    log.close_day()
    assert not list((tmp_path / "exploration").rglob("*.arrow"))
    assert read_exploration_cost(tmp_path, "arm") is None


@pytest.mark.parametrize(
    ("kind", "alpha", "reason"),
    [
        ("lin_ucb", 0.5, BOUNDS),
        ("lin_ucb", 0.0, None),
        ("discounted_lin_ucb", 0.5, BOUNDS),
        ("sliding_window_lin_ucb", 0.5, BOUNDS),
        ("thompson", None, None),
        ("softmax", None, None),
        ("mixture", None, NO_METHOD),
    ],
)
def test_a_cost_in_upper_bounds_is_not_told(
    tmp_path: Path, kind: str, alpha: float | None, reason: str | None
) -> None:
    policy = build_policy(kind, {} if alpha is None else {"alpha": alpha}, dimension=2)
    assert why_untold(policy) == reason
    assert (cost_function(policy) is None) == (reason is not None)
    log = ExplorationLog(tmp_path, "arm")
    log.open_day(0)
    units = np.arange(200, dtype=np.int32)
    log.append(policy, units, units.astype(np.uint64), _decisions(0, 200))
    assert (log.flush(policy)[1].size == 0) == (reason is not None)
    log.close_day()


def test_the_mean_is_over_pages_and_its_error_over_units(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    unit = rng.integers(0, 40, 300).astype(np.uint64)
    cost = rng.exponential(size=300) + 0.1 * unit
    for day, rows in enumerate(np.array_split(np.arange(300), 3)):
        part = PartWriter(tmp_path / "exploration" / "arm" / f"part-{day:05d}.arrow")
        part.append({"decision_id": rows, "unit": unit[rows], "cost": cost[rows]})
        part.close()
    found = read_exploration_cost(tmp_path, "arm")
    assert found is not None
    assert found.pages == 300
    assert found.mean == pytest.approx(cost.mean(), rel=1e-12)
    # Delta method by hand: the variance of a ratio of sums over units.
    units = np.unique(unit)
    total = np.array([cost[unit == one].sum() for one in units])
    pages = np.array([(unit == one).sum() for one in units])
    left = total - found.mean * pages
    error = np.sqrt((left**2).sum() / (units.size - 1) / units.size) / pages.mean()
    assert found.error == pytest.approx(error, rel=1e-9)


def test_one_unit_has_no_error(tmp_path: Path) -> None:
    part = PartWriter(tmp_path / "exploration" / "arm" / "part-00000.arrow")
    row = {"decision_id": np.array([1]), "unit": np.array([5], np.uint64), "cost": np.array([0.5])}
    part.append(row)
    part.close()
    found = read_exploration_cost(tmp_path, "arm")
    assert found is not None
    assert found.mean == 0.5
    assert np.isnan(found.error)
