"""Whether policies that forget beat the same ones that do not, where the world changes.

All arms of a seed meet the same users with the same luck, and have one prior, one width and the
same features; they differ in what they forget. Strengths and half-lives were chosen on seeds that
are not judged.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from matinee_platform.data_settings import DataSettings
from matinee_platform.offline.prepare import prepare
from matinee_platform.settings import ExperimentSettings, parse_settings
from matinee_platform.studies.paired import Difference, difference, ratio_difference
from matinee_platform.studies.runs import (
    aligned,
    clicks_by_unit,
    logged_run,
    on_same_units,
    regret_by_unit,
)

_COMMON = {"alpha": 0.05, "floor": 0.0, "l2": 25.0}

ARMS: Mapping[str, dict[str, Any]] = {
    "lin_ucb": {"kind": "lin_ucb", **_COMMON},
    "discounted": {"kind": "discounted_lin_ucb", "half_life_days": 7.0, **_COMMON},
    "window": {"kind": "sliding_window_lin_ucb", "window_days": 14, **_COMMON},
}
"""The first forgets nothing."""

WORLDS: Mapping[str, dict[str, Any]] = {
    "stress": {},
    "strong stress": {"taste_drift": 0.1, "shock_rate": 0.3, "shock_size": 2.5},
}
"""Parameters of the users beside those of `stress`. The strong form, in which tastes wander three
times as fast and genres come into fashion three times as often and more so, was chosen on seed 101,
like half-life and window: no judged one."""


@dataclass(frozen=True, slots=True)
class Forgetting:
    """What forgetting gains in one world.

    Attributes:
        world: its name.
        clicks: clicks per user of each policy that forgets, beside the one that does not.
        regret: regret per page, likewise.
    """

    world: str
    clicks: tuple[Difference, ...]
    regret: tuple[Difference, ...]

    def text(self) -> str:
        """Lines for people."""
        return "\n".join(f"{self.world}, {one.text()}" for one in (*self.clicks, *self.regret))

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


def run(
    *,
    worlds: Mapping[str, dict[str, Any]] = WORLDS,
    arms: Mapping[str, dict[str, Any]] = ARMS,
    seeds: Sequence[int] = (1, 2, 3, 4, 5),
    users: int = 800,
    days: int = 60,
    data: DataSettings | None = None,
    workers: int = 1,
    announce: Callable[[str], None] = lambda line: None,
) -> list[Forgetting]:
    """Run the study.

    Args:
        worlds: parameters of the users beside those of `stress`, by name.
        arms: policies by name; the first is what the others are compared with.
        seeds: one world and population each.
        users: of each seed.
        days: of each run.
        data: settings of the data; None takes `MATINEE_DATA`, else the drawn catalogue.
        workers: processes.
        announce: told of each seed.

    Raises:
        MatineeError: on data or sizes that do not fit.
    """
    return [
        _world(
            name,
            [
                settings_of(world, arms, seed=seed, users=users, days=days, data=data)
                for seed in seeds
            ],
            workers=workers,
            announce=announce,
        )
        for name, world in worlds.items()
    ]


def settings_of(
    world: Mapping[str, Any],
    arms: Mapping[str, dict[str, Any]],
    *,
    seed: int,
    users: int,
    days: int,
    data: DataSettings | None,
) -> ExperimentSettings:
    """The experiment of one seed."""
    return parse_settings(
        {
            "name": "forgetting",
            "seed": seed,
            "users": users,
            "days": days,
            "scenario": "stress",
            "world": dict(world),
            "fresh_candidates": 20,
            "design": "paired",
            "regret_every": 10,
            "data": None if data is None else data.model_dump(mode="json"),
            "reward": {"engagement": {"click": 1.0, "watch": 0.0}},
            "arms": [{"name": name, "policy": policy} for name, policy in arms.items()],
        }
    )


def _world(
    name: str,
    experiments: Sequence[ExperimentSettings],
    *,
    workers: int,
    announce: Callable[[str], None],
) -> Forgetting:
    plain, *forgetful = [arm.name for arm in experiments[0].arms]
    clicks: dict[str, list[Any]] = {arm: [] for arm in forgetful}
    regret: dict[str, list[Any]] = {arm: [] for arm in forgetful}
    for settings in experiments:
        announce(f"Forgetting, {name}, seed {settings.seed}")
        last = settings.days - 1
        with logged_run(settings, prepare(settings), workers=workers) as folder:
            clicked = {
                arm.name: clicks_by_unit(folder, arm.name, days=settings.days)
                for arm in settings.arms
            }
            left = {
                arm.name: regret_by_unit(folder, arm.name, first=0, last=last)
                for arm in settings.arms
            }
        for arm in forgetful:
            clicks[arm].append(aligned(clicked[plain], clicked[arm]))
            regret[arm].append(on_same_units(left[plain], left[arm]))
    return Forgetting(
        world=name,
        clicks=tuple(
            difference(f"clicks per user, {plain} and {arm}", *_columns(pairs))
            for arm, pairs in clicks.items()
        ),
        regret=tuple(
            ratio_difference(f"regret per page, {plain} and {arm}", *_columns(pairs))
            for arm, pairs in regret.items()
        ),
    )


def _columns(pairs: Sequence[tuple[Any, Any]]) -> tuple[list[Any], list[Any]]:
    return [first for first, _ in pairs], [second for _, second in pairs]
