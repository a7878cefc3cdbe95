"""Replay one arm from genesis: its log, told again to a policy that has learned nothing.

The policy is built from the arm's settings. Day by day it decides the logged pages anew, from unit
state, candidates and scores as logged, and learns what had matured in the order of the log, through
the same learner as in the run. Each state that it reaches must be, to the last bit, the snapshot
that the run kept under that version. Of the run nothing else is read: log, settings, `model/`, and
the snapshots to compare with. Memory is that of a day.
"""

import tempfile
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from matinee_platform.day_events import DayPages, Events, page_engagement, read_events
from matinee_platform.decision_log import read_parts
from matinee_platform.engine import Decisions, Engine, catalogue_number
from matinee_platform.join import engagement_rewards
from matinee_platform.learner import ArmLearner
from matinee_platform.log_rows import SERVED_BY_POLICY, DecisionRows, unpack_state
from matinee_platform.log_schema import column_values
from matinee_platform.logged_slates import slate_positions
from matinee_platform.page_files import PageFiles
from matinee_platform.pseudonyms import shard_of
from matinee_platform.reward_rows import LateRatings
from matinee_platform.serving_model import ServingModel
from matinee_platform.settings import ExperimentSettings
from matinee_policies.arrays import AnyArray, BoolArray, FloatArray
from matinee_policies.errors import DataError
from matinee_policies.features import FEATURE_VERSION, shown_features
from matinee_policies.policy import Policy
from matinee_policies.snapshot import Snapshot
from matinee_policies.snapshot_signature import SigningKeys

_PAGES_AT_ONCE = 4_096


@dataclass(slots=True)
class ArmReplay:
    """What replaying one arm found.

    Attributes:
        arm: name.
        decisions: pages replayed.
        unequal_decisions: of these, pages whose slate, propensities or version of the policy are
            not those of the log.
        unmatched_events: logged events of no decision whose window is open; the replay leaves them
            out. Ratings that came late are among them, where ratings are learned.
        snapshots: versions that the replay reached or the run kept.
        equal: of these, versions whose content hashes agree.
        first_unequal: the first version that does not agree; None if all do.
        reason: what is wrong with it.
        complete: whether the log is the one whose length and content hash the results name.
    """

    arm: str
    decisions: int = 0
    unequal_decisions: int = 0
    unmatched_events: int = 0
    snapshots: int = 0
    equal: int = 0
    first_unequal: int | None = None
    reason: str = ""
    complete: bool = True

    @property
    def passed(self) -> bool:
        """Whether the log is whole, and every snapshot and every decision is the same."""
        equal = self.equal == self.snapshots and self.unequal_decisions == 0
        return equal and self.complete


def replay_arm(
    run: Path,
    arm: str,
    *,
    settings: ExperimentSettings,
    model: ServingModel,
    policy: Policy,
    secret: bytes,
    genesis: Snapshot | None = None,
) -> ArmReplay:
    """Replay the whole log of one arm.

    Args:
        run: folder of a finished run.
        arm: name of the arm.
        settings: of the run.
        model: as loaded from the run's folder.
        policy: as it was before the first day.
        secret: that keyed the arm's draws.
        genesis: the snapshot that `policy` was restored from, if it was not new; version 0 must be
            that.

    Raises:
        DataError: if the log cannot be read, or is of other features or another catalogue.
    """
    with tempfile.TemporaryDirectory(prefix="matinee-replay-") as scratch:
        replay = _Replay(
            run,
            arm,
            settings=settings,
            engine=Engine(
                policy, contexts=model.contexts(arm), slots=settings.slots, secret=secret
            ),
            learner=ArmLearner(policy, settings.reward, pages=PageFiles(Path(scratch))),
            catalogue=catalogue_number(model.items),
        )
        return replay.run(genesis)


class _Replay:
    def __init__(
        self,
        run: Path,
        arm: str,
        *,
        settings: ExperimentSettings,
        engine: Engine,
        learner: ArmLearner,
        catalogue: int,
    ) -> None:
        self._run, self._settings = run, settings
        self._engine, self._learner = engine, learner
        self._catalogue = catalogue
        self._log = run / "decisions" / arm
        self._snapshots = run / "snapshots" / arm
        # Of the days whose pages may still be returned to.
        self._recent: deque[tuple[int, DayPages]] = deque()
        self._found = ArmReplay(arm)

    def run(self, genesis: Snapshot | None) -> ArmReplay:
        keys = SigningKeys.configured()
        self._compare(genesis or self._engine.policy.snapshot(), keys)
        for day in range(self._settings.days):
            self._replay_day(day)
            if self._learner.close_day(day):
                self._engine.snapshot += 1
                self._compare(self._engine.policy.snapshot(), keys)
            self._learner.forget()
        kept = {int(path.stem) for path in self._snapshots.glob("*.npz")}
        for version in sorted(kept - set(range(self._engine.snapshot + 1))):
            self._note(version, "the log gives no such version")
        return self._found

    def _replay_day(self, day: int) -> None:
        arm, reward = self._found.arm, self._settings.reward
        events = read_events(self._run, arm, day)
        pages = DayPages(self._run, arm, day)
        self._recent.append((day, pages))
        engagement = page_engagement(
            pages, events, slots=self._settings.slots, log=self._run / "rewards" / arm
        )
        self._found.unmatched_events += engagement.unmatched
        rewards = engagement_rewards(engagement.clicks, engagement.watch, reward.engagement)
        start = 0
        for table in _pieces(self._run, arm, day):
            end = start + table.num_rows
            self._replay_pages(table, rewards[start:end], engagement.clicks[start:end])
            start = end
        visits = reward.return_visit.window_days
        for session_day, own in self._by_day(events["return_visit"], day - visits):
            self._learner.observe_returns(session_day, own.ids)
        if reward.rating.weight > 0.0:
            # A late one is logged like any other; it finds no page here, and is not learned.
            for session_day, own in self._by_day(events["rating"], day - reward.rating.window_days):
                self._learner.observe_ratings(_late_ratings(own, session_day))
        while self._recent[0][0] <= day - max(visits, reward.rating.window_days):
            self._recent.popleft()

    def _by_day(self, events: Events, first_day: int) -> Iterator[tuple[int, Events]]:
        """Events by the day of the page that they belong to, from `first_day` on."""
        for session_day, pages in self._recent:
            own = pages.rows(events.ids) >= 0
            if session_day >= first_day and own.any():
                yield session_day, events.take(own)
                events = events.take(~own)
        self._found.unmatched_events += events.ids.size

    def _replay_pages(self, table: pa.Table, rewards: FloatArray, clicks: BoolArray) -> None:
        columns = column_values(table)
        # What a fallback served was not the policy's choice, and is not learned from.
        served = columns["served_by"] == SERVED_BY_POLICY
        rows = DecisionRows(**{name: values[served] for name, values in columns.items()})
        self._check_versions(rows)
        self._found.decisions += rows.decision_id.size
        decisions, equal = self._decided(rows)
        self._found.unequal_decisions += int((~equal).sum())
        self._learner.observe_page(
            decisions, rewards[served], shard_of(rows.unit), clicks=clicks[served]
        )

    def _decided(self, rows: DecisionRows) -> tuple[Decisions, AnyArray]:
        """The logged decisions, with which of them the policy would take again, `bool [n]`."""
        state = unpack_state(rows.unit_state, rows.last_watched)
        again = self._engine.decide(rows.decision_id, state, rows.candidates, rows.scores)
        slates = replace(
            again.slates,
            positions=slate_positions(rows.candidates, rows.slate, self._log),
            items=rows.slate,
            propensities=rows.propensities,
        )
        equal = (again.slates.positions == slates.positions).all(axis=1)
        equal &= (again.slates.propensities == slates.propensities).all(axis=1)
        equal &= rows.snapshot == self._engine.snapshot
        shown = again.shown
        if shown.shape[2] and not equal.all():
            shown = shown_features(again.contexts.features, slates.positions)
        return replace(again, slates=slates, shown=shown), equal

    def _check_versions(self, rows: DecisionRows) -> None:
        for name, logged, here in (
            ("feature", rows.feature_version, FEATURE_VERSION),
            ("catalogue", rows.catalogue_version, self._catalogue),
        ):
            if (logged != here).any():
                raise DataError(
                    self._log,
                    rule=f"must be of {name} version {here}",
                    value=int(logged[logged != here][0]),
                )

    def _compare(self, reached: Snapshot, keys: SigningKeys | None) -> None:
        version = self._engine.snapshot
        path = self._snapshots / f"{version:05d}.npz"
        if not path.is_file():
            self._note(version, "the run kept no such version")
            return
        wanted = Snapshot.load(path, keys=keys).content_hash
        found = reached.content_hash
        self._note(version, "" if found == wanted else f"kept {wanted}, replayed {found}")

    def _note(self, version: int, reason: str) -> None:
        self._found.snapshots += 1
        self._found.equal += not reason
        if reason and self._found.first_unequal is None:
            self._found.first_unequal, self._found.reason = version, reason


def _late_ratings(events: Events, day: int) -> LateRatings:
    """Ratings of pages of one day; a learner asks neither for units nor for items."""
    nothing = np.full(events.ids.size, -1, dtype=np.int32)
    return LateRatings(
        ids=events.ids,
        units=nothing,
        items=nothing,
        slots=events.slots.astype(np.int16),
        stars=events.values,
        days=np.full(events.ids.size, day, dtype=np.int64),
    )


def _pieces(run: Path, arm: str, day: int) -> Iterator[pa.Table]:
    """The day's decisions in the order of the log, some at a time."""
    for table in read_parts(run, "decisions", arm, day=day):
        for start in range(0, table.num_rows, _PAGES_AT_ONCE):
            yield table.slice(start, _PAGES_AT_ONCE)
