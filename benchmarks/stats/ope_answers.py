"""What every off-policy estimator and interval says of one log."""

import math
from dataclasses import dataclass

import numpy as np

from matinee_platform.ope.anytime import AnytimeSums
from matinee_platform.ope.bootstrap_interval import bootstrap_interval
from matinee_platform.ope.cressie_read import cressie_read
from matinee_platform.ope.empirical_bernstein import empirical_bernstein
from matinee_platform.ope.estimates import Estimate, estimates
from matinee_platform.ope.interval import Interval, RewardRange
from matinee_platform.ope.poisson_bootstrap import PoissonBootstrap
from matinee_platform.ope.records import LoggedBatch
from matinee_platform.ope.row_columns import Weights, weights_reference
from matinee_platform.ope.slate_sums import SlateSums
from matinee_platform.ope.slope import slope
from matinee_platform.ope.slot_sums import EstimatorPlan, SlotSums
from matinee_platform.ope.unit_sums import UnitSums
from matinee_platform.ope.weight_grid import GridPoint, default_grid
from matinee_platform.ope.weighted_sums import WeightedSums, page_rows
from matinee_policies.arrays import FloatArray
from stats.ope_world import Pages

RIDGE = 1.0
REPLICATES = 200
NORMAL = 1.959963984540054
"""Half the width of a 95 % interval, in standard errors."""

GRID = (
    *default_grid(model=True),
    *(GridPoint("clipped_dr", c) for c in (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)),
)
"""From the most biased to the least of each estimator."""

Key = tuple[str, int | None]
"""Name of an estimator, and the slot; None for the page."""

FORMS: dict[str, tuple[Weights, str]] = {
    "slot": ("slot", "ips"),
    "cascade": ("cascade", "ips"),
    "slate": ("slate", "ips"),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """A value and its standard error, of units where it is known."""

    value: float
    error: float

    @property
    def interval(self) -> Interval:
        """The normal one."""
        half = NORMAL * self.error
        return Interval(self.value - half, self.value + half, 0.95, "normal")


def batch_of(pages: Pages) -> LoggedBatch:
    """The log as estimators take it, with predictions of a ridge regression fitted across units.

    Each half of the units is predicted from the other half. A prediction is linear in the features,
    so its expectation under a law is that of the expected features.
    """
    fold = (pages.unit % np.uint64(2)).astype(np.int64)
    predicted, expected = np.zeros((2, *pages.clicks.shape))
    for half in range(2):
        coefficients = _ridge(pages.take(fold != half))
        here = fold == half
        predicted[here] = pages.shown[here].astype(np.float64) @ coefficients
        expected[here] = pages.meant[here].astype(np.float64) @ coefficients
    return LoggedBatch(
        unit=pages.unit,
        time=pages.time,
        rewards=pages.clicks,
        logged=pages.logged,
        target=pages.target,
        unreachable=np.zeros(pages.clicks.shape),
        predicted=predicted,
        expected=expected,
        marginal=pages.marginal,
    )


def _ridge(pages: Pages) -> FloatArray:
    z: FloatArray = pages.shown.reshape(-1, pages.shown.shape[2]).astype(np.float64)
    gram: FloatArray = z.T @ z + RIDGE * np.eye(z.shape[1])
    found = np.linalg.solve(gram, z.T @ pages.clicks.ravel())
    return found.astype(np.float64, copy=False)


def answers(batch: LoggedBatch) -> dict[Key, Answer]:
    """Values of every estimator that has one, by slot and for the page.

    Those with a hyper-parameter take the one that SLOPE chooses.
    """
    plans = [EstimatorPlan("slot", GRID), EstimatorPlan("marginal")]
    said: list[Estimate] = []
    for plan in plans:
        sums, units = SlotSums(plan), UnitSums(plan, buckets=None)
        sums.add(batch)
        units.add(batch)
        said.extend(estimates(sums, units=units))
    slates = SlateSums(buckets=None)
    slates.add(batch)
    said.extend(one for one in slates.estimates() if not one.name.endswith("iips"))
    plain = [one for one in said if one.hyper_parameter is None]
    return {(one.name, one.slot): _answer(one) for one in [*plain, *_chosen(said)] if _told(one)}


def _chosen(said: list[Estimate]) -> list[Estimate]:
    grids: dict[Key, list[Estimate]] = {}
    for one in said:
        if one.hyper_parameter is not None:
            grids.setdefault((one.name, one.slot), []).append(one)
    found = []
    for grid in grids.values():
        pairs = [_answer(one) for one in grid]
        choice = slope(
            np.array([one.value for one in pairs]), np.array([one.error for one in pairs])
        )
        found.append(grid[choice.index])
    return found


def _told(one: Estimate) -> bool:
    return one.value is not None and one.standard_error is not None


def _answer(one: Estimate) -> Answer:
    error = one.standard_error if one.unit_error is None else one.unit_error
    return Answer(*(math.nan if some is None else some for some in (one.value, error)))


def intervals(batch: LoggedBatch, pages: Pages, form: str) -> dict[str, Interval]:
    """Every interval of the inverse propensity score of the page, or of the first slot.

    Args:
        batch: the log.
        pages: the same, with what the laws allow.
        form: one of `FORMS`, or `"first slot"`.
    """
    if form == "first slot":
        weights, rewards, largest = (
            batch.target[:, 0] / batch.logged[:, 0],
            batch.rewards[:, 0],
            0.0,
        )
        largest, scope = float(pages.most[:, 0].max()), RewardRange()
    else:
        own, _ = weights_reference(batch.logged, batch.target, FORMS[form][0])
        most, _ = weights_reference(np.ones_like(pages.most), pages.most, FORMS[form][0])
        weights, rewards = page_rows(own, batch.rewards)
        largest = float(most.mean(axis=1).max())
        scope = RewardRange().times(batch.rewards.shape[1])
    sums = WeightedSums.of(weights, rewards)
    plain, slot = _inverse(batch, form)
    effect = max((plain.error / _row_error(sums)) ** 2, 1.0)
    boot = PoissonBootstrap(
        EstimatorPlan(FORMS.get(form, ("slot", ""))[0]), replicates=REPLICATES, seed=3
    )
    boot.add(batch)
    sequence = AnytimeSums.none(largest=largest, rewards=scope).then(weights, rewards)
    return {
        "Cressie-Read": cressie_read(sums, largest=largest, rewards=scope, design_effect=effect),
        "empirical Bernstein": empirical_bernstein(sums, largest=largest, rewards=scope),
        "bootstrap over units": bootstrap_interval(boot.draws("ips", slot=slot)),
        "anytime": sequence.interval(),
        "normal, by unit": plain.interval,
    }


def _inverse(batch: LoggedBatch, form: str) -> tuple[Answer, int | None]:
    plan = EstimatorPlan(FORMS.get(form, ("slot", ""))[0])
    sums, units = SlotSums(plan), UnitSums(plan, buckets=None)
    sums.add(batch)
    units.add(batch)
    slot = 0 if form == "first slot" else None
    found = [one for one in estimates(sums, units=units) if (one.name, one.slot) == ("ips", slot)]
    return _answer(found[0]), slot


def _row_error(sums: WeightedSums) -> float:
    n, value = float(sums.rows), float(sums.value)
    return float(np.sqrt((float(sums.gain2) - n * value * value) / (n - 1) / n))
