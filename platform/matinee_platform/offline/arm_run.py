"""Run one arm of an experiment day by day, from its first day or from its last checkpoint."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from matinee_platform.offline.arm_state import new_arm_state
from matinee_platform.offline.checkpoint import (
    Checkpoint,
    discard_after,
    last_checkpoint,
    save_checkpoint,
)
from matinee_platform.offline.kpi_counter import ArmFigures
from matinee_platform.offline.peak_memory import peak_memory_mb
from matinee_platform.offline.prepare import Prepared, Roster
from matinee_platform.offline.sessions import serve_sessions
from matinee_platform.reward_rows import rating_rewards
from matinee_platform.settings import ArmSettings, ExperimentSettings
from matinee_policies.arrays import Int64Array
from matinee_policies.errors import DataError
from matinee_policies.registry import restore_policy
from matinee_policies.snapshot import Snapshot
from matinee_policies.snapshot_signature import SigningKeys

LONGEST_WITHOUT_CHECKPOINT = 10.0
"""Seconds of an arm after which the end of a day gets a checkpoint, however few its decisions."""


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
        figures: since the start of the run, for metrics, at the end of each day.
        reward_events: what became of the events of each later component that is learned.
        timing: what it took.
    """

    arm: str
    users: int
    pages: int
    log_hash: str
    snapshots: tuple[str, ...]
    figures: tuple[ArmFigures, ...]
    reward_events: dict[str, dict[str, int]]
    timing: ArmTiming


class ArmRun:
    """One arm against its own users.

    Args:
        settings: of the experiment.
        arm: which arm.
        users: numbers of the simulated users of this arm, rising, `int64 [n]`.
        roster: of the experiment.
        shared: what the arms share.
        run: folder of the run.
    """

    def __init__(
        self,
        settings: ExperimentSettings,
        arm: ArmSettings,
        *,
        users: Int64Array,
        roster: Roster,
        shared: Prepared,
        run: Path,
    ) -> None:
        self._days = settings.days
        self._checkpoint_every = settings.checkpoint_every
        self._arm = arm
        self._run = run
        self._found = last_checkpoint(run, arm.name)
        self._state = new_arm_state(
            settings,
            arm,
            users=users,
            roster=roster,
            shared=shared,
            run=run,
            resume=self._found is not None,
        )
        self._initial = shared.initial.get(arm.name)
        self._hashes: list[str] = []
        self._figures: list[ArmFigures] = []
        self._seconds = 0.0

    def run(self, report: Callable[[DayReport], None]) -> ArmResult:
        """Run all days, or those that an interrupted run has left.

        Args:
            report: called after each day.
        """
        state = self._state
        first_day = self._restore()
        start = time.perf_counter() - self._seconds
        if first_day == 0:
            # A first state that was made from something says what from.
            self._hashes.append(self._save_snapshot(self._initial))
        kept, kept_at = state.log.decisions, time.perf_counter()
        for day in range(first_day, self._days):
            before = state.log.decisions
            active = self._run_day(day)
            if self._learner_closed(day):
                state.engine.snapshot += 1
                self._hashes.append(self._save_snapshot())
            self._seconds = time.perf_counter() - start
            self._figures.append(state.kpis.figures(day, snapshot=state.engine.snapshot))
            long_ago = time.perf_counter() - kept_at > LONGEST_WITHOUT_CHECKPOINT
            due = long_ago or state.log.decisions - kept >= self._checkpoint_every
            if due or day == self._days - 1:
                with state.clock.stage("checkpoint"):
                    self._checkpoint(day)
                kept, kept_at = state.log.decisions, time.perf_counter()
            pages = state.log.decisions - before
            report(DayReport(self._arm.name, day, active, pages, self._figures[-1]))
        return ArmResult(
            arm=self._arm.name,
            users=state.users.size,
            pages=state.log.decisions,
            log_hash=state.log.content_hash,
            snapshots=tuple(self._hashes),
            figures=tuple(self._figures),
            reward_events={name: asdict(counts) for name, counts in state.learner.counts.items()},
            timing=ArmTiming(
                seconds=time.perf_counter() - start,
                stage_seconds=dict(state.clock.seconds),
                peak_memory_mb=peak_memory_mb(),
            ),
        )

    def _run_day(self, day: int) -> int:
        state = self._state
        state.log.open_day(day)
        state.regret.open_day(day)
        state.exploration.open_day(day)
        with state.clock.stage("users"):
            active = state.simulation.begin_day(
                day, announce=lambda units: state.open_day(units, day)
            )
        serve_sessions(state, active, day)
        with state.clock.stage("users"):
            state.simulation.end_day()
        with state.clock.stage("state"):
            self._deliver_ratings(day)
            state.units.refresh_vectors()
        with state.clock.stage("log"):
            state.log.close_day()
            state.regret.close_day()
            state.exploration.close_day()
        with state.clock.stage("metrics"):
            state.kpis.close_day(active, day)
        return int(active.size)

    def _deliver_ratings(self, day: int) -> None:
        ratings = self._state.late_ratings.deliver(day)
        self._state.log.append_rewards(rating_rewards(ratings, day))
        self._state.learner.observe_ratings(ratings)
        self._state.kpis.observe_ratings(ratings.ids.size)
        self._state.units.observe_ratings(ratings.units, ratings.items, ratings.stars)

    def _learner_closed(self, day: int) -> bool:
        start = time.perf_counter()
        with self._state.clock.stage("learn"):
            learned = self._state.learner.close_day(day)
        if learned:
            self._state.kpis.observe_update(time.perf_counter() - start)
        return learned

    def _save_snapshot(self, known: Snapshot | None = None) -> str:
        with self._state.clock.stage("learn"):
            snapshot = self._state.policy.snapshot() if known is None else known
            path = self._snapshot_path(self._state.engine.snapshot)
            path.parent.mkdir(parents=True, exist_ok=True)
            snapshot.save(path, keys=SigningKeys.configured())
            return snapshot.content_hash

    def _checkpoint(self, day: int) -> None:
        state = self._state
        header = {
            "content_hash": state.log.content_hash,
            "decisions": state.log.decisions,
            "snapshot": state.engine.snapshot,
            "snapshot_hashes": self._hashes,
            "figures": [figures.to_json() for figures in self._figures],
            "seconds": self._seconds,
            "stage_seconds": dict(state.clock.seconds),
        }
        state.rows.digest()
        save_checkpoint(self._run, self._arm.name, Checkpoint(day, state.arrays(), header))
        state.settle()

    def _restore(self) -> int:
        """Take up the last checkpoint; returns the first day still to run."""
        state, found = self._state, self._found
        self._found = None
        if found is None:
            discard_after(self._run, self._arm.name, day=-1, snapshot=-1)
            return 0
        header = found.header
        discard_after(self._run, self._arm.name, day=found.day, snapshot=header["snapshot"])
        state.restore(found.arrays, next_day=found.day + 1)
        state.log.content_hash = header["content_hash"]
        state.log.decisions = header["decisions"]
        state.clock.seconds.update(header["stage_seconds"])
        self._hashes = list(header["snapshot_hashes"])
        self._figures = [ArmFigures.from_json(one) for one in header["figures"]]
        self._seconds = header["seconds"]
        path = self._snapshot_path(header["snapshot"])
        snapshot = Snapshot.load(path, keys=SigningKeys.configured())
        if snapshot.content_hash != self._hashes[-1]:
            raise DataError(
                path,
                rule=f"must hold the state {self._hashes[-1]} of the last checkpoint; start anew "
                "with --overwrite",
                value=snapshot.content_hash,
            )
        policy = restore_policy(snapshot, kind=self._arm.policy["kind"], config=self._arm.policy)
        state.replace_policy(policy, version=header["snapshot"])
        return found.day + 1

    def _snapshot_path(self, version: int) -> Path:
        return self._run / "snapshots" / self._arm.name / f"{version:05d}.npz"
