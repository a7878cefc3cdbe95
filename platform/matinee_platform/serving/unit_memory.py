"""The units of one arm whose state is at hand; others are folded from the log when they come.

A unit that is not here is read, with all its rewards, up to the log's last complete place, by a
thread of its own; rows that are published meanwhile wait, and those beyond that place are folded on
top. So every row of a unit counts exactly once, whatever is read, published or forgotten when. What
was decided before the experiment's last start counts for nothing: a new start begins anew.

The units that were asked for longest ago are forgotten first, never one that is being served.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

import numpy as np

from matinee_platform.experiments.beginning import rows_after
from matinee_platform.serving.unit_fold import Unit, UnitFold
from matinee_platform.serving.unit_reads import NewFold, UnitReader, UnitReads
from matinee_platform.storage.errors import LogBusyError
from matinee_platform.storage.records import LoggedDecision, LoggedReward
from matinee_policies.arrays import IndexArray

MOST_EARLY = 65_536
"""Rewards that are kept until their decisions come."""

MOST_FORGOTTEN = 10_000
"""Forgotten units whose former rows are known to count no more."""

PREVIEWS = 64
"""Visits that may begin in one batch of decisions."""


@dataclass(slots=True)
class _Loading:
    """A unit on its way: who waits for it, and what was published meanwhile, in log order.

    What was read of a unit that was forgotten meanwhile is read again.
    """

    task: "asyncio.Task[Unit]"
    waiting: list[LoggedDecision | LoggedReward] = field(default_factory=list)
    forgotten: bool = False


class EarlyRewards:
    """Rewards that no unit in memory owns, by the decision that they name.

    One whose decision comes later, and not too much later, is folded with it.
    """

    def __init__(self) -> None:
        self._held: OrderedDict[int, list[LoggedReward]] = OrderedDict()
        self._rewards = 0

    def __len__(self) -> int:
        return self._rewards

    def hold(self, reward: LoggedReward) -> None:
        """Keep a reward; beyond `MOST_EARLY`, those of the decision first named go."""
        self._held.setdefault(reward.record.decision_id, []).append(reward)
        self._rewards += 1
        while self._rewards > MOST_EARLY:
            _, gone = self._held.popitem(last=False)
            self._rewards -= len(gone)

    def take(self, decision_id: int) -> list[LoggedReward]:
        """The rewards of a decision that has come, which are let go."""
        found = self._held.pop(decision_id, [])
        self._rewards -= len(found)
        return found


class UnitMemory:
    """States of the units of one arm.

    All methods belong to the event loop's thread.

    Args:
        experiment: key.
        arm: name, as logged.
        capacity: units that are kept.
        new_fold: makes a fold for the arm.
        reader: of the log, for one thread; None where nothing was ever logged.
        executor: one thread, where the log is read; the loop's own if not given.
        early: shared by all arms of a process.
        since_ms: of the start, UTC milliseconds.
        since_seq: decisions from before do not count (`experiments.beginning`).

    Attributes:
        fold: the states.
        hits: requests whose unit was at hand.
        misses: requests whose unit was read.
    """

    def __init__(
        self,
        experiment: str,
        arm: str,
        *,
        capacity: int,
        new_fold: NewFold,
        reader: UnitReader | None,
        executor: Executor | None = None,
        early: EarlyRewards | None = None,
        since_ms: int = 0,
        since_seq: int | None = None,
    ) -> None:
        self.fold = new_fold(capacity + PREVIEWS)
        self.hits = 0
        self.misses = 0
        self._early = EarlyRewards() if early is None else early
        self._units: OrderedDict[int, Unit] = OrderedDict()
        self._owner: dict[int, Unit] = {}
        self._free = list(range(capacity - 1, -1, -1))
        self._previews = np.arange(capacity, capacity + PREVIEWS, dtype=np.int32)
        self._loading: dict[int, _Loading] = {}
        self._forgotten: OrderedDict[int, int] = OrderedDict()
        self._earliest_ms, self._after = rows_after(since_ms, since_seq)
        self._reads = None
        if reader is not None:
            self._reads = UnitReads(
                experiment,
                arm,
                reader=reader,
                new_fold=new_fold,
                executor=executor,
                since_ms=since_ms,
                since_seq=since_seq,
            )

    def __len__(self) -> int:
        return len(self._units)

    def at_hand(self, pseudonym: int) -> Unit | None:
        """The unit, if it is here; it is in use until `done`."""
        unit = self._units.get(pseudonym)
        if unit is not None:
            self._units.move_to_end(pseudonym)
            self.hits += 1
            unit.users += 1
        return unit

    async def load(self, pseudonym: int) -> Unit:
        """The unit, read from the log if it is not here; it is in use until `done`.

        Raises:
            LogBusyError: every unit here is in use.
            LogUnavailableError: the log cannot be read.
        """
        found = self.at_hand(pseudonym)
        if found is not None:
            return found
        self.misses += 1
        loading = self._loading.get(pseudonym)
        if loading is None:
            loading = _Loading(asyncio.create_task(self._load(pseudonym)))
            self._loading[pseudonym] = loading
        # Others may wait for the same unit: who gives up does not stop it.
        unit = await asyncio.shield(loading.task)
        if self._units.get(pseudonym) is not unit:
            # It came and went before this request had its turn.
            return await self.load(pseudonym)
        unit.users += 1
        return unit

    def done(self, unit: Unit) -> None:
        """A request has no more use for a unit."""
        unit.users -= 1
        if unit.users == 0 and self._units.get(unit.pseudonym) is not unit:
            # It was dropped meanwhile.
            self._free.append(unit.row)

    def view(self, units: Sequence[Unit], times: Sequence[int]) -> IndexArray:
        """Rows of the fold that hold each unit as it is at a time, until the next call.

        Of a unit whose visit would begin then, that is a copy: nothing is taken up before its
        decision is in the log.

        Args:
            units: at most `PREVIEWS`.
            times: UTC milliseconds.
        """
        rows = [unit.row for unit in units]
        begun = [
            place
            for place, (unit, at) in enumerate(zip(units, times, strict=True))
            if not unit.is_visiting(at)
        ]
        if begun:
            copies = self._previews[: len(begun)]
            for copy, place in zip(copies.tolist(), begun, strict=True):
                self.fold.copy(copy, self.fold, rows[place])
                rows[place] = copy
            self.fold.open_visit(
                [units[place] for place in begun], copies, [times[place] for place in begun]
            )
        return np.array(rows, dtype=np.int32)

    def owns(self, decision_id: int) -> bool:
        """Whether a unit that is here has made this decision."""
        return decision_id in self._owner

    def decided(self, row: LoggedDecision) -> None:
        """Take in a decision of this arm that became durable; `flush` folds it."""
        record = row.record
        if row.seq <= self._after or record.decided_at < self._earliest_ms:
            return
        unit = self._units.get(record.unit)
        if unit is not None:
            self._take_in(unit, row)
        elif record.unit in self._loading:
            self._loading[record.unit].waiting.append(row)
        else:
            self._early.take(record.decision_id)

    def rewarded(self, row: LoggedReward) -> None:
        """Take in a reward of a decision that is owned here; `flush` folds it."""
        unit = self._owner[row.record.decision_id]
        if row.seq > unit.upto:
            self.fold.reward(unit, row.record)

    def unowned(self, row: LoggedReward) -> None:
        """Take in a reward that no memory owns: perhaps it is of a unit on its way."""
        for loading in self._loading.values():
            loading.waiting.append(row)

    def flush(self) -> None:
        """Fold in what was taken in."""
        self.fold.flush()

    def _take_in(self, unit: Unit, row: LoggedDecision) -> None:
        if row.seq <= unit.upto:
            return
        gone = self.fold.decision(unit, row.record)
        self._owner[row.record.decision_id] = unit
        if gone is not None:
            del self._owner[gone]
        for reward in self._early.take(row.record.decision_id):
            self.fold.reward(unit, reward.record)

    async def _load(self, pseudonym: int) -> Unit:
        try:
            unit, fold = await self._read(pseudonym)
            while self._loading[pseudonym].forgotten:
                self._loading[pseudonym].forgotten = False
                unit, fold = await self._read(pseudonym)
            row = self._free_row()
        except BaseException:
            del self._loading[pseudonym]
            raise
        if fold is None:
            self.fold.begin(row, pseudonym)
        else:
            self.fold.copy(row, fold, unit.row)
        unit.row = row
        self._units[pseudonym] = unit
        for decision_id in unit.slates:
            self._owner[decision_id] = unit
        waiting = self._loading.pop(pseudonym).waiting
        self._fold_waiting(unit, waiting)
        return unit

    async def _read(self, pseudonym: int) -> tuple[Unit, UnitFold | None]:
        if self._reads is None:
            return Unit(pseudonym, -1), None
        return await self._reads.read(pseudonym, after=self._forgotten.get(pseudonym, 0))

    def _fold_waiting(self, unit: Unit, rows: list[LoggedDecision | LoggedReward]) -> None:
        """What was published while the unit was read; of others' rewards nothing is known."""
        for row in rows:
            if isinstance(row, LoggedDecision):
                self._take_in(unit, row)
            elif row.record.decision_id in unit.slates and row.seq > unit.upto:
                self.fold.reward(unit, row.record)
        self.fold.flush()

    def _free_row(self) -> int:
        if self._free:
            return self._free.pop()
        for unit in self._units.values():
            if unit.users == 0:
                self._drop(unit)
                return unit.row
        raise LogBusyError("every unit in memory is in use")

    def forget(self, pseudonym: int, *, upto: int = 0) -> None:
        """Drop a unit; it is read anew when it comes again.

        Args:
            pseudonym: of the unit.
            upto: its rows at or before this place of the log count no more, though the last of
                them may be there for a while.
        """
        if upto > 0:
            self._forgotten[pseudonym] = max(upto, self._forgotten.pop(pseudonym, 0))
            if len(self._forgotten) > MOST_FORGOTTEN:
                self._forgotten.popitem(last=False)
        loading = self._loading.get(pseudonym)
        if loading is not None:
            # All of its rows are gone, those that wait too.
            loading.forgotten = True
            loading.waiting.clear()
        unit = self._units.get(pseudonym)
        if unit is not None:
            self._drop(unit)
            if unit.users == 0:
                self._free.append(unit.row)

    def forget_all(self) -> None:
        """Drop every unit: the log has rows of which nobody was told here."""
        for pseudonym in {*self._units, *self._loading}:
            self.forget(pseudonym)

    def _drop(self, unit: Unit) -> None:
        del self._units[unit.pseudonym]
        for decision_id in unit.slates:
            del self._owner[decision_id]
