"""How much of the regret of its first week an arm saves by a warm start.

Nine in ten users of a seed meet a donor for some weeks, the tenth meets, in runs of a week, the
same policy started in each of several ways: these are the same users with the same luck, whom the
donor has never met. Regret is that of clicks, to the oracle's greedy page of the same candidates,
so clicks are the reward.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import stdev
from typing import Any

import numpy as np

from matinee_platform.analysis.compare import linearised
from matinee_platform.data_settings import DataSettings
from matinee_platform.offline.prepare import prepare
from matinee_platform.settings import parse_settings
from matinee_platform.studies.paired import Difference, ratio_difference
from matinee_platform.studies.runs import (
    finished_run,
    logged_run,
    on_same_units,
    regret_by_unit,
)
from matinee_policies.arrays import FloatArray

WEEK = 7

LEARNERS = 0.1
"""Share of the users who meet the arm that is started, as a new arm of an experiment would have."""

POLICIES: Mapping[str, dict[str, Any]] = {
    "common coefficients": {"kind": "lin_ucb", "alpha": 0.05, "floor": 0.0, "l2": 25.0},
    "a level per item": {
        "kind": "lin_ucb",
        "form": "hybrid",
        "item_features": [0],
        "alpha": 0.2,
        "floor": 0.0,
        "l2": 25.0,
    },
}
"""What is started; the prior of 25 observations is that of T12 (validation/exploration_pays.py)."""

SCENARIOS = ("movielens", "stress", "cold_start")


@dataclass(frozen=True, slots=True)
class Saving:
    """What a start saves of the regret of the first week.

    Attributes:
        scenario: of the users.
        policy: name of what is started.
        start: how.
        regret: per page over the week, cold and warm, with the errors of their difference.
        saved: share of the cold start's regret, over all seeds.
        saved_error: its standard error over users, by the delta method.
        by_seed: the share of each seed.
        seed_error: standard error of their mean, NaN for one seed.
        cold_by_day: regret per page of each day, mean over seeds, after a cold start.
        warm_by_day: likewise, after this one.
    """

    scenario: str
    policy: str
    start: str
    regret: Difference
    saved: float
    saved_error: float
    by_seed: tuple[float, ...]
    seed_error: float
    cold_by_day: tuple[float, ...]
    warm_by_day: tuple[float, ...]

    def text(self) -> str:
        """Lines for people."""
        days = [
            " ".join(f"{value:.3f}" for value in days)
            for days in (self.cold_by_day, self.warm_by_day)
        ]
        return (
            f"{self.scenario}, {self.policy}, {self.start}: saves {self.saved:.1%} +- "
            f"{self.saved_error:.1%} over users, +- {self.seed_error:.1%} over seeds ("
            f"{' '.join(f'{share:.3f}' for share in self.by_seed)}); "
            f"{self.regret.text()}; by day {days[0]} | {days[1]}"
        )


_Regret = tuple[Any, FloatArray, FloatArray]


@dataclass(slots=True)
class _Found:
    """Regret by start, seed by seed."""

    by_start: dict[str, list[_Regret]] = field(default_factory=dict)
    by_day: dict[str, list[list[float]]] = field(default_factory=dict)


def run(
    *,
    scenarios: Sequence[str] = SCENARIOS,
    policies: Mapping[str, dict[str, Any]] = POLICIES,
    seeds: Sequence[int] = (1, 2, 3),
    users: int = 4_000,
    donor_days: int = 28,
    data: DataSettings | None = None,
    workers: int = 1,
    announce: Callable[[str], None] = lambda line: None,
) -> list[Saving]:
    """Run the study.

    Args:
        scenarios: whose users are met.
        policies: what is started, by name.
        seeds: one world and population each.
        users: of each seed; a share of `LEARNERS` meets the started arm, the others the donor.
        donor_days: days for which the donor learns.
        data: settings of the data; None takes `MATINEE_DATA`, else the drawn catalogue.
        workers: processes.
        announce: told of each seed.

    Raises:
        MatineeError: on data or sizes that do not fit.
    """
    savings = []
    for scenario in scenarios:
        for name, policy in policies.items():
            found = _Found()
            for seed in seeds:
                announce(f"Warm start, {scenario}, {name}, seed {seed}")
                base = _base(scenario, seed=seed, users=users, data=data)
                _one_seed(found, base, policy, donor_days=donor_days, workers=workers)
            savings += _savings(scenario, name, found)
    return savings


def _base(scenario: str, *, seed: int, users: int, data: DataSettings | None) -> dict[str, Any]:
    return {
        "name": "warm_start",
        "seed": seed,
        "users": users,
        "days": WEEK,
        "scenario": scenario,
        # All come within the week: it is the policy that is new, not the service.
        "world": {"arrival_days": WEEK},
        "fresh_candidates": 20 if scenario in ("stress", "cold_start") else 0,
        "regret_every": 1,
        "data": None if data is None else data.model_dump(mode="json"),
        "reward": {"engagement": {"click": 1.0, "watch": 0.0}},
    }


def _one_seed(
    found: _Found, base: dict[str, Any], policy: dict[str, Any], *, donor_days: int, workers: int
) -> None:
    idle = {"name": "idle", "policy": {"kind": "score_order"}}
    many, few = {"weight": 1.0 - LEARNERS}, {"weight": LEARNERS}
    donor = {**base, "days": donor_days, "regret_every": 1_000_000}
    donor["arms"] = [{"name": "donor", "policy": policy, **many}, {**idle, **few}]
    learner = {"name": "learner", "policy": policy, **few}
    week = parse_settings({**base, "arms": [{**idle, **many}, learner]})
    shared = prepare(week)
    with finished_run(parse_settings(donor), workers=workers) as donated:
        for start, warm in _starts(donated).items():
            arm = {**learner, "warm_start": warm}
            settings = parse_settings({**base, "arms": [{**idle, **many}, arm]})
            with logged_run(settings, shared, workers=workers) as run:
                regret = regret_by_unit(run, "learner", first=0, last=WEEK - 1)
                days = [_mean(regret_by_unit(run, "learner", first=d, last=d)) for d in range(WEEK)]
            found.by_start.setdefault(start, []).append(regret)
            found.by_day.setdefault(start, []).append(days)


def _starts(donated: Path) -> dict[str, dict[str, Any] | None]:
    """The ways to start, by name; the first is none of them."""
    snapshot = {"snapshot": str(max((donated / "snapshots" / "donor").glob("*.npz")))}
    return {
        "cold": None,
        "snapshot": snapshot,
        "tenth of snapshot": {**snapshot, "discount": 0.1},
        "score prior": {"mf_prior": {"weight": 0.1}},
    }


def _savings(scenario: str, policy: str, found: _Found) -> list[Saving]:
    savings = []
    for start in found.by_start:
        if start == "cold":
            continue
        pairs = [
            on_same_units(cold, warm)
            for cold, warm in zip(found.by_start["cold"], found.by_start[start], strict=True)
        ]
        saved, error = _share(found.by_start["cold"], found.by_start[start])
        by_seed = tuple(
            _share([cold], [warm])[0]
            for cold, warm in zip(found.by_start["cold"], found.by_start[start], strict=True)
        )
        savings.append(
            Saving(
                scenario=scenario,
                policy=policy,
                start=start,
                regret=ratio_difference(
                    "regret per page, cold and warm",
                    [cold for cold, _ in pairs],
                    [warm for _, warm in pairs],
                ),
                saved=saved,
                saved_error=error,
                by_seed=by_seed,
                seed_error=(
                    stdev(by_seed) / math.sqrt(len(by_seed)) if len(by_seed) > 1 else math.nan
                ),
                cold_by_day=_by_day(found, "cold"),
                warm_by_day=_by_day(found, start),
            )
        )
    return savings


def _share(cold: Sequence[_Regret], warm: Sequence[_Regret]) -> tuple[float, float]:
    """1 - warm / cold of the mean regret per page, with its error over users."""
    top, bottom, cross = [], [], []
    for before, after in zip(cold, warm, strict=True):
        units = np.union1d(before[0], after[0])
        from_cold, from_warm = _per_unit(before, units), _per_unit(after, units)
        top.append(float((from_cold - from_warm).mean()))
        bottom.append(float(from_cold.mean()))
        cross.append(np.cov(from_cold - from_warm, from_cold) / units.size)
    share = float(np.sum(top) / np.sum(bottom))
    covariance = np.sum(cross, axis=0)
    variance = covariance[0, 0] - 2.0 * share * covariance[0, 1] + share**2 * covariance[1, 1]
    return share, float(np.sqrt(max(variance, 0.0)) / np.sum(bottom))


def _by_day(found: _Found, start: str) -> tuple[float, ...]:
    return tuple(np.nanmean(np.array(found.by_day[start]), axis=0).tolist())


def _mean(regret: _Regret) -> float:
    return float(regret[1].sum() / regret[2].sum()) if regret[2].sum() else float("nan")


def _per_unit(arm: _Regret, units: Any) -> FloatArray:
    total, pages = np.zeros(units.size), np.zeros(units.size)
    place = np.searchsorted(units, arm[0])
    total[place], pages[place] = arm[1], arm[2]
    return linearised(total, pages)


def to_json(savings: Sequence[Saving]) -> list[dict[str, Any]]:
    """JSON values."""
    return [asdict(saving) for saving in savings]
