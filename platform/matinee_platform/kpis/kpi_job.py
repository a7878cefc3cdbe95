"""Bring the key figures of all running experiments up to date with the log, a range at a time.

Between ranges the job rests for `REST` times as long as it worked, so that it takes a quarter of a
core at most, however long the log is that it has to catch up with.
"""

import logging
import math
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from matinee_platform.analysis.unit_days.event_database import reading
from matinee_platform.clock import Clock
from matinee_platform.experiments.lifecycle import StoredExperiment
from matinee_platform.kpis.experiment_fold import ExperimentFold, last_place, newest_decision
from matinee_platform.kpis.fold_file import (
    FOLDER,
    drop_folds,
    fold_path,
    restore_fold,
    save_fold,
)
from matinee_platform.kpis.kpi_status import ExperimentKpis
from matinee_platform.kpis.live_figures import live_figures
from matinee_platform.kpis.page_sums import Catalogues
from matinee_platform.serving.unit_fold import DAY_MS
from matinee_platform.storage.forgotten_units import ForgottenUnits
from matinee_platform.storage.private_files import private_folder
from matinee_policies.errors import DataError, MatineeError

_LOG = logging.getLogger(__name__)

REST = 3.0
"""A range is followed by a rest of so many times its length."""

RANGES_AT_ONCE = 10
"""Ranges of one experiment between two of another: the figures of none wait for a long log."""

SAVE_EVERY_SECONDS = 30.0
"""Between two times that what was folded is kept, at least."""

_SAVE_SHARE = 50.0
_NEVER_ENDS = 2**62


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStores:
    """What the job reads.

    Attributes:
        data_dir: of the service; the job keeps what it folded in `fold_file.FOLDER` there.
        events: the log: a SQLite file, or the address of a PostgreSQL.
        running: experiments that run.
        check: refuses an experiment whose first rows are gone, by key and start.
        forgotten: list of units.
        catalogues: of an experiment's arms.
        lived_ms: how far simulated users have lived, UTC milliseconds, by the experiment's key.
    """

    data_dir: Path
    events: Path | str
    running: Callable[[], Sequence[StoredExperiment]]
    check: Callable[[str, int], None]
    forgotten: ForgottenUnits
    catalogues: Callable[[StoredExperiment], Catalogues]
    lived_ms: Callable[[str], int | None] = lambda key: None


@dataclass(slots=True)
class _Kept:
    """An experiment's sums, and when they were saved, in monotonic seconds."""

    fold: ExperimentFold
    start: tuple[str, int, int | None]
    saved: float
    saved_seq: int
    save_seconds: float = 0.0


class KpiJob:
    """Makes the key figures of one service; belongs to one thread.

    Args:
        stores: what it reads.
        clock: tells up to when.
        rest: waits for so many seconds; it may raise to end the job.
        beat: called between ranges.
    """

    def __init__(
        self,
        stores: JobStores,
        *,
        clock: Clock,
        rest: Callable[[float], None] = time.sleep,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._stores, self._clock = stores, clock
        self._rest, self._beat = rest, beat
        self._kept: dict[str, _Kept] = {}
        self._told: dict[str, ExperimentKpis] = {}

    def look(self) -> tuple[ExperimentKpis, ...]:
        """Bring every running experiment up to date, or nearer to it, and tell its figures.

        An experiment that is still behind keeps the figures of before: those of half a log would
        count days as over whose rows are not read.

        Raises:
            LogUnavailableError: the control database is away.
        """
        running = self._stores.running()
        keys = {one.definition.key for one in running}
        self._let_go(but=keys)
        for one in running:
            key = one.definition.key
            self._told[key] = self._look_at(one)
            self._beat()
        return tuple(self._told[key] for key in sorted(keys))

    def stand_by(self) -> None:
        """Keep nothing, in memory or in files: another process makes the figures of the database.

        What is kept names units; forgotten ones leave it only where the figures are made.
        """
        self._let_go(but=frozenset())

    def save(self, key: str, *, at_once: bool = False) -> None:
        """Keep what was folded of an experiment; a disk that is full fails nothing else.

        Args:
            key: of the experiment.
            at_once: even if no row was folded since it was kept last.
        """
        kept = self._kept[key]
        if kept.saved_seq == kept.fold.seq and not at_once:
            return
        began = time.monotonic()
        try:
            private_folder(self._stores.data_dir / FOLDER)
            with reading(self._stores.events) as ask:
                newest = newest_decision(ask, upto=kept.fold.seq)
            save_fold(fold_path(self._stores.data_dir, key), kept.fold, newest=newest)
        except (OSError, MatineeError) as error:
            _LOG.warning("key figures of %s are not kept: %s", key, type(error).__name__)
        kept.saved, kept.saved_seq = time.monotonic(), kept.fold.seq
        kept.save_seconds = kept.saved - began

    def close(self) -> None:
        """Keep what was folded."""
        for key in self._kept:
            self.save(key)

    def _let_go(self, *, but: Collection[str]) -> None:
        """Let go of all experiments but some, and of their files."""
        for gone in self._kept.keys() - set(but):
            del self._kept[gone]
        self._told = {key: told for key, told in self._told.items() if key in but}
        try:
            drop_folds(self._stores.data_dir, but=but)
        except OSError as error:
            _LOG.warning("files of key figures stay: %s", type(error).__name__)

    def _drop(self, key: str) -> None:
        """Remove the file of an experiment, which is of no more use or is written anew."""
        try:
            fold_path(self._stores.data_dir, key).unlink(missing_ok=True)
        except OSError as error:
            _LOG.warning("a file of key figures stays: %s", type(error).__name__)

    def _look_at(self, one: StoredExperiment) -> ExperimentKpis:
        key = one.definition.key
        told = self._told.get(key, ExperimentKpis(key=key))
        try:
            self._check(one)
            kept = self._open(one)
            upto = self._catch_up(kept)
        except MatineeError as error:
            if told.reason != str(error):
                _LOG.warning("key figures of %s cannot be made: %s", key, error)
            # It may hold a part of a range; what was kept of it is whole.
            self._kept.pop(key, None)
            return replace(told, reason=str(error))
        due = max(SAVE_EVERY_SECONDS, _SAVE_SHARE * kept.save_seconds)
        if time.monotonic() - kept.saved > due:
            self.save(key)
        unread = max(upto - kept.fold.seq, 0)
        if unread:
            return replace(told, unread=unread, reason="")
        now_ms = self._clock.now_ms()
        found = live_figures(kept.fold, now_ms=self._time_of(one, now_ms))
        return ExperimentKpis(
            key=key,
            until_ms=now_ms,
            arms=found.arms,
            weeks=found.weeks,
            several=found.several,
            e_value=None if math.isnan(found.e_value) else found.e_value,
        )

    def _check(self, one: StoredExperiment) -> None:
        """Refuse an experiment whose first rows are gone; its file goes as well."""
        key = one.definition.key
        try:
            self._stores.check(key, one.started_at or 0)
        except DataError:
            self._kept.pop(key, None)
            self._drop(key)
            raise

    def _time_of(self, one: StoredExperiment, now_ms: int) -> int:
        """Up to when figures are made: simulated users have a time of their own."""
        if one.definition.simulated is None:
            return now_ms
        lived_ms = self._stores.lived_ms(one.definition.key)
        return one.definition.simulated.start_ms if lived_ms is None else lived_ms

    def _open(self, one: StoredExperiment) -> _Kept:
        """The sums of an experiment: in memory, from their file, or none yet."""
        key = one.definition.key
        start = (one.definition.salt, one.started_at or 0, one.started_seq)
        kept = self._kept.get(key)
        if kept is not None and kept.start == start:
            return kept
        horizon = one.definition.analysis.horizon_days
        fold = ExperimentFold(
            one.definition,
            since_ms=start[1],
            since_seq=start[2],
            until_ms=_NEVER_ENDS if horizon is None else start[1] + horizon * DAY_MS,
            catalogues=self._stores.catalogues(one),
        )
        with reading(self._stores.events) as ask:
            if not restore_fold(fold_path(self._stores.data_dir, key), fold, ask):
                # Rows of units that were forgotten before are gone, or go soon and are told again.
                fold.forgotten = self._stores.forgotten.last()
        kept = self._kept[key] = _Kept(fold, start, time.monotonic(), fold.seq)
        return kept

    def _catch_up(self, kept: _Kept) -> int:
        """Fold towards the log's last place of now, which is given."""
        self._follow_forgotten(kept)
        with reading(self._stores.events) as ask:
            upto = last_place(ask)
        for _ in range(RANGES_AT_ONCE):
            began = time.monotonic()
            with reading(self._stores.events) as ask:
                more = kept.fold.advance(ask, upto=upto)
            if not more:
                break
            self._beat()
            self._rest(REST * (time.monotonic() - began))
        return upto

    def _follow_forgotten(self, kept: _Kept) -> None:
        fold = kept.fold
        followed = fold.forgotten
        while some := self._stores.forgotten.after(fold.forgotten):
            with reading(self._stores.events) as ask:
                fold.forget(ask, [one.unit for one in some], number=some[-1].number)
        if fold.forgotten != followed:
            # At once: the file still names them. Better none than that one if it cannot be written.
            self._drop(fold.experiment.key)
            self.save(fold.experiment.key, at_once=True)
