"""Figures counted along the way equal the analysis of everything that happened."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from matinee_platform.analysis import retention
from matinee_platform.analysis.slate_metrics import intra_list_diversity
from matinee_platform.analysis.unit_table import UnitTable
from matinee_platform.kpis.figures import (
    COHORT_WINDOWS,
    RETENTION_DAYS,
    WINDOWS,
    Activity,
    KpiFigures,
    Returns,
)
from matinee_platform.offline.kpi_counter import ArmFigures, KpiCounter
from matinee_policies.arrays import BoolArray, Float32Array, FloatArray, IndexArray, UInt64Array
from matinee_policies.features import ItemFeatures
from matinee_policies.records import PAD, SlateBatch

ITEMS, SLOTS, DAYS = 50, 4, 40


def embeddings() -> Float32Array:
    vectors = np.random.default_rng(5).normal(size=(ITEMS, 6))
    vectors[3] = 0.0
    length = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    unit_vectors: Float32Array = (vectors / length).astype(np.float32)
    return unit_vectors


def items() -> ItemFeatures:
    return ItemFeatures(
        popularity=np.ones(ITEMS, dtype=np.float32),
        popularity_residual=np.zeros(ITEMS, dtype=np.float32),
        novelty=np.linspace(0, 1, ITEMS, dtype=np.float32),
        genres=np.zeros((ITEMS, 1), dtype=np.float32),
        embeddings=embeddings(),
    )


class Arm:
    """An arm's random life, with the tables from which an analysis starts."""

    def __init__(self, *, units: int, seed: int, rate: float = 0.1) -> None:
        self.rng = np.random.default_rng(seed)
        self.pseudonyms: UInt64Array = self.rng.permutation(10 * units)[:units].astype(np.uint64)
        self.visits: BoolArray = self.rng.random((units, DAYS)) < rate
        self.visits[: units // 3, :9] = False
        self.counter = KpiCounter(self.pseudonyms, days=DAYS, items=items())
        self.engagement: FloatArray = np.zeros(units)
        self.clicks = np.zeros(units, dtype=np.int64)
        self.slates: list[IndexArray] = []
        self.propensities: list[FloatArray] = []
        self.candidates: list[IndexArray] = []

    def live(self, day: int) -> ArmFigures:
        active = np.flatnonzero(self.visits[:, day]).astype(np.int32)
        for units in (active, active[::2]):
            self._page(units)
        self.counter.close_day(active, day)
        return self.counter.figures(day, snapshot=day)

    def _page(self, units: IndexArray) -> None:
        n = units.size
        drawn = [self.rng.permutation(ITEMS - 8)[: 2 * SLOTS] for _ in range(n)]
        candidates = np.array(drawn, np.int32).reshape(n, 2 * SLOTS)
        candidates[::3, SLOTS + 2 :] = PAD
        items = candidates[:, :SLOTS].copy()
        items[::5, 1:] = PAD
        propensities = np.where(items == PAD, 1.0, self.rng.random((n, SLOTS)))
        propensities[1::4, 0] = 1.0
        clicks = (self.rng.random((n, SLOTS)) < 0.3) & (items != PAD)
        # Of very unlike sizes, so that another order of summation would show.
        fractions = 10.0 ** -self.rng.uniform(0, 14, (n, SLOTS))
        watch = np.where(clicks, fractions, np.nan).astype(np.float32)
        slates = SlateBatch(items, items, propensities)
        self.counter.observe_pages(units, slates, clicks, watch, candidates=candidates)
        self.candidates.append(candidates)
        self.slates.append(items)
        self.propensities.append(propensities)
        for row, unit in enumerate(units):
            for slot in np.flatnonzero(clicks[row]):
                self.engagement[unit] += float(watch[row, slot])
                self.clicks[unit] += 1

    def table(self, day: int) -> UnitTable:
        """What the analysis would read after `day`."""
        active = self.visits[:, : day + 1]
        order = np.argsort(self.pseudonyms)
        order = order[active[order].any(axis=1)]
        none = np.zeros(order.size, dtype=np.int64)
        return UnitTable(
            self.pseudonyms[order],
            active[order],
            none,
            none,
            self.clicks[order],
            self.engagement[order],
        )


@pytest.mark.parametrize("seed", range(4))
def test_equals_the_analysis_at_every_days_end(seed: int) -> None:
    arm = Arm(units=60, seed=seed)
    for day in range(DAYS):
        told, table = arm.live(day), arm.table(day)
        assert told.completed_days == day + 1
        figures = told.kpis
        assert KpiFigures.from_json(json.loads(json.dumps(figures.to_json()))) == figures
        assert figures.exposed == len(table)
        assert figures.sessions == int(table.sessions.sum())
        assert figures.engagement == table.engagement.sum()
        for after in RETENTION_DAYS:
            rate = retention.rate_of(retention.classic(table, after), exposed=len(table))
            assert figures.retention[after] == Returns(rate.eligible, int(rate.returned))
        assert figures.returned_within == retention.within(table, 7).values.sum()
        for window in WINDOWS:
            latest = arm.visits[:, max(0, day + 1 - window) : day + 1]
            expected = Activity(int(latest.any(axis=1).sum()), int(latest.sum()))
            assert figures.activity[window] == expected
        for window in COHORT_WINDOWS:
            whole = retention.smoothed(table, first=0, last=window - 1)
            days = round(float(whole.values.sum()) * window)
            assert figures.cohorts[window] == Activity(whole.unit.size, days)
    np.testing.assert_array_equal(arm.counter.arrays()["watched"], arm.engagement)
    slates, propensities = np.concatenate(arm.slates), np.concatenate(arm.propensities)
    shown = slates != PAD
    diversity = intra_list_diversity(slates, embeddings())
    assert figures.pages == len(slates)
    assert figures.impressions == shown.sum()
    assert figures.exploratory == sum(p < 0.5 for p in propensities[shown])
    assert figures.diversity == math.fsum(diversity[~np.isnan(diversity)].tolist())
    assert figures.diversity_pages == (shown.sum(axis=1) >= 2).sum()
    assert figures.coverage == len(set(slates[shown].tolist())) / ITEMS
    assert figures.clicks == table.clicks.sum()
    assert told.rewards["click", "joined"] == told.rewards["watch", "joined"] == figures.clicks
    assert figures.novelty_impressions == figures.impressions
    assert figures.novelty == pytest.approx(items().novelty[slates[shown]].astype(float).sum())
    assert_drawn(figures, slates, propensities, np.concatenate(arm.candidates))


def assert_drawn(
    figures: KpiFigures, slates: IndexArray, propensities: FloatArray, candidates: IndexArray
) -> None:
    """The weights of an even choice, slot by slot from their definition."""
    weights = [
        1.0 / (propensities[row, slot] * ((candidates[row] != PAD).sum() - slot))
        for row, slot in np.argwhere((slates != PAD) & (propensities < 1.0))
    ]
    assert figures.drawn.slots == len(weights) > 0
    assert figures.drawn.weights == pytest.approx(sum(weights))
    assert figures.drawn.squared_weights == pytest.approx(sum(w * w for w in weights))


def test_weights_of_an_even_choice_average_one() -> None:
    rng = np.random.default_rng(3)
    n, k, law = 40_000, 4, np.array([0.7, 0.1, 0.15, 0.05])
    places = rng.choice(k, size=n, p=law).astype(np.int32)[:, None]
    counter = KpiCounter(np.arange(n, dtype=np.uint64), days=1, items=items())
    counter.observe_pages(
        np.arange(n, dtype=np.int32),
        SlateBatch(places, places, law[places]),
        np.zeros((n, 1), dtype=np.bool_),
        np.zeros((n, 1), dtype=np.float32),
        candidates=np.tile(np.arange(k, dtype=np.int32), (n, 1)),
    )
    drawn = counter.figures(0, snapshot=0).kpis.drawn
    variance = (1 / (law * k * k)).sum() - 1
    assert abs(drawn.weights / n - 1) < 4 * math.sqrt(variance / n)
    assert drawn.weights**2 / drawn.squared_weights == pytest.approx(n / (1 + variance), rel=0.05)


def test_events_and_updates_are_counted_where_they_belong() -> None:
    counter = KpiCounter(np.arange(3, dtype=np.uint64), days=2, items=items())
    counter.observe_returns(joined=4, late=2)
    counter.observe_ratings(5)
    for seconds in (0.001, 0.002, 1_000.0):
        counter.observe_update(seconds)
    figures = counter.figures(-1, snapshot=3)
    assert figures.rewards["return_visit", "joined"] == 4
    assert figures.rewards["return_visit", "late"] == 2
    assert figures.rewards["rating", "joined"] == 5
    assert figures.update_counts == (1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)
    assert figures.update_seconds == pytest.approx(1_000.003)
    assert (figures.completed_days, figures.kpis.exposed, figures.snapshot) == (0, 0, 3)


def test_goes_on_from_copied_arrays() -> None:
    whole, cut = Arm(units=40, seed=8), Arm(units=40, seed=8)
    for day in range(20):
        whole.live(day)
        cut.live(day)
    fresh = KpiCounter(cut.pseudonyms, days=DAYS, items=items())
    for name, array in fresh.arrays().items():
        np.copyto(array, cut.counter.arrays()[name])
    cut.counter = fresh
    for day in range(20, DAYS):
        assert cut.live(day) == whole.live(day)


def test_users_add_no_figures() -> None:
    few = KpiCounter(np.arange(1, dtype=np.uint64), days=40, items=items())
    many = KpiCounter(np.arange(100_000, dtype=np.uint64), days=40, items=items())
    many.close_day(np.arange(100_000, dtype=np.int32), 0)
    small, large = few.figures(-1, snapshot=0), many.figures(0, snapshot=0)
    assert large.kpis.exposed == 100_000
    assert shape(small) == shape(large)


def test_an_arm_without_units_has_figures() -> None:
    counter = KpiCounter(np.zeros(0, dtype=np.uint64), days=3, items=items())
    counter.close_day(np.zeros(0, dtype=np.int32), 0)
    figures = counter.figures(0, snapshot=0)
    assert replace(figures, completed_days=0) == counter.figures(-1, snapshot=0)


def shape(figures: ArmFigures) -> tuple[object, ...]:
    return (
        set(figures.rewards),
        set(figures.kpis.retention),
        set(figures.kpis.activity),
        set(figures.kpis.cohorts),
        len(figures.update_counts),
    )
