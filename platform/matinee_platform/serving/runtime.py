"""The decision runtime of the service: from an ask to a slate, within the budget.

    ask -> pseudonym, arm -> state of the unit (memory, or the log) -> batch of this turn -> slate

All methods belong to the event loop's thread, but where they say otherwise.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from matinee_platform.clock import Clock
from matinee_platform.experiments.definition import HOLDOUT_ARM, LiveArm, LiveExperiment
from matinee_platform.experiments.errors import UnknownExperimentError
from matinee_platform.pseudonyms import Pseudonyms
from matinee_platform.serving.arm_asks import ArmAsks
from matinee_platform.serving.arm_runtime import ArmRuntime
from matinee_platform.serving.asks import Ask, Decided
from matinee_platform.serving.bundle import BundleLoader, LoadedBundle
from matinee_platform.serving.caller_items import CallerItems, ItemNames
from matinee_platform.serving.catalogue_names import CatalogueNames
from matinee_platform.serving.fallback import STATE
from matinee_platform.serving.given_features import GIVEN
from matinee_platform.serving.isolation import Isolation
from matinee_platform.serving.observer import Nobody, Observer
from matinee_platform.serving.packing import name_candidates, wanted_slots
from matinee_platform.serving.publishing import publish
from matinee_platform.serving.simulated_time import decided_at
from matinee_platform.serving.thread_readers import LogReader, ThreadReaders
from matinee_platform.serving.unit_memory import EarlyRewards, UnitMemory
from matinee_platform.serving.warm_up import warm_up
from matinee_platform.serving.work import Work
from matinee_platform.simulated_keys import pseudonym_key
from matinee_platform.storage.records import DecisionRecord, LoggedDecision, LoggedReward
from matinee_policies.records import PAD

MOST_LOADS = 4
"""Threads that read units from the log."""


class Assigned(Protocol):
    """Where a unit stands in an experiment."""

    @property
    def bucket(self) -> int:
        """Of the experiment's hash, in ten-thousandths."""

    @property
    def arm(self) -> str | None:
        """Name of the arm, `HOLDOUT_ARM`, or None for a unit outside the experiment."""


class Assigner(Protocol):
    """Assigns units to arms, as `experiments.layers` does."""

    def assign(self, experiment: str, unit: str) -> Assigned:
        """Where a unit stands.

        Raises:
            UnknownExperimentError: no experiment of this key runs.
        """


@dataclass(frozen=True, slots=True)
class Running:
    """An experiment that runs.

    Attributes:
        definition: of it.
        start_ms: when it was started last, UTC milliseconds; days of units count from then.
        start_seq: place of the log then: decisions count from there on; None has the time tell.
    """

    definition: LiveExperiment
    start_ms: int
    start_seq: int | None = None


@dataclass(slots=True)
class _Live:
    """A running experiment at work."""

    running: Running
    arms: dict[str, ArmAsks]
    pseudonym: Callable[[str], int]
    control: ArmAsks = field(init=False)

    def __post_init__(self) -> None:
        self.control = self.arms[self.running.definition.control]


class LiveRuntime:
    """Turns asks into slates; see `asks.DecisionRuntime`.

    Args:
        bundles: gives a deployed bundle by its name; called in a thread.
        pseudonym_secret: key of the pseudonyms.
        draws: gives the 16 bytes that key the draws of an arm, by experiment and arm.
        clock: server's time.
        reader: of the log; None where nothing was ever logged (tests).
        names: gives rows to items of arms without a catalogue; None where there are none.
        budget_ms: after which a policy of the user's own, or reading a unit, is given up.
        units_in_memory: units of each arm whose state is kept.
        observer: told of what happens.
        newest: has arms that are about to serve take up what was learned so far; in a thread.
        settled: returns once every row whose receipt came before was `published`; waited for where
            simulated users ask, whose pages must not depend on how fast rows are told.
    """

    def __init__(
        self,
        *,
        bundles: BundleLoader,
        pseudonym_secret: bytes,
        draws: Callable[[str, str], bytes],
        clock: Clock,
        reader: LogReader | None = None,
        names: ItemNames | None = None,
        budget_ms: float = 50.0,
        units_in_memory: int = 20_000,
        observer: Observer | None = None,
        newest: Callable[[Sequence[ArmRuntime]], None] | None = None,
        settled: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._newest = newest
        self._settled = settled
        self._pseudonym = Pseudonyms(pseudonym_secret).of
        self._bundles = bundles
        self._draws = draws
        self._clock = clock
        self._reader = reader
        self._catalogues = CatalogueNames(bundles)
        self._budget = budget_ms / 1_000.0
        self._capacity = units_in_memory
        self._observer: Observer = Nobody() if observer is None else observer
        self._units = None if reader is None else ThreadReaders(reader)
        self._executor = ThreadPoolExecutor(MOST_LOADS, thread_name_prefix="matinee-units")
        self._items = CallerItems(names, self._units, executor=self._executor)
        self._assigner: Assigner | None = None
        self._live: dict[str, _Live] = {}
        self._stopped: dict[str, _Live] = {}
        self._memories: dict[tuple[str, str], UnitMemory] = {}
        self._early = EarlyRewards()

    @property
    def arms(self) -> list[ArmRuntime]:
        """The arms at work that learn: what a `SnapshotPoller` polls."""
        return [
            arm.runtime
            for live in self._live.values()
            for name, arm in live.arms.items()
            if name != HOLDOUT_ARM
        ]

    def know(self, definitions: Iterable[LiveExperiment]) -> None:
        """Tell of experiments that may have logged decisions, whether or not they run."""
        self._catalogues.know(definitions)

    async def apply(self, running: Iterable[Running], assigner: Assigner) -> None:
        """Serve these experiments, and no others, from now on.

        Bundles of new ones are read in a thread, and the kernels of their arms compiled, before
        they serve; those that run go on meanwhile.

        Args:
            running: experiments that run.
            assigner: of these.

        Raises:
            MatineeError: a bundle cannot be served; everything stays as it was.
        """
        wanted = {one.definition.key: one for one in running}
        live: dict[str, _Live] = {}
        for key, one in wanted.items():
            known = self._live.get(key)
            if known is None or not _same_arms(known.running, one):
                known = await asyncio.to_thread(self._made, one)
            known.running = one
            live[key] = known
        gone = {key: one for key, one in self._live.items() if live.get(key) is not one}
        for old in gone.values():
            for arm in old.arms.values():
                arm.close()
        self._stopped = {
            key: one for key, one in {**self._stopped, **gone}.items() if key not in live
        }
        self._memories = {
            (key, name): arm.runtime.memory
            for key, new in live.items()
            for name, arm in new.arms.items()
            if arm.runtime.memory is not None
        }
        self._live, self._assigner = live, assigner
        for served in self.arms:
            self._observer.serves(served.experiment, served.name)

    async def decide(self, ask: Ask) -> Decided:
        """See `asks.DecisionRuntime.decide`."""
        live = self._live.get(ask.experiment)
        if live is None or self._assigner is None:
            raise UnknownExperimentError(f"no experiment {ask.experiment!r} runs")
        assigned = self._assigner.assign(ask.experiment, ask.unit)
        simulated = live.running.definition.simulated is not None
        inside = assigned.arm is not None
        arm = live.arms[assigned.arm] if assigned.arm is not None else live.control
        runtime = arm.runtime
        work = Work(
            ask=ask,
            pseudonym=live.pseudonym(ask.unit),
            bucket=assigned.bucket,
            at=decided_at(ask, live.running.definition, clock=self._clock),
            slots=wanted_slots(ask, runtime),
            by_default=not inside,
            logged=inside,
        )
        if runtime.dimension is None:
            name_candidates(work, runtime)
        else:
            await self._items.name(work, runtime)
        memory = runtime.memory
        if simulated and self._settled is not None:
            await self._settled()
        if inside and memory is not None:
            work.unit = memory.at_hand(work.pseudonym)
            at_hand = work.unit is not None
            self._observer.asked_unit(runtime.experiment, runtime.name, at_hand=at_hand)
            if not at_hand:
                # While a page of simulated users is decided, their time stands still.
                await self._load(work, memory, budget=None if simulated else self._budget)
        answer: asyncio.Future[Decided] = asyncio.get_running_loop().create_future()
        work.answer = answer
        arm.add(work)
        return await answer

    async def answer(self, record: DecisionRecord) -> Decided:
        """See `asks.DecisionRuntime.answer`."""
        rows = np.frombuffer(record.slate, dtype="<i4").tolist()
        propensities = np.frombuffer(record.propensities, dtype="<f8").tolist()
        while rows and rows[-1] == PAD:
            rows.pop()
        if record.feature_version == GIVEN:
            items = await self._items.names_of(rows)
        else:
            names = self._catalogues.kept(record.catalogue_version)
            if names is None:
                names = await asyncio.to_thread(self._catalogues.find, record)
            items = [names[row] if row != PAD else "" for row in rows]
        return Decided(record=record, items=items, propensities=propensities[: len(rows)])

    def published(
        self, decisions: Sequence[LoggedDecision], rewards: Sequence[LoggedReward]
    ) -> None:
        """See `ports.Published`: fold rows that became durable."""
        publish(decisions, rewards, memories=self._memories, early=self._early)

    def skipped(self) -> None:
        """See `ports.Skipped`: read units anew."""
        for memory in self._memories.values():
            memory.forget_all()

    def forget(self, unit: str) -> None:
        """Drop the state of a unit; it is read anew when the unit comes again."""
        self.forget_pseudonym(self._pseudonym(unit))

    def forget_pseudonym(self, pseudonym: int, *, upto: int = 0) -> None:
        """The same for a unit whose pseudonym is known.

        Args:
            pseudonym: of the unit.
            upto: its rows at or before this place of the log count no more.
        """
        for memory in self._memories.values():
            memory.forget(pseudonym, upto=upto)

    async def close(self) -> None:
        """Let go of threads."""
        for live in [*self._live.values(), *self._stopped.values()]:
            for arm in live.arms.values():
                arm.close()
        await asyncio.to_thread(self._executor.shutdown, cancel_futures=True)
        if self._units is not None:
            await asyncio.to_thread(self._units.close)

    async def _load(self, work: Work, memory: UnitMemory, *, budget: float | None) -> None:
        """Read the unit; where that takes too long or fails, nothing is known of it."""
        try:
            async with asyncio.timeout(budget):
                work.unit = await memory.load(work.pseudonym)
        except Exception:
            work.fallback = STATE

    def _made(self, running: Running) -> _Live:
        """An experiment at work; belongs to a thread."""
        definition = running.definition
        bundles = {name: self._bundles(name) for name in {arm.bundle for arm in definition.arms}}
        for bundle in bundles.values():
            self._catalogues.keep(bundle)
        control = definition.arm(definition.control)
        arms = {
            arm.name: self._arm(running, arm.name, arm, bundles[arm.bundle])
            for arm in definition.arms
        }
        if self._newest is not None:
            # An experiment that is started anew keeps what its policies learned before.
            self._newest([arm.runtime for arm in arms.values()])
        arms[HOLDOUT_ARM] = self._arm(running, HOLDOUT_ARM, control, bundles[control.bundle])
        return _Live(running, arms, self._pseudonyms_of(definition))

    def _pseudonyms_of(self, definition: LiveExperiment) -> Callable[[str], int]:
        simulated = definition.simulated
        if simulated is None:
            return self._pseudonym
        return Pseudonyms(pseudonym_key(simulated.run, simulated.seed)).of

    def _arm(self, running: Running, name: str, arm: LiveArm, bundle: LoadedBundle) -> ArmAsks:
        definition = running.definition
        runtime = ArmRuntime(
            definition.key,
            name,
            bundle=bundle,
            learning=arm.learning,
            draws=definition.draws(name, own=self._draws),
            slots=definition.slots,
            candidates=definition.candidates,
            rest=definition.rest,
            start_ms=running.start_ms,
            observer=self._observer,
        )
        if runtime.dimension is None:
            runtime.memory = UnitMemory(
                definition.key,
                name,
                capacity=self._capacity,
                new_fold=runtime.new_fold,
                reader=self._units,
                executor=self._executor,
                early=self._early,
                since_ms=running.start_ms,
                since_seq=running.start_seq,
            )
        isolation = None
        if _runs_user_code(bundle):
            isolation = Isolation(f"matinee-{definition.key}-{name}", budget=self._budget)
        warm_up(runtime)
        return ArmAsks(runtime, isolation, observer=self._observer)


def _same_arms(old: Running, new: Running) -> bool:
    """Whether nothing changed that an arm at work depends on."""
    free = {"coverage", "layer_slice", "layer", "reward", "engagement_minutes", "analysis"}
    same_start = (old.start_ms, old.start_seq) == (new.start_ms, new.start_seq)
    return same_start and old.definition.model_dump(exclude=free) == new.definition.model_dump(
        exclude=free
    )


def _runs_user_code(bundle: LoadedBundle) -> bool:
    return bool(bundle.manifest.user_classes())
