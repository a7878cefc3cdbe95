"""How often drift is seen where there is none, and how late where there is.

In calm worlds nothing changes but the users themselves: who comes, how sated they are, what they
are shown. In the one with shocks genres come into fashion, each for a week, and the simulator tells
when. The seeds are none of those that the rule was made on (101 to 106).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from scipy.stats import beta

from matinee_platform.analysis.drift import ALL_ITEMS, Drift, read_drift
from matinee_platform.data_settings import DataSettings
from matinee_platform.drift_detector import DriftConfig
from matinee_platform.offline.prepare import Prepared, prepare
from matinee_platform.offline.shock_calendar import GenreShock, genre_shocks
from matinee_platform.settings import ExperimentSettings, parse_settings
from matinee_platform.studies.runs import logged_run

_LIN_UCB = {"kind": "lin_ucb", "alpha": 0.05, "l2": 25.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftWorld:
    """Runs of one kind.

    Attributes:
        seeds: one world and population each.
        users: of each seed, over all arms.
        experiment: the other settings of the runs.
    """

    seeds: tuple[int, ...]
    users: int
    experiment: Mapping[str, Any]


CALM: Mapping[str, DriftWorld] = {
    "demo": DriftWorld(
        seeds=tuple(range(11, 25)),
        users=10_200,
        experiment={
            "days": 35,
            "reward": {
                "engagement": {"watch": 1.0, "click": -0.3},
                "return_visit": {"weight": 0.05},
            },
            "arms": [
                {
                    "name": "epsilon_greedy",
                    "policy": {"kind": "epsilon_greedy", "epsilon": 0.1, "diversity": 0.05},
                },
                {"name": "lin_ucb", "policy": {"kind": "lin_ucb", "alpha": 0.1, "diversity": 0.05}},
                {
                    "name": "vowpal_wabbit",
                    "policy": {
                        "kind": "vowpal_wabbit",
                        "exploration": "squarecb",
                        "gamma_scale": 1000,
                        "propensity_weighted": False,
                        "learning_rate": 0.1,
                        "diversity": 0.05,
                    },
                },
            ],
        },
    ),
    "movielens": DriftWorld(
        seeds=tuple(range(1, 6)),
        users=1_500,
        experiment={"days": 60, "arms": [{"name": "lin_ucb", "policy": _LIN_UCB}]},
    ),
}
"""`demo` has the arms that learn of `examples/demo.yaml`, with as many users each."""

SHOCKED: Mapping[str, DriftWorld] = {
    "stress": DriftWorld(
        seeds=(1, 2, 3, 4, 5),
        users=1_500,
        experiment={
            "days": 60,
            "scenario": "stress",
            "world": {"shock_size": 2.0},
            "fresh_candidates": 20,
            "arms": [{"name": "lin_ucb", "policy": _LIN_UCB}],
        },
    ),
}

WORLDS = (*CALM, *SHOCKED)
"""Names of all of them."""


@dataclass(frozen=True, slots=True)
class Share:
    """A share of cases, with its binomial standard error and 95 % bounds (Clopper and Pearson)."""

    cases: int
    hits: int
    share: float
    error: float
    low: float
    high: float

    @classmethod
    def of(cls, hits: int, cases: int) -> "Share":
        """The share of `hits` among `cases`.

        Example:
            >>> round(Share.of(0, 60).high, 4)
            0.0596
        """
        share = hits / cases if cases else math.nan
        return cls(
            cases=cases,
            hits=hits,
            share=share,
            error=math.sqrt(share * (1.0 - share) / cases) if cases else math.nan,
            low=float(beta.ppf(0.025, hits, cases - hits + 1)) if hits else 0.0,
            high=float(beta.ppf(0.975, hits + 1, cases - hits)) if hits < cases else 1.0,
        )

    def text(self) -> str:
        """For people."""
        return (
            f"{self.hits} of {self.cases}, {self.share:.1%} +- {self.error:.1%} "
            f"(95 %: {self.low:.1%} to {self.high:.1%})"
        )


@dataclass(frozen=True, slots=True)
class FalseAlarms:
    """Runs of one arm in a calm world, and how many of them raised an alarm.

    Attributes:
        world: its name.
        arm: its name, or `all arms`.
        everywhere: share of runs with an alarm over all items.
        genres: share of runs with an alarm of any genre.
    """

    world: str
    arm: str
    everywhere: Share
    genres: Share

    def text(self) -> str:
        """Lines for people."""
        return (
            f"{self.world}, {self.arm}: runs with an alarm over all items "
            f"{self.everywhere.text()}; of a genre {self.genres.text()}"
        )


@dataclass(frozen=True, slots=True)
class Delays:
    """Shocks of genres, and which were noticed in their genre while they lasted.

    Attributes:
        world: its name.
        noticed: share of shocks.
        delays: days from the first day of each noticed shock to the alarm, rising.
        missed: seed, genre and first day of the others, counted from 0.
    """

    world: str
    noticed: Share
    delays: tuple[int, ...]
    missed: tuple[tuple[int, str, int], ...]

    def text(self) -> str:
        """Lines for people."""
        mean = sum(self.delays) / len(self.delays) if self.delays else math.nan
        days = " ".join(str(delay) for delay in self.delays)
        missed = ", ".join(f"{genre} (seed {s}, day {day + 1})" for s, genre, day in self.missed)
        return (
            f"{self.world}: shocks noticed {self.noticed.text()}; after days {days}, "
            f"mean {mean:.1f}; not noticed: {missed or 'none'}"
        )


def run(
    *,
    worlds: Sequence[str] = WORLDS,
    seeds: Sequence[int] | None = None,
    users: int | None = None,
    data: DataSettings | None = None,
    workers: int = 1,
    config: DriftConfig | None = None,
    announce: Callable[[str], None] = lambda line: None,
) -> list[FalseAlarms | Delays]:
    """Run the study.

    Args:
        worlds: names, of `WORLDS`.
        seeds: in place of those of each world.
        users: of each seed, likewise.
        data: settings of the data; None takes `MATINEE_DATA`, else the drawn catalogue.
        workers: processes.
        config: of the detection; None takes the default.
        announce: told of each seed.

    Raises:
        MatineeError: on data or sizes that do not fit.
    """
    found: list[FalseAlarms | Delays] = []
    for name in worlds:
        world = {**CALM, **SHOCKED}[name]
        runs = []
        for seed in world.seeds if seeds is None else seeds:
            announce(f"Drift, {name}, seed {seed}")
            settings = _settings(name, world, seed=seed, users=users, data=data)
            shared = prepare(settings)
            drifts = _drifts(settings, shared, workers=workers, config=config or DriftConfig())
            runs.append((settings, genre_shocks(settings, shared), drifts))
        if name in CALM:
            found += _false_alarms(name, [drifts for _, _, drifts in runs])
        else:
            found.append(_delays(name, runs, config=config or DriftConfig()))
    return found


def noticed(
    shocks: Sequence[GenreShock], drift: Drift, *, first: int, last: int
) -> list[tuple[GenreShock, int | None]]:
    """Days from the beginning of each shock to the first alarm of its genre, while it lasts.

    Args:
        shocks: of the run.
        drift: what was found in it.
        first: day of the run on or after which a shock must begin to be judged.
        last: day on or before which it must end.

    Returns:
        Shocks that are judged; None for those that were not noticed.
    """
    judged = []
    for shock in shocks:
        if shock.first < first or shock.last > last:
            continue
        days = [
            alarm.day - shock.first
            for alarm in drift.alarms
            if alarm.what == shock.genre and shock.first <= alarm.day <= shock.last
        ]
        judged.append((shock, min(days, default=None)))
    return judged


def to_json(found: Sequence[FalseAlarms | Delays]) -> list[dict[str, Any]]:
    """JSON values."""
    return [asdict(one) for one in found]


_Drifts = Mapping[str, Drift]


def _settings(
    name: str, world: DriftWorld, *, seed: int, users: int | None, data: DataSettings | None
) -> ExperimentSettings:
    return parse_settings(
        {
            "name": f"drift_{name}",
            "seed": seed,
            "users": world.users if users is None else users,
            "regret_every": 1_000_000,
            "data": None if data is None else data.model_dump(mode="json"),
            **world.experiment,
        }
    )


def _drifts(
    settings: ExperimentSettings, shared: Prepared, *, workers: int, config: DriftConfig
) -> _Drifts:
    with logged_run(settings, shared, workers=workers) as folder:
        return {
            arm.name: read_drift(
                folder,
                arm.name,
                days=settings.days,
                model=shared.model,
                engagement=settings.reward.engagement,
                config=config,
            )
            for arm in settings.arms
        }


def _false_alarms(world: str, runs: Sequence[_Drifts]) -> list[FalseAlarms]:
    by_arm = {arm: [drifts[arm] for drifts in runs] for arm in runs[0]}
    if len(by_arm) > 1:
        by_arm["all arms"] = [drift for drifts in runs for drift in drifts.values()]
    found = []
    for arm, drifts in by_arm.items():
        told = [{alarm.what == ALL_ITEMS for alarm in drift.alarms} for drift in drifts]
        everywhere, genres = (sum(which in one for one in told) for which in (True, False))
        shares = Share.of(everywhere, len(drifts)), Share.of(genres, len(drifts))
        found.append(FalseAlarms(world, arm, *shares))
    return found


def _delays(
    world: str,
    runs: Sequence[tuple[ExperimentSettings, Sequence[GenreShock], _Drifts]],
    *,
    config: DriftConfig,
) -> Delays:
    delays, missed = [], []
    for settings, shocks, drifts in runs:
        # Before that there is nothing to compare with.
        first, last = config.settle_days + 1, settings.days - 2
        for drift in drifts.values():
            for shock, delay in noticed(shocks, drift, first=first, last=last):
                if delay is None:
                    missed.append((settings.seed, shock.genre, shock.first))
                else:
                    delays.append(delay)
    return Delays(
        world,
        Share.of(len(delays), len(delays) + len(missed)),
        tuple(sorted(delays)),
        tuple(missed),
    )
