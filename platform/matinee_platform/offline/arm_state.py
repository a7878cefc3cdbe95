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
from matinee_platform.offline.regret_log import RegretLog
from matinee_platform.offline.shelf import Shelf
from matinee_platform.offline.stage_clock import StageClock
from matinee_platform.plays import PlayScale
from matinee_platform.pseudonyms import shard_of
from matinee_platform.settings import ArmSettings, ExperimentSettings
from matinee_platform.unit_state import UnitStates, age_in_days
from matinee_policies.arrays import AnyArray, IndexArray, Int64Array, UInt8Array, UInt64Array
from matinee_policies.features import FEATURE_NAMES
from matinee_policies.policy import Policy
from matinee_policies.registry import build_policy
from matinee_simulator.history import RUN_START
from matinee_simulator.simulation import Simulation


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
        """Everything that changes from day to day, except the policy and the log."""
        return {
            **self._live_arrays(),
            **_prefixed("learner.", self.learner.arrays()),
            **_prefixed("ratings.", self.late_ratings.arrays()),
        }

    def restore(self, arrays: Mapping[str, AnyArray], *, next_day: int) -> None:
        """Take over what `arrays` gave at the end of the day before `next_day`."""
        restore_into(self._live_arrays(), arrays)
        self.learner.restore(_named("learner.", arrays))
        self.late_ratings.restore(_named("ratings.", arrays))
        self.simulation.resume(next_day)

    def _live_arrays(self) -> dict[str, AnyArray]:
        """The arrays of fixed shape, which a checkpoint is copied into."""
        return {
            **_prefixed("simulation.", self.simulation.arrays()),
            **_prefixed("units.", self.units.arrays()),
            **_prefixed("kpis.", self.kpis.arrays()),
            "pages_of_last_session": self.pages_of_last_session,
        }


def new_arm_state(
    settings: ExperimentSettings,
    arm: ArmSettings,
    *,
    users: Int64Array,
    roster: Roster,
    shared: Prepared,
    run: Path,
) -> ArmState:
    """The state of an arm before its first day.

    Args:
        settings: of the experiment.
        arm: which arm.
        users: numbers of the simulated users of this arm, rising, `int64 [n]`.
        roster: of the experiment.
        shared: what the arms share.
        run: folder of the run.
    """
    model, parameters, secret = shared.model, world_parameters(settings), _secret(settings, arm)
    own = roster.pseudonyms[users]
    policy = arm_policy(arm)
    units = UnitStates(
        users.size, items=model.items, model=model.sources[arm.candidates], rest=settings.rest
    )
    past = shared.past.of(users)
    units.load_history(past.users, past.items, past.ratings, age_in_days(past.times, RUN_START))
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
        simulation=Simulation(shared.world, users, seed=settings.seed, parameters=parameters),
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
        learner=ArmLearner(policy, settings.reward),
        log=DecisionLog(run, arm.name),
        regret=RegretLog(run, arm.name, every=settings.regret_every),
        exploration=ExplorationLog(run, arm.name),
        plays=shared.plays,
        kpis=KpiCounter(own, days=settings.days, embeddings=model.items.embeddings),
        pages_of_last_session=np.zeros(users.size, dtype=np.int32),
    )


def arm_policy(arm: ArmSettings) -> Policy:
    """A new policy as the arm's settings ask; a reference arm orders by the scores it is given."""
    config = {key: value for key, value in arm.policy.items() if key != "kind"}
    kind = "score_order" if arm.reference else arm.policy["kind"]
    return build_policy(kind, config, dimension=len(FEATURE_NAMES))


def _prefixed(prefix: str, arrays: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
    return {prefix + name: array for name, array in arrays.items()}


def _named(prefix: str, arrays: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


def _secret(settings: ExperimentSettings, arm: ArmSettings) -> bytes:
    """Key of an arm's draws: its own stream, fixed by the seed so that a run can be repeated."""
    text = f"{settings.name}\x1f{settings.seed}\x1f{arm.name}"
    return hashlib.blake2b(text.encode(), digest_size=16, person=b"matinee-secret").digest()
