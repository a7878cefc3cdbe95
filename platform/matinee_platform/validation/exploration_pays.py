"""T12: whether a learner that explores gets more clicks than the same one that does not.

The platform runs both against users of a catalogue in which items arrive. The two arms of a pair
have one policy, prior and features, and differ in exploration alone; all arms of a seed meet the
same users with the same luck. Replay of a log cannot show this (Pires et al. 2025): nobody tried
what it does not hold.

It pays where items differ in what nobody can know before they were shown, and where much is at
stake in finding out: in the world of the gate, appeal weighs twice as much as by default, so that
some items are hits. Users arrive all the time, since what is learned must be of use to somebody.
With the default weight there is no clear gain: pages of ten, items that rest once they were shown
and that nobody watches twice make a greedy learner try enough. Both are told; the first is the
gate.
"""

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np

from matinee_platform.analysis.unit_table import read_unit_table
from matinee_platform.data_settings import DataSettings
from matinee_platform.offline.run import run_experiment
from matinee_platform.settings import ExperimentSettings, parse_settings
from matinee_policies.arrays import FloatArray
from matinee_policies.errors import ConfigError

CLEAR = 3.0
"""Standard errors, over users and over seeds, beyond which a gain counts."""

_SLOTS, _CANDIDATES, _FRESH = 10, 150, 110

_GROWING = {"arriving_share": 0.9, "item_arrivals": 2.0, "arrival_days": 60}
_HITS = {**_GROWING, "click_appeal": 1.4}

# A click has a noise of some .2 to .3 around a rate of 4 to 10 %, items a spread of about .05:
# a prior of 25 observations. The widths were chosen with a seed of their own, 101.
_L2 = 25.0


@dataclass(frozen=True, slots=True)
class Pair:
    """Two policies that differ in exploration alone.

    Attributes:
        name: of what they have in common.
        greedy: settings of the one that shows what looks best.
        explorer: settings of the one that also tries what is uncertain.
        world: parameters of the users that they meet.
    """

    name: str
    greedy: dict[str, Any]
    explorer: dict[str, Any]
    world: dict[str, Any]


def _pair(name: str, world: dict[str, Any], *, alpha: float, **settings: Any) -> Pair:
    """LinUCB with and without its upper bounds."""
    common = {"kind": "lin_ucb", "floor": 0.0, "l2": _L2, **settings}
    return Pair(name, {**common, "alpha": 0.0}, {**common, "alpha": alpha}, world)


PAIRS = (
    _pair("coefficients per item, some items hits", _HITS, form="disjoint", alpha=0.2),
    _pair("a level per item, some items hits", _HITS, form="hybrid", item_features=[0], alpha=0.5),
    _pair("coefficients per item, default appeal", _GROWING, form="disjoint", alpha=0.2),
)
"""The first is the gate; the others are reported as found."""


@dataclass(frozen=True, slots=True)
class Gain:
    """What exploration gains, in clicks per user over the days.

    Attributes:
        pair: name of the pair.
        greedy: clicks per user of the greedy policy, mean over seeds.
        explorer: those of the one that explores.
        difference: explorer minus greedy, mean over seeds.
        user_error: standard error of the difference over users, paired.
        seed_error: the same from the spread of the seeds, NaN for one seed.
        by_seed: the difference of each seed.
    """

    pair: str
    greedy: float
    explorer: float
    difference: float
    user_error: float
    seed_error: float
    by_seed: tuple[float, ...]

    @property
    def clear(self) -> bool:
        """Whether the gain is beyond `CLEAR` standard errors over users and over seeds."""
        seeds = 0.0 if math.isnan(self.seed_error) else self.seed_error
        return self.difference > CLEAR * max(self.user_error, seeds)


@dataclass(frozen=True, slots=True)
class ExplorationPays:
    """What the experiment found.

    Attributes:
        data: one line that says which data it used.
        users: of each seed.
        days: of each run.
        seeds: numbers.
        gains: one for each of `PAIRS`; the first is the gate.
    """

    data: str
    users: int
    days: int
    seeds: tuple[int, ...]
    gains: tuple[Gain, ...]

    @property
    def passed(self) -> bool:
        """Whether the gate's gain is clear."""
        return self.gains[0].clear

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {**asdict(self), "passed": self.passed}


def run(
    *,
    quick: bool,
    data: DataSettings | None = None,
    seed: int = 1,
    users: int | None = None,
    days: int | None = None,
    seeds: int | None = None,
    pairs: Sequence[Pair] = PAIRS,
    workers: int = 1,
    announce: Callable[[str], None] = lambda line: None,
) -> ExplorationPays:
    """Run the experiment.

    Args:
        quick: whether a small form will do.
        data: settings of the data; None takes `MATINEE_DATA`, else the drawn catalogue.
        seed: the first of the seeds.
        users: of each seed, at least 2; by `quick` if None.
        days: of each run; 60 if None.
        seeds: how many; by `quick` if None.
        pairs: what is compared; the first is the gate.
        workers: processes.
        announce: told of each seed.

    Raises:
        MatineeError: on data or sizes that do not fit.
    """
    users = users or (600 if quick else 1_500)
    count = seeds or (1 if quick else 4)
    if users < 2 or not pairs:
        raise ConfigError(f"users must be at least 2 and pairs at least 1, got {users}, {pairs}")
    numbers = tuple(range(seed, seed + count))
    greedy: list[list[FloatArray]] = [[] for _ in pairs]
    explorer: list[list[FloatArray]] = [[] for _ in pairs]
    description = ""
    for number in numbers:
        for world in _worlds(pairs):
            announce(f"Exploration, seed {number}, {len(world)} pairs of arms")
            members = {place: pairs[place] for place in world}
            settings = _settings(members, data=data, seed=number, users=users, days=days or 60)
            clicks, description = _clicks(settings, workers=workers)
            for place in world:
                greedy[place].append(clicks[_arm(place, "greedy")])
                explorer[place].append(clicks[_arm(place, "explorer")])
    gains = tuple(
        gain_of(pair.name, greedy[place], explorer[place]) for place, pair in enumerate(pairs)
    )
    return ExplorationPays(description, users, days or 60, numbers, gains)


def _worlds(pairs: Sequence[Pair]) -> list[list[int]]:
    """Places of the pairs that share a world, world by world."""
    worlds: list[list[int]] = []
    for place, pair in enumerate(pairs):
        for world in worlds:
            if pairs[world[0]].world == pair.world:
                world.append(place)
                break
        else:
            worlds.append([place])
    return worlds


def _settings(
    pairs: Mapping[int, Pair], *, data: DataSettings | None, seed: int, users: int, days: int
) -> ExperimentSettings:
    arms = [
        {"name": _arm(place, role), "policy": getattr(pair, role)}
        for place, pair in pairs.items()
        for role in ("greedy", "explorer")
    ]
    return parse_settings(
        {
            "name": "exploration",
            "seed": seed,
            "users": users,
            "days": days,
            "slots": _SLOTS,
            "candidates": _CANDIDATES,
            "fresh_candidates": _FRESH,
            "regret_every": 1_000_000,
            "design": "paired",
            "data": None if data is None else data.model_dump(mode="json"),
            "world": next(iter(pairs.values())).world,
            "reward": {"engagement": {"click": 1.0, "watch": 0.0}},
            "arms": arms,
        }
    )


def _arm(place: int, role: str) -> str:
    return f"{role}_{place}"


def _clicks(settings: ExperimentSettings, *, workers: int) -> tuple[dict[str, FloatArray], str]:
    """Clicks of each user in each arm, users in one order, and the line on the data."""
    with tempfile.TemporaryDirectory(prefix="matinee-") as folder:
        run_folder = Path(folder) / "run"
        results = run_experiment(settings, run_folder, workers=workers)
        tables = {
            arm.name: read_unit_table(run_folder, arm.name, days=settings.days)
            for arm in settings.arms
        }
    units = np.unique(np.concatenate([table.unit for table in tables.values()]))
    clicks = {}
    for name, table in tables.items():
        clicks[name] = np.zeros(units.size)
        clicks[name][np.searchsorted(units, table.unit)] = table.clicks
    return clicks, str(results["data"])


def gain_of(name: str, greedy: Sequence[FloatArray], explorer: Sequence[FloatArray]) -> Gain:
    """What exploration gains over several seeds.

    Args:
        name: of the pair.
        greedy: clicks of each user, one array `float64 [n]` per seed.
        explorer: of the same users in the same order.

    Example:
        >>> greedy, explorer = np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 3.0])
        >>> found = gain_of("both", [greedy], [explorer])
        >>> found.difference, round(found.user_error, 4), found.clear
        (1.0, 0.5774, False)
    """
    differences = [more - less for more, less in zip(explorer, greedy, strict=True)]
    by_seed = [float(difference.mean()) for difference in differences]
    squares = [float(difference.var(ddof=1)) / difference.size for difference in differences]
    return Gain(
        pair=name,
        greedy=fmean(float(found.mean()) for found in greedy),
        explorer=fmean(float(found.mean()) for found in explorer),
        difference=fmean(by_seed),
        user_error=math.sqrt(math.fsum(squares)) / len(squares),
        seed_error=stdev(by_seed) / math.sqrt(len(by_seed)) if len(by_seed) > 1 else math.nan,
        by_seed=tuple(by_seed),
    )
