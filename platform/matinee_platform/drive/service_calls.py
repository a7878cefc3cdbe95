"""Ask a service for pages and tell it what users did, in order, some at a time."""

import asyncio
from collections.abc import Mapping, Sequence

import numpy as np

from matinee_platform.client.async_client import AsyncClient
from matinee_platform.client.calls import Ask, Event
from matinee_platform.drive.errors import DriveError
from matinee_platform.drive.moments import moment
from matinee_platform.drive.pace import Pace
from matinee_platform.drive.tally import Tally
from matinee_platform.service.answers import DecisionAnswer, DecisionResult
from matinee_policies.arrays import BoolArray, FloatArray, IndexArray
from matinee_policies.records import PAD

_AGAIN = (429, 503)
_TRIES = 8
_FIRST_WAIT = 0.1


class Slates:
    """Slates of `n` asks, as answered.

    Attributes:
        answered: which asks were, `bool [n]`.
        items: catalogue rows, `int32 [n, L]`, `PAD` for empty slots.
        propensities: `float64 [n, L]`, 1 at padding.
        snapshots: version that chose, `int32 [n]`.
    """

    def __init__(self, n: int, slots: int) -> None:
        self.answered: BoolArray = np.zeros(n, dtype=np.bool_)
        self.items: IndexArray = np.full((n, slots), PAD, dtype=np.int32)
        self.propensities: FloatArray = np.ones((n, slots))
        self.snapshots: IndexArray = np.full(n, -1, dtype=np.int32)


class ServiceCalls:
    """One service, as one experiment is driven.

    Args:
        client: of the service.
        experiment: key.
        rows: catalogue row of each item, as the service names it.
        slots: of a slate at most.
        batch: decisions or rewards in a request.
        connections: requests at once.
        pace: of the pages.
        tally: counts what becomes of them.
    """

    def __init__(
        self,
        client: AsyncClient,
        *,
        experiment: str,
        rows: Mapping[str, int],
        slots: int,
        batch: int,
        connections: int,
        pace: Pace,
        tally: Tally,
    ) -> None:
        self._client = client
        self._experiment = experiment
        self._rows = rows
        self._slots = slots
        self._batch = batch
        self._free = asyncio.Semaphore(connections)
        self._pace = pace
        self._tally = tally
        self.versions: dict[str, int] = {}

    async def decide(
        self, arm: str, units: Sequence[str], ids: Sequence[int], *, at_ms: int
    ) -> Slates:
        """Slates of some users' pages, asked for in their order.

        Args:
            arm: where the users must be.
            units: raw ids of the users.
            ids: of the decisions.
            at_ms: when, UTC milliseconds.

        Raises:
            DriveError: the service assigns a user elsewhere, or shows an item that is not known.
            CallError: it does not answer.
        """
        slates = Slates(len(units), self._slots)
        at = moment(at_ms)
        asks = [
            Ask(experiment=self._experiment, unit=unit, decision_id=f"{number:016x}", at=at)
            for unit, number in zip(units, ids, strict=True)
        ]
        for start in range(0, len(asks), self._batch):
            some = asks[start : start + self._batch]
            await self._pace.pages(len(some))
            for place, result in enumerate(await self._decided(some), start=start):
                if result.decision is not None:
                    self._take(slates, place, result.decision, arm)
                elif result.problem is not None:
                    self._tally.errors[result.problem.code] += 1
        return slates

    async def reward(self, events: Sequence[Event]) -> None:
        """Tell what users did, in its order."""
        for start in range(0, len(events), self._batch):
            some = events[start : start + self._batch]
            async with self._free:
                answer = await self._client.rewards(some)
            for event, one in zip(some, answer.results, strict=True):
                became = one.outcome if one.outcome != "stored" else one.state or "unjudged"
                self._tally.rewards[f"{event.component}/{became}"] += 1
                if one.outcome in ("conflict", "refused"):
                    code = one.outcome if one.problem is None else one.problem.code
                    self._tally.errors[code] += 1

    async def _decided(self, asks: Sequence[Ask]) -> list[DecisionResult]:
        """Answers in the order of the asks; those that the service was too busy for come again."""
        found: dict[int, DecisionResult] = {}
        left = list(range(len(asks)))
        for tried in range(_TRIES):
            async with self._free:
                answer = await self._client.decide_batch([asks[place] for place in left])
            found.update(zip(left, answer.results, strict=True))
            left = [place for place in left if found[place].status in _AGAIN]
            if not left:
                break
            await asyncio.sleep(_FIRST_WAIT * 2.0**tried)
        return [found[place] for place in range(len(asks))]

    def _take(self, slates: Slates, place: int, answer: DecisionAnswer, arm: str) -> None:
        if answer.arm != arm:
            raise DriveError(
                f"the service has a user of arm {arm!r} in {answer.arm!r}: the experiment must "
                "cover all users, with the salt of the run, and nobody may be in a holdout"
            )
        try:
            rows = [PAD if item == "" else self._rows[item] for item in answer.items]
        except KeyError as unknown:
            raise DriveError(
                f"the service shows item {unknown.args[0]!r}, which is not in the catalogue of the "
                "run: its bundle is of another one"
            ) from None
        slates.answered[place] = True
        slates.items[place, : len(rows)] = rows
        slates.propensities[place, : len(rows)] = answer.propensities
        slates.snapshots[place] = -1 if answer.snapshot is None else answer.snapshot
        self._tally.pages += 1
        self._tally.served_by[answer.served_by] += 1
        if slates.snapshots[place] < self.versions.get(arm, -1):
            self._tally.older_snapshots += 1

    async def learn_until(self, at_ms: int, *, patience: float) -> dict[str, tuple[int, str]]:
        """Have all arms learned up to a time, and served as learned.

        Args:
            at_ms: UTC milliseconds.
            patience: seconds after which it is given up.

        Returns:
            Version and content hash of the newest snapshot, by arm.

        Raises:
            DriveError: it took longer.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + patience
        while True:
            answer = await self._client.learn_until(self._experiment, moment(at_ms))
            if answer.reached:
                break
            if loop.time() >= until:
                late = ", ".join(one.arm for one in answer.arms if not one.reached)
                raise DriveError(
                    f"arms were not learned within {patience:g} s: {late}; does the learner of the "
                    "service run?"
                )
        self.versions = {one.arm: one.version for one in answer.arms}
        return {one.arm: (one.version, one.snapshot_hash) for one in answer.arms}
