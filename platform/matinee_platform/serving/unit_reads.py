"""Read units from the log, those of one turn of the event loop together.

One way to a thread and back serves all of them, and so do one look at where the log ends, one
question for their decisions, and one for the rewards of these. Units that never came cost no more.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from operator import itemgetter
from typing import Protocol, TypeAlias

from matinee_platform.experiments.beginning import rows_after
from matinee_platform.serving.batching import Batcher
from matinee_platform.serving.unit_fold import Unit, UnitFold
from matinee_platform.storage.errors import LogUnavailableError
from matinee_platform.storage.records import LoggedDecision, LoggedReward

MOST_DECISIONS = 10_000
"""Decisions of a unit that are read from the log; earlier ones are taken for never made."""

_MOST_TOGETHER = 64


class UnitReader(Protocol):
    """Of `ports.EventReader`, what reads a unit."""

    def last_seq(self) -> int:
        """See `ports.EventReader`."""

    def unit_decisions(
        self, experiment: str, arm: str, unit: int, *, upto: int, limit: int
    ) -> list[LoggedDecision]:
        """See `ports.EventReader`."""

    def decisions_of_units(
        self, experiment: str, arm: str, units: Sequence[int], *, upto: int, limit: int
    ) -> list[LoggedDecision]:
        """See `ports.EventReader`."""

    def rewards_of(
        self, decision_ids: Sequence[int], *, upto: int | None = None
    ) -> list[LoggedReward]:
        """See `ports.EventReader`."""


NewFold: TypeAlias = Callable[[int], UnitFold]
"""Makes a fold with room for so many units of an arm."""


ReadUnit: TypeAlias = tuple[Unit, UnitFold | None]
"""A unit as the log has it, and what holds its state in its row; None for one that never came."""


@dataclass(frozen=True, slots=True, eq=False)
class _Read:
    """A unit to be read, from which place of the log on, and who is told."""

    pseudonym: int
    after: int
    told: "asyncio.Future[ReadUnit]"


class UnitReads:
    """Reads units of one arm; all methods belong to the event loop's thread.

    Args:
        experiment: key.
        arm: name, as logged.
        reader: of the log, for any thread.
        new_fold: makes a fold for the arm.
        executor: where the log is read; the loop's own if not given.
        since_ms: of the start, UTC milliseconds.
        since_seq: decisions from before do not count (`experiments.beginning`).
    """

    def __init__(
        self,
        experiment: str,
        arm: str,
        *,
        reader: UnitReader,
        new_fold: NewFold,
        executor: Executor | None = None,
        since_ms: int = 0,
        since_seq: int | None = None,
    ) -> None:
        self._experiment = experiment
        self._arm = arm
        self._reader = reader
        self._new_fold = new_fold
        self._executor = executor
        self._earliest_ms, self._after = rows_after(since_ms, since_seq)
        self._batcher = Batcher[_Read](self._start, most=_MOST_TOGETHER)
        self._tasks: set[asyncio.Task[None]] = set()

    async def read(self, pseudonym: int, *, after: int = 0) -> ReadUnit:
        """One unit, as `read_unit`.

        Raises:
            LogUnavailableError: the log cannot be read.
        """
        one = _Read(pseudonym, after, asyncio.get_running_loop().create_future())
        self._batcher.add(one)
        return await one.told

    def _start(self, reads: list[_Read]) -> None:
        task = asyncio.get_running_loop().create_task(self._read(reads))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _read(self, reads: list[_Read]) -> None:
        wanted = [(one.pseudonym, one.after) for one in reads]
        found: Sequence[ReadUnit | Exception]
        try:
            found = await asyncio.get_running_loop().run_in_executor(
                self._executor, self._read_here, wanted
            )
        except Exception as error:
            found = [error] * len(reads)
        except BaseException:
            for one in reads:
                one.told.cancel()
            raise
        for one, unit in zip(reads, found, strict=True):
            if one.told.done():
                continue
            if isinstance(unit, Exception):
                one.told.set_exception(unit)
            else:
                one.told.set_result(unit)

    def _read_here(self, wanted: list[tuple[int, int]]) -> list[ReadUnit | Exception]:
        """Belongs to a thread; what one unit fails on is no other's fault."""
        upto = self._reader.last_seq()
        try:
            together = self._read_together(wanted, upto)
        except LogUnavailableError:
            raise
        except Exception:
            together = None
        if together is not None:
            return together
        found: list[ReadUnit | Exception] = []
        for pseudonym, after in wanted:
            try:
                found.append(
                    read_unit(
                        self._reader,
                        self._experiment,
                        self._arm,
                        pseudonym,
                        self._new_fold,
                        upto=upto,
                        after=max(after, self._after),
                        earliest_ms=self._earliest_ms,
                    )
                )
            except Exception as error:
                found.append(error)
        return found

    def _read_together(
        self, wanted: list[tuple[int, int]], upto: int
    ) -> list[ReadUnit | Exception] | None:
        """All units by one question each kind of row; None if they have too many decisions.

        None, too, if one is wanted twice: the places that count may differ.
        """
        if len(dict(wanted)) < len(wanted):
            return None
        decisions = self._reader.decisions_of_units(
            self._experiment,
            self._arm,
            [pseudonym for pseudonym, _ in wanted],
            upto=upto,
            limit=MOST_DECISIONS,
        )
        if len(decisions) >= MOST_DECISIONS:
            return None
        made: dict[int, list[LoggedDecision]] = {}
        for decision in decisions:
            made.setdefault(decision.record.unit, []).append(decision)
        made = {
            pseudonym: _that_count(
                made[pseudonym], after=max(after, self._after), earliest_ms=self._earliest_ms
            )
            for pseudonym, after in wanted
            if pseudonym in made
        }
        unit_of = {one.record.decision_id: unit for unit, rows in made.items() for one in rows}
        got: dict[int, list[LoggedReward]] = {}
        if unit_of:
            for reward in self._reader.rewards_of(list(unit_of), upto=upto):
                got.setdefault(unit_of[reward.record.decision_id], []).append(reward)
        return list(folded([one for one, _ in wanted], made, got, self._new_fold, upto=upto))


def _that_count(
    decisions: Sequence[LoggedDecision], *, after: int, earliest_ms: int
) -> list[LoggedDecision]:
    return [one for one in decisions if one.seq > after and one.record.decided_at >= earliest_ms]


def read_unit(
    reader: UnitReader,
    experiment: str,
    arm: str,
    pseudonym: int,
    new_fold: NewFold,
    *,
    upto: int | None = None,
    after: int = 0,
    earliest_ms: int = 0,
) -> ReadUnit:
    """Fold a unit from the log.

    Args:
        reader: of the log.
        experiment: key.
        arm: as logged.
        pseudonym: of the unit.
        new_fold: makes a fold for the arm.
        upto: a place that `last_seq` gave; the log's last complete place if it is missing.
        after: decisions at or before this place of the log do not count.
        earliest_ms: decisions from before this time do not count, UTC milliseconds.

    Returns:
        The unit, and a fold that holds its state in its row; None for one that never came.
    """
    if upto is None:
        upto = reader.last_seq()
    found = reader.unit_decisions(experiment, arm, pseudonym, upto=upto, limit=MOST_DECISIONS)
    decisions = _that_count(found, after=after, earliest_ms=earliest_ms)
    rewards: Sequence[LoggedReward] = ()
    if decisions:
        rewards = reader.rewards_of([one.record.decision_id for one in decisions], upto=upto)
    rows = {pseudonym: decisions}, {pseudonym: rewards}
    (read,) = folded([pseudonym], *rows, new_fold, upto=upto)
    return read


def folded(
    pseudonyms: Sequence[int],
    decisions: Mapping[int, Sequence[LoggedDecision]],
    rewards: Mapping[int, Sequence[LoggedReward]],
    new_fold: NewFold,
    *,
    upto: int,
) -> list[ReadUnit]:
    """Units from their rows that count, all of them up to a place of the log.

    Args:
        pseudonyms: of the units, distinct.
        decisions: of each unit that has any, in log order.
        rewards: of these decisions, in log order.
        new_fold: makes a fold for the arm.
        upto: that place.

    Returns:
        As `read_unit`, one fold for all units.
    """
    units = [Unit(one, 0, upto=upto) for one in pseudonyms]
    came = [unit for unit in units if decisions.get(unit.pseudonym)]
    if not came:
        return [(unit, None) for unit in units]
    fold = new_fold(len(came))
    order: list[tuple[int, Unit, LoggedDecision | LoggedReward]] = []
    for row, unit in enumerate(came):
        unit.row = row
        fold.begin(row, unit.pseudonym)
        own = in_order(decisions[unit.pseudonym], rewards.get(unit.pseudonym, ()))
        order += [(turn, unit, one) for turn, one in own]
    # Decisions of different units are folded together, those of one unit are not.
    for _, unit, one in sorted(order, key=itemgetter(0)):
        if isinstance(one, LoggedDecision):
            fold.decision(unit, one.record)
        else:
            fold.reward(unit, one.record)
    fold.flush()
    return [(unit, fold if decisions.get(unit.pseudonym) else None) for unit in units]


def in_order(
    decisions: Sequence[LoggedDecision], rewards: Sequence[LoggedReward]
) -> list[tuple[int, LoggedDecision | LoggedReward]]:
    """Rows of one unit in the order in which they count, each with the number of its decision.

    A reward has the number of the last decision before it.

    Args:
        decisions: in log order.
        rewards: of these decisions, in log order.
    """
    places = {one.record.decision_id: one.seq for one in decisions}
    # A reward before its decision counts right after it.
    order: list[tuple[int, int, LoggedDecision | LoggedReward]] = [
        (one.seq, 0, one) for one in decisions
    ]
    order += [(max(one.seq, places[one.record.decision_id]), one.seq, one) for one in rewards]
    found: list[tuple[int, LoggedDecision | LoggedReward]] = []
    turn = 0
    for _, _, row in sorted(order, key=itemgetter(0, 1)):
        turn += isinstance(row, LoggedDecision)
        found.append((turn, row))
    return found
