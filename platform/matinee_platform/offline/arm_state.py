"""Everything that one arm of a run is made of, built from the shared parts, and its checkpoint."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from matinee_platform.decision_log import DecisionLog
from matinee_platform.engine import Engine
from matinee_platform.learner import ArmLearner
from matinee_platform.offline.checkpoint import restore_into
from matinee_platform.offline.exploration_log import ExplorationLog
from matinee_platform.offline.kpi_counter import KpiCounter
from matinee_platform.offline.late_ratings import RatingQueue
from matinee_platform.offline.prepare import (
    Prepared,
    Roster,
    catalogue_calendar,
    world_parameters,
)
from matinee_platform.offline.reference import reference_config
from matinee_platform.offline.regret_log import RegretLog
from matinee_platform.offline.shelf import Shelf
from matinee_platform.offline.stage_clock import StageClock
from matinee_platform.offline.user_rows import UserRows
from matinee_platform.page_files import PageFiles
from matinee_platform.plays import PlayScale
from matinee_platform.pseudonyms import shard_of
from matinee_platform.settings import ArmSettings, ExperimentSettings
from matinee_platform.simulated_keys import draw_key
from matinee_platform.unit_state import UnitStates, age_in_days
from matinee_platform.warm_start import first_snapshot
from matinee_policies.arrays import AnyArray, IndexArray, Int64Array, UInt8Array, UInt64Array
from matinee_policies.features import FEATURE_NAMES, ItemFeatures
from matinee_policies.policy import Policy
from matinee_policies.registry import build_policy, restore_policy
from matinee_policies.snapshot import Snapshot
from matinee_simulator.history import RUN_START
from matinee_simulator.simulation import Simulation

STATE = "state"
"""Folder of a run for the state of users and waiting pages, which goes when the run is complete."""


@dataclass(slots=True)
class ArmState:
    """One arm at work: its users, what the platform knows of them, its policy and its log.

    Attributes:
        settings: of the experiment.
        arm: which arm.
        users: numbers of its simulated users, rising, `int64 [n]`; all below is by place in it.
        pseudonyms: of the users, `uint64 [n]`.
        buckets: assignment buckets, `int16 [n]`.
        shards: shard of each user, `uint8 [n]`.
        id_seed: makes this arm's decision ids its own.
        max_pages: of a session.
        rows: where the state of the users is kept.
        simulation: the users' side.
        units: what the platform remembers of each user.
        shelf: candidate retrieval.
        engine: decides slates.
        learner: holds outcomes and teaches the policy.
        log: of decisions and rewards.
        regret: log of pseudo-regret.
        exploration: log of what exploration cost.
        plays: scale of stars for plays.
        kpis: running figures for metrics.
        late_ratings: ratings on their way.
        clock: where the time goes.
        pages_of_last_session: of each user, `int32 [n]`.
    """

    settings: ExperimentSettings
    arm: ArmSettings
    users: Int64Array
    pseudonyms: UInt64Array
    buckets: AnyArray
    shards: UInt8Array
    id_seed: np.uint64
    max_pages: int
    rows: UserRows
    simulation: Simulation
    units: UnitStates
    shelf: Shelf
    engine: Engine
    learner: ArmLearner
    log: DecisionLog
    regret: RegretLog
    exploration: ExplorationLog
    plays: PlayScale
    kpis: KpiCounter
    pages_of_last_session: IndexArray
    late_ratings: RatingQueue = field(default_factory=RatingQueue)
    clock: StageClock = field(default_factory=StageClock)
    _whole: dict[str, AnyArray] = field(init=False)

    def __post_init__(self) -> None:
        self._whole = self.rows.begin(
            {
                **_prefixed("simulation.", self.simulation.arrays()),
                **_prefixed("units.", self.units.arrays()),
                **_prefixed("kpis.", self.kpis.arrays()),
                "pages_of_last_session": self.pages_of_last_session,
            }
        )

    @property
    def policy(self) -> Policy:
        """The policy, as the engine decides with it."""
        return self.engine.policy

    def replace_policy(self, policy: Policy, *, version: int) -> None:
        """Go on with another policy, from engine to learner."""
        self.engine.policy = policy
        self.engine.snapshot = version
        self.learner.policy = policy

    def arrays(self) -> dict[str, AnyArray]:
        """What changes from day to day, except the policy, the log and what `rows` guards."""
        return {
            **self._whole,
            **_prefixed("learner.", self.learner.arrays()),
            **_prefixed("ratings.", self.late_ratings.arrays()),
        }

    def restore(self, arrays: Mapping[str, AnyArray], *, next_day: int) -> None:
        """Take over what `arrays` gave at the end of the day before `next_day`.

        Raises:
            DataError: it does not fit, or the rows of users are not those of that day.
        """
        self.rows.take_back(next_day)
        restore_into(self._whole, arrays)
        self.rows.check()
        self.learner.restore(_named("learner.", arrays))
        self.late_ratings.restore(_named("ratings.", arrays))
        self.simulation.resume(next_day)

    def open_day(self, active: IndexArray, day: int) -> None:
        """Make ready for a day on which `active` visit; nothing of their rows has changed yet."""
        with self.clock.stage("checkpoint"):
            due = self.late_ratings.units_due(day)
            self.rows.open_day(np.union1d(active, due).astype(np.int32), day)

    def settle(self) -> None:
        """Let go of what only a way back needs: the checkpoint is there."""
        self.rows.settle()
        self.learner.forget()


def new_arm_state(
    settings: ExperimentSettings,
    arm: ArmSettings,
    *,
    users: Int64Array,
    roster: Roster,
    shared: Prepared,
    run: Path,
    resume: bool = False,
) -> ArmState:
    """The state of an arm before its first day, or with the rows of users as a run left them.

    Args:
        settings: of the experiment.
        arm: which arm.
        users: numbers of the simulated users of this arm, rising, `int64 [n]`.
        roster: of the experiment.
        shared: what the arms share.
        run: folder of the run.
        resume: whether to take up the rows of an interrupted run; its checkpoint must follow.

    Raises:
        MatineeError: the rows are not there, or there is no room for them.
    """
    model, parameters, secret = shared.model, world_parameters(settings), arm_secret(settings, arm)
    own = roster.pseudonyms[users]
    policy = first_policy(arm, shared.initial)
    folder = run / STATE / arm.name
    rows = UserRows(
        folder,
        owner=_owner(settings, arm),
        resume=resume,
        keep_bytes=settings.state_memory_mb * 2**20,
    )
    units = UnitStates(
        users.size,
        items=model.items,
        model=model.sources[arm.candidates],
        rest=settings.rest,
        storage=rows.under("units."),
    )
    if not resume:
        for past in shared.past.of(users):
            age = age_in_days(past.times, RUN_START)
            units.load_history(past.users, past.items, past.ratings, age)
            rows.release()
        units.refresh_vectors()
    return ArmState(
        settings=settings,
        arm=arm,
        users=users,
        pseudonyms=own,
        buckets=roster.buckets[users],
        shards=shard_of(own),
        id_seed=np.uint64(int.from_bytes(secret[:8], "little")),
        max_pages=parameters.max_pages,
        rows=rows,
        simulation=Simulation(
            shared.world,
            users,
            seed=settings.seed,
            parameters=parameters,
            storage=rows.under("simulation."),
        ),
        units=units,
        shelf=Shelf(
            model.ranker(arm.candidates, own),
            rules=model.rules.get(arm.name),
            calendar=catalogue_calendar(settings, shared.world),
            pseudonyms=own,
            candidates=settings.candidates,
            fresh=settings.fresh_candidates,
            seed=settings.seed,
        ),
        engine=Engine(
            policy, contexts=model.contexts(arm.name), slots=settings.slots, secret=secret
        ),
        learner=ArmLearner(policy, settings.reward, pages=PageFiles(folder)),
        log=DecisionLog(run, arm.name),
        regret=RegretLog(run, arm.name, every=settings.regret_every),
        exploration=ExplorationLog(run, arm.name),
        plays=shared.plays,
        kpis=KpiCounter(own, days=settings.days, items=model.items),
        pages_of_last_session=np.zeros(users.size, dtype=np.int32),
    )


def arm_policy(arm: ArmSettings) -> Policy:
    """A new policy as the arm's settings ask; a reference arm orders by the scores it is given."""
    config = {key: value for key, value in arm.policy.items() if key != "kind"}
    kind = "score_order" if arm.reference else arm.policy["kind"]
    if arm.reference:
        config = {**reference_config(arm.policy["kind"]), **config}
    return build_policy(kind, config, dimension=len(FEATURE_NAMES))


def first_policy(arm: ArmSettings, initial: Mapping[str, Snapshot]) -> Policy:
    """The policy of an arm's first day: new, or as it starts warm.

    Args:
        arm: settings of the arm.
        initial: first states of the arms that start warm, by name.
    """
    if arm.name not in initial:
        return arm_policy(arm)
    return restore_policy(initial[arm.name], kind=arm.policy["kind"], config=arm.policy)


def first_snapshots(settings: ExperimentSettings, items: ItemFeatures) -> dict[str, Snapshot]:
    """The first states of the arms that start warm, by name.

    Args:
        settings: of the experiment.
        items: item features of the run.

    Raises:
        ConfigError: naming the arm that cannot start so.
    """
    found = {
        arm.name: first_snapshot(arm, arm_policy(arm), items=items, rewards=settings.reward)
        for arm in settings.arms
    }
    return {name: snapshot for name, snapshot in found.items() if snapshot is not None}


def _prefixed(prefix: str, arrays: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
    return {prefix + name: array for name, array in arrays.items()}


def _named(prefix: str, arrays: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


def _owner(settings: ExperimentSettings, arm: ArmSettings) -> str:
    """Whose the state of users is: of this arm of a run with these settings."""
    # What is declared of the analysis leaves the run as it is.
    text = f"{settings.model_dump_json(exclude={'analysis'})}\x1f{arm.name}"
    return hashlib.blake2b(text.encode(), digest_size=16, person=b"matinee-state").hexdigest()


def arm_secret(settings: ExperimentSettings, arm: ArmSettings) -> bytes:
    """Key of an arm's draws: its own stream, fixed by the seed so that a run can be repeated."""
    return draw_key(settings.name, settings.seed, arm.name)
