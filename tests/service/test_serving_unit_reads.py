"""Units that are read in one turn: together, each with its own outcome."""

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest

from matinee_platform.serving.unit_fold import UnitFold
from matinee_platform.serving.unit_reads import UnitReads
from matinee_platform.storage.errors import LogUnavailableError
from matinee_platform.storage.records import LoggedDecision, LoggedReward

BROKEN = 3


class Log:
    """Nobody ever came; one unit cannot be read."""

    def __init__(self) -> None:
        self.looks = 0
        self.away = False
        self.asked: list[list[int]] = []

    def last_seq(self) -> int:
        self.looks += 1
        if self.away:
            raise LogUnavailableError("away")
        return 7

    def unit_decisions(
        self, experiment: str, arm: str, unit: int, *, upto: int, limit: int
    ) -> list[LoggedDecision]:
        assert (experiment, arm, upto) == ("home", "new", 7)
        if unit == BROKEN:
            raise ValueError("broken")
        return []

    def decisions_of_units(
        self, experiment: str, arm: str, units: Sequence[int], *, upto: int, limit: int
    ) -> list[LoggedDecision]:
        assert (experiment, arm, upto) == ("home", "new", 7)
        self.asked.append(list(units))
        if BROKEN in units:
            raise ValueError("broken")
        return []

    def rewards_of(
        self, decision_ids: Sequence[int], *, upto: int | None = None
    ) -> list[LoggedReward]:
        raise AssertionError("there are no decisions")


def new_fold(rows: int) -> UnitFold:
    raise AssertionError(f"nothing is to be folded, {rows} rows asked for")


def test_units_of_one_turn_share_one_question() -> None:
    log = Log()

    async def scene() -> None:
        reads = UnitReads("home", "new", reader=log, new_fold=new_fold)
        await asyncio.gather(*(reads.read(unit) for unit in (1, 2, 5)))

    asyncio.run(scene())
    assert (log.looks, log.asked) == (1, [[1, 2, 5]])


def test_what_one_unit_fails_on_is_no_fault_of_the_others() -> None:
    log = Log()

    async def scene() -> list[object]:
        reads = UnitReads("home", "new", reader=log, new_fold=new_fold)
        found = await asyncio.gather(
            *(reads.read(unit) for unit in range(6)), return_exceptions=True
        )
        return cast("list[object]", found)

    found = asyncio.run(scene())
    assert log.looks == 1
    assert isinstance(found[BROKEN], ValueError)
    for number, one in enumerate(found):
        if number != BROKEN:
            assert isinstance(one, tuple)
            unit, fold = one
            assert (unit.pseudonym, unit.upto, fold) == (number, 7, None)


def test_a_log_that_is_away_fails_all_that_wait() -> None:
    log = Log()
    log.away = True

    async def scene() -> None:
        reads = UnitReads("home", "new", reader=log, new_fold=new_fold)
        first, second = asyncio.ensure_future(reads.read(1)), asyncio.ensure_future(reads.read(2))
        for one in (first, second):
            with pytest.raises(LogUnavailableError, match="away"):
                await one

    asyncio.run(scene())


def test_who_gives_up_takes_nothing_from_the_others() -> None:
    async def scene() -> None:
        reads = UnitReads("home", "new", reader=Log(), new_fold=new_fold)
        first, second = asyncio.ensure_future(reads.read(1)), asyncio.ensure_future(reads.read(2))
        await asyncio.sleep(0)
        first.cancel()
        unit, _ = await second
        assert unit.pseudonym == 2

    asyncio.run(scene())
