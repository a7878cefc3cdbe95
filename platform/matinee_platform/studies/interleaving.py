"""Which of two arms' rankings simulated users prefer, on interleaved pages.

Both arms rank as they would without exploring and do not learn meanwhile. An arm that learns is
trained before, on users of its own whom the interleaved pages never meet.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from matinee_platform.offline.arm_state import arm_policy
from matinee_platform.offline.interleaved_pages import InterleavedPages
from matinee_platform.offline.interleaved_side import Side, check_side, new_side, set_level
from matinee_platform.offline.prepare import Prepared, draw_roster, prepare
from matinee_platform.offline.run import check_settings
from matinee_platform.settings import ArmSettings, ExperimentSettings
from matinee_platform.studies.runs import logged_run
from matinee_policies.arrays import FloatArray, Int64Array
from matinee_policies.config import check_whole
from matinee_policies.errors import ConfigError
from matinee_policies.policy import Policy
from matinee_policies.registry import restore_policy
from matinee_policies.snapshot import Snapshot
from matinee_policies.snapshot_signature import SigningKeys

DAYS = 7
"""Days of interleaved pages, if nobody says otherwise."""


@dataclass(frozen=True, slots=True)
class InterleavedCredit:
    """What users did on interleaved pages.

    Attributes:
        arms: names of the two.
        data: which data the run used, in a line.
        clicks: of each user to each arm, `float64 [n, 2]`.
        watched: watched fractions of each user, likewise, `float64 [n, 2]`.
        pages: seen by each user, `int64 [n]`.
        trained: users and days that each learning arm was trained on; None if none learns.
        warnings: what the result cannot speak of.
    """

    arms: tuple[str, str]
    data: str
    clicks: FloatArray
    watched: FloatArray
    pages: Int64Array
    trained: tuple[int, int] | None
    warnings: tuple[str, ...]


def run(
    settings: ExperimentSettings,
    arms: tuple[str, str],
    *,
    users: int | None = None,
    days: int = DAYS,
    announce: Callable[[str], None] = lambda line: None,
) -> InterleavedCredit:
    """Interleave two arms of an experiment; one arm twice must give no preference.

    Args:
        settings: of the experiment; its days are those of training.
        arms: names of the two arms.
        users: that see interleaved pages; None for those of the experiment. An arm that learns is
            trained on as many others.
        days: of interleaved pages.
        announce: told what is being done.

    Raises:
        ConfigError: on an arm that is not there, or has no ranking to interleave.
        MatineeError: on bad settings or data.
    """
    users = settings.users if users is None else users
    check_whole("users", users, low=2)
    check_whole("days", days, low=1, high=4_095)
    pair = tuple(_arm(settings, name) for name in arms)
    for arm in pair:
        check_side(arm)
    learners = list({arm.name: arm for arm in pair if arm_policy(arm).learns}.values())
    trainees = users * len(learners)
    whole = _with(settings, pair, users=trainees + users, days=max(days, settings.days))
    check_settings(whole)
    shared = prepare(whole)
    announce(f"Data: {shared.data}")
    policies = {arm.name: arm_policy(arm) for arm in pair}
    if learners:
        announce(f"Training {' and '.join(arm.name for arm in learners)} for {settings.days} days")
        school = _with(settings, learners, users=trainees, days=settings.days)
        policies |= _trained(school, shared)
    announce(f"Interleaving {arms[0]} and {arms[1]} for {days} days")
    roster = draw_roster(whole)
    numbers = np.arange(trainees, trainees + users, dtype=np.int64)
    sides = tuple(
        new_side(
            whole,
            arm,
            users=numbers,
            pseudonyms=roster.pseudonyms[numbers],
            shared=shared,
            policy=policies[arm.name],
        )
        for arm in pair
    )
    stage = InterleavedPages(whole, (sides[0], sides[1]), numbers, shared)
    for day in range(days):
        stage.play(day)
    return InterleavedCredit(
        arms=arms,
        data=shared.data,
        clicks=stage.clicks,
        watched=stage.watched,
        pages=stage.pages,
        trained=(users, settings.days) if learners else None,
        warnings=tuple(_warnings(sides)),
    )


def _arm(settings: ExperimentSettings, name: str) -> ArmSettings:
    for arm in settings.arms:
        if arm.name == name:
            return arm
    names = ", ".join(arm.name for arm in settings.arms)
    raise ConfigError(f"--arms must name arms of the experiment ({names}), got {name!r}")


def _with(
    settings: ExperimentSettings,
    arms: tuple[ArmSettings, ...] | list[ArmSettings],
    *,
    users: int,
    days: int,
) -> ExperimentSettings:
    """The experiment with some of its arms, of equal weight, each but once."""
    once = {arm.name: arm for arm in arms}
    equal = [arm.model_copy(update={"weight": 1.0 / len(once)}) for arm in once.values()]
    return settings.model_copy(
        update={
            "arms": equal,
            "users": users,
            "days": days,
            "control": equal[0].name,
            "design": "ab",
        }
    )


def _trained(settings: ExperimentSettings, shared: Prepared) -> dict[str, Policy]:
    """The last policy of every arm after a run that leaves nothing behind."""
    with logged_run(settings, shared, workers=1) as run:
        return {arm.name: _last_policy(run, arm) for arm in settings.arms}


def _last_policy(run: Path, arm: ArmSettings) -> Policy:
    last = max((run / "snapshots" / arm.name).glob("*.npz"))
    snapshot = Snapshot.load(last, keys=SigningKeys.configured())
    return restore_policy(snapshot, kind=arm.policy["kind"], config=arm.policy)


def _warnings(sides: tuple[Side, ...]) -> list[str]:
    found = []
    for side in sides:
        what = set_level(side.policy)
        if what is not None:
            found.append(
                f"{side.arm.name} composes its slates as sets ({what}); an interleaved page does "
                "not keep that, so the preference speaks of its items one by one, among those of "
                "the other arm, and not of its slates"
            )
    return found
