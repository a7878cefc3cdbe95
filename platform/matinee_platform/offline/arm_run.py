"""Run one arm of an experiment: its users, its log, its learner, day by day.

The order of everything that is logged or learned is (day, block of sessions, page, unit). Blocks
have a fixed size, so neither the batch size nor the number of processes shows in the result, and
memory does not grow with the number of users who visit on a day.
"""

import hashlib
import resource
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from matinee_platform.candidate_pool import CandidatePool, PageCandidates
from matinee_platform.decision_ids import decision_ids
from matinee_platform.decision_log import DecisionLog
from matinee_platform.engine import Decisions, Engine, log_rows
from matinee_platform.join import engagement_rewards
from matinee_platform.learner import ArmLearner
from matinee_platform.offline.checkpoint import (
    Checkpoint,
    discard_after,
    last_checkpoint,
    restore_into,
    save_checkpoint,
)
from matinee_platform.offline.kpi_counter import ArmFigures, KpiCounter
from matinee_platform.offline.late_ratings import RatingQueue
from matinee_platform.offline.prepare import PastRatings, Roster, world_parameters
from matinee_platform.offline.reference import reference_scores
from matinee_platform.offline.regret_log import RegretLog
from matinee_platform.offline.stage_clock import StageClock
from matinee_platform.plays import PlayScale
from matinee_platform.pseudonyms import shard_of
from matinee_platform.reward_rows import (
    page_rewards,
    rating_rewards,
    return_rewards,
)
from matinee_platform.serving_model import ServingModel
from matinee_platform.settings import ArmSettings, ExperimentSettings
from matinee_platform.unit_state import NEVER, UnitStates, age_in_days
from matinee_policies.arrays import AnyArray, IndexArray, Int64Array
from matinee_policies.features import FEATURE_NAMES
from matinee_policies.policy import Policy
from matinee_policies.registry import build_policy, restore_policy
from matinee_policies.snapshot import Snapshot
from matinee_simulator.feedback import PageFeedback
from matinee_simulator.history import RUN_START
from matinee_simulator.simulation import Simulation
from matinee_simulator.world import World

SESSION_BLOCK = 4_096
"""Sessions served together; part of the definition of the log's order."""

_DAY_MS = 86_400_000
_SESSION_START_MS = RUN_START * 1_000 + 19 * 3_600_000
_PAGE_MS = 60_000


@dataclass(frozen=True, slots=True)
class DayReport:
    """What a run tells while it works: one arm finished one day."""

    arm: str
    day: int
    active: int
    pages: int
    figures: ArmFigures


@dataclass(frozen=True, slots=True)
class ArmTiming:
    """What running one arm took.

    Attributes:
        seconds: wall time of the days.
        stage_seconds: where it went.
        peak_memory_mb: of the process so far.
    """

    seconds: float
    stage_seconds: dict[str, float]
    peak_memory_mb: float


@dataclass(frozen=True, slots=True)
class ArmResult:
    """What one arm leaves behind, besides its files.

    Attributes:
        arm: name.
        users: units assigned.
        pages: decisions logged.
        log_hash: content hash of the log.
        snapshots: content hash of each snapshot of the policy, by version.
        figures: since the start of the run, for metrics.
        timing: what it took.
    """

    arm: str
    users: int
    pages: int
    log_hash: str
    snapshots: tuple[str, ...]
    figures: ArmFigures
    timing: ArmTiming


class ArmRun:
    """One arm against its own users.

    Args:
        settings: of the experiment.
        arm: which arm.
        users: numbers of the simulated users of this arm, rising, `int64 [n]`.
        roster: of the experiment.
        run: folder of the run.
        world: the simulator's truth.
        model: the platform's model.
        past: past ratings of all users.
    """

    def __init__(
        self,
        settings: ExperimentSettings,
        arm: ArmSettings,
        *,
        users: Int64Array,
        roster: Roster,
        run: Path,
        world: World,
        model: ServingModel,
        past: PastRatings,
    ) -> None:
        self._settings = settings
        self._arm = arm
        self._users = users
        self._pseudonyms = roster.pseudonyms[users]
        self._buckets = roster.buckets[users]
        self._shards = shard_of(self._pseudonyms)
        self._snapshots = run / "snapshots" / arm.name
        self._simulation = Simulation(
            world, users, seed=settings.seed, parameters=world_parameters(settings)
        )
        self._max_pages = world_parameters(settings).max_pages
        self._ranker = model.ranker(arm.candidates, self._pseudonyms)
        self._policy = arm_policy(arm)
        self._engine = Engine(
            self._policy, items=model.items, slots=settings.slots, secret=_secret(settings, arm)
        )
        self._learner = ArmLearner(self._policy, settings.reward)
        self._log = DecisionLog(run, arm.name)
        self._regret = RegretLog(run, arm.name)
        self._id_seed = np.uint64(int.from_bytes(_secret(settings, arm)[:8], "little"))
        self._states = UnitStates(
            users.size,
            items=model.items,
            model=model.sources[arm.candidates],
            rest=settings.rest,
        )
        self._plays = PlayScale.of(past.ratings)
        self._pages_of_last_session: IndexArray = np.zeros(users.size, dtype=np.int32)
        self._late_ratings = RatingQueue()
        self._kpis = KpiCounter(
            self._pseudonyms, days=settings.days, embeddings=model.items.embeddings
        )
        self._clock = StageClock()
        self._run = run
        self._hashes: list[str] = []
        self._seconds = 0.0
        own = past.of(users)
        self._states.load_history(
            own.users, own.items, own.ratings, age_in_days(own.times, RUN_START)
        )
        self._states.refresh_vectors()

    def run(self, report: Callable[[DayReport], None]) -> ArmResult:
        """Run all days, or those that an interrupted run has left.

        Args:
            report: called after each day.
        """
        first_day = self._restore()
        start = time.perf_counter() - self._seconds
        if first_day == 0:
            self._hashes.append(self._save_snapshot())
        for day in range(first_day, self._settings.days):
            before = self._log.decisions
            active = self._run_day(day)
            if self._learner_closed(day):
                self._engine.snapshot += 1
                self._hashes.append(self._save_snapshot())
            self._seconds = time.perf_counter() - start
            with self._clock.stage("checkpoint"):
                self._checkpoint(day)
            pages = self._log.decisions - before
            report(DayReport(self._arm.name, day, active, pages, self._figures(day)))
        return ArmResult(
            arm=self._arm.name,
            users=self._users.size,
            pages=self._log.decisions,
            log_hash=self._log.content_hash,
            snapshots=tuple(self._hashes),
            figures=self._figures(self._settings.days - 1),
            timing=ArmTiming(
                seconds=time.perf_counter() - start,
                stage_seconds=dict(self._clock.seconds),
                peak_memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            ),
        )

    def _restore(self) -> int:
        """Take up the last checkpoint; returns the first day still to run."""
        found = last_checkpoint(self._run, self._arm.name, names=list(self._arrays()))
        if found is None:
            discard_after(self._run, self._arm.name, day=-1, snapshot=-1)
            return 0
        header = found.header
        discard_after(self._run, self._arm.name, day=found.day, snapshot=header["snapshot"])
        restore_into(self._live_arrays(), found.arrays)
        self._learner.restore(_named("learner.", found.arrays))
        self._late_ratings.restore(_named("ratings.", found.arrays))
        self._simulation.resume(found.day + 1)
        self._log.content_hash = header["content_hash"]
        self._log.decisions = header["decisions"]
        self._hashes = list(header["snapshot_hashes"])
        self._seconds = header["seconds"]
        self._clock.seconds.update(header["stage_seconds"])
        self._engine.snapshot = header["snapshot"]
        path = snapshot_path(self._snapshots, self._engine.snapshot)
        self._policy = restore_policy(Snapshot.load(path), kind=self._arm.policy["kind"])
        self._engine.policy = self._policy
        self._learner.policy = self._policy
        return found.day + 1

    def _checkpoint(self, day: int) -> None:
        header = {
            "content_hash": self._log.content_hash,
            "decisions": self._log.decisions,
            "snapshot": self._engine.snapshot,
            "snapshot_hashes": self._hashes,
            "seconds": self._seconds,
            "stage_seconds": dict(self._clock.seconds),
        }
        save_checkpoint(self._run, self._arm.name, Checkpoint(day, self._arrays(), header))

    def _arrays(self) -> dict[str, AnyArray]:
        return {
            **self._live_arrays(),
            **_prefixed("learner.", self._learner.arrays()),
            **_prefixed("ratings.", self._late_ratings.arrays()),
        }

    def _live_arrays(self) -> dict[str, AnyArray]:
        """The arrays of fixed shape, which a checkpoint is copied into."""
        return {
            **_prefixed("simulation.", self._simulation.arrays()),
            **_prefixed("units.", self._states.arrays()),
            **_prefixed("kpis.", self._kpis.arrays()),
            "pages_of_last_session": self._pages_of_last_session,
        }

    def _run_day(self, day: int) -> int:
        self._log.open_day(day)
        self._regret.open_day(day)
        with self._clock.stage("users"):
            active = self._simulation.begin_day(day)
        self._log_returns(active, day)
        self._states.open_sessions(active, day)
        for start in range(0, active.size, SESSION_BLOCK):
            self._serve_block(active[start : start + SESSION_BLOCK], day)
        self._states.close_sessions(active, day)
        with self._clock.stage("users"):
            self._simulation.end_day()
        with self._clock.stage("state"):
            self._deliver_ratings(day)
            self._states.refresh_vectors()
        with self._clock.stage("log"):
            self._log.close_day()
            self._regret.close_day()
        with self._clock.stage("metrics"):
            self._kpis.close_day(active, day)
        return int(active.size)

    def _log_returns(self, active: IndexArray, day: int) -> None:
        """Credit today's visits to the pages of each unit's session before, within the window."""
        last = self._states.last_visit[active]
        within = (last != NEVER) & (day - last <= self._settings.reward.return_visit.window_days)
        pages = self._pages_of_last_session[active]
        late = pages[(last != NEVER) & ~within]
        self._kpis.observe_returns(joined=int(pages[within].sum()), late=int(late.sum()))
        for session_day in np.unique(last[within]):
            units = active[within & (last == session_day)]
            counts = self._pages_of_last_session[units]
            pages = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
            ids = decision_ids(
                self._id_seed,
                np.repeat(self._users[units], counts),
                int(session_day),
                pages.astype(np.int32),
            )
            self._log.append_rewards(return_rewards(ids, day))
            self._learner.observe_returns(int(session_day), ids)

    def _serve_block(self, units: IndexArray, day: int) -> None:
        with self._clock.stage("candidates"):
            depth = self._settings.candidates + self._settings.slots * (self._max_pages - 1)
            ranked = self._ranker.rank(
                units, self._states.vectors[units], self._states.hidden(units), depth
            )
            pool = CandidatePool(ranked.items, ranked.scores)
        self._pages_of_last_session[units] = 0
        visits: IndexArray = np.arange(units.size, dtype=np.int32)
        page = 0
        while visits.size:
            left = np.concatenate(
                [
                    self._serve_page(pool, units, batch, day=day, page=page)
                    for batch in _batches(visits, self._settings.batch_size)
                ]
            )
            visits, page = visits[~left], page + 1

    def _serve_page(
        self, pool: CandidatePool, block: IndexArray, visits: IndexArray, *, day: int, page: int
    ) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
        """Decide, log and play one page of some visits; says who leaves afterwards."""
        units = block[visits]
        with self._clock.stage("candidates"):
            candidates = self._page_candidates(pool, visits, units)
            state = self._states.as_seen(units)
        with self._clock.stage("decide"):
            ids = decision_ids(self._id_seed, self._users[units], day, page)
            decisions = self._engine.decide(ids, state, candidates.items, candidates.scores)
            pool.mark_shown(visits, candidates, decisions.slates.positions)
        with self._clock.stage("log"):
            rows = log_rows(
                decisions,
                state,
                unit=self._pseudonyms[units],
                bucket=self._buckets[units],
                day=day,
                page=page,
                decided_at=_SESSION_START_MS + day * _DAY_MS + page * _PAGE_MS,
            )
            self._log.append_decisions(rows)
            sampled = decisions.sampled()
            self._log.append_features(ids[sampled], decisions.contexts.features[sampled])
        with self._clock.stage("regret"):
            oracle = self._simulation.oracle()
            self._regret.append(oracle, units, self._pseudonyms[units], decisions)
        with self._clock.stage("users"):
            feedback = self._simulation.step_page(units, decisions.slates.items, page)
        self._observe(units, decisions, feedback, day)
        return feedback.left

    def _page_candidates(
        self, pool: CandidatePool, visits: IndexArray, units: IndexArray
    ) -> PageCandidates:
        candidates = pool.take(visits, self._settings.candidates)
        if not self._arm.reference:
            return candidates
        scores = reference_scores(
            self._arm.policy["kind"], self._simulation.oracle(), units, candidates.items
        )
        return PageCandidates(candidates.items, scores, candidates.places)

    def _observe(
        self, units: IndexArray, decisions: Decisions, feedback: PageFeedback, day: int
    ) -> None:
        with self._clock.stage("log"):
            self._log.append_rewards(
                page_rewards(decisions.ids, feedback.clicks, feedback.watch, day)
            )
        with self._clock.stage("learn"):
            engagement = engagement_rewards(
                feedback.clicks, feedback.watch, self._settings.reward.engagement
            )
            self._learner.observe_page(decisions, engagement, self._shards[units])
        with self._clock.stage("state"):
            self._pages_of_last_session[units] += 1
            self._states.observe_page(units, decisions.slates.items, feedback.clicks)
            rows, slots = np.nonzero(feedback.clicks)
            self._states.observe_ratings(
                units[rows],
                decisions.slates.items[rows, slots],
                self._plays.stars(feedback.watch[rows, slots]),
            )
            self._late_ratings.hold(units, decisions, feedback, day)
        with self._clock.stage("metrics"):
            self._kpis.observe_pages(units, decisions.slates, feedback.clicks, feedback.watch)

    def _deliver_ratings(self, day: int) -> None:
        ratings = self._late_ratings.deliver(day)
        self._log.append_rewards(rating_rewards(ratings, day))
        self._kpis.observe_ratings(ratings.ids.size)
        self._states.observe_ratings(ratings.units, ratings.items, ratings.stars)

    def _learner_closed(self, day: int) -> bool:
        start = time.perf_counter()
        with self._clock.stage("learn"):
            learned = self._learner.close_day(day)
        if learned:
            self._kpis.observe_update(time.perf_counter() - start)
        return learned

    def _figures(self, day: int) -> ArmFigures:
        return self._kpis.figures(day, snapshot=self._engine.snapshot)

    def _save_snapshot(self) -> str:
        with self._clock.stage("learn"):
            snapshot = self._policy.snapshot()
            self._snapshots.mkdir(parents=True, exist_ok=True)
            snapshot.save(snapshot_path(self._snapshots, self._engine.snapshot))
            return snapshot.content_hash


def arm_policy(arm: ArmSettings) -> Policy:
    """A new policy as the arm's settings ask; a reference arm orders by the scores it is given."""
    config = {key: value for key, value in arm.policy.items() if key != "kind"}
    kind = "score_order" if arm.reference else arm.policy["kind"]
    return build_policy(kind, config, dimension=len(FEATURE_NAMES))


def snapshot_path(folder: Path, version: int) -> Path:
    """File of one version of an arm's policy."""
    return folder / f"{version:05d}.npz"


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


def _batches(visits: IndexArray, size: int) -> Iterator[IndexArray]:
    for start in range(0, visits.size, size):
        yield visits[start : start + size]
