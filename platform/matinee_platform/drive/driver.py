"""Let simulated users live with a service, day by day; the arms of a day side by side."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from matinee_platform.client.async_client import AsyncClient
from matinee_platform.drive.arm_users import ArmUsers, days_end
from matinee_platform.drive.compare import ArmDay, Comparison, compare_snapshots
from matinee_platform.drive.errors import DriveError
from matinee_platform.drive.pace import Pace
from matinee_platform.drive.plan import DrivePlan
from matinee_platform.drive.service_calls import ServiceCalls
from matinee_platform.drive.state_file import load_state, save_state
from matinee_platform.drive.tally import Tally
from matinee_platform.experiments.definition import LiveExperiment
from matinee_platform.experiments.lifecycle import same_but_for_its_life
from matinee_platform.offline.prepare import unit_name
from matinee_policies.arrays import IndexArray
from matinee_policies.errors import MatineeError

_OTHER_USERS = (
    "make a run of others (matinee simulate --set name=NEW --set seed=N), deploy each of its arms "
    "(matinee deploy RUN:ARM --first-day --as NEW_ARM --to DATA_DIR), and drive that run with "
    "--bundle ARM=NEW_ARM for each"
)
"""What works where a drive begins that cannot: tried by a test."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveOptions:
    """How a service is driven.

    Attributes:
        state: file of how far it has come.
        resume: whether to go on from it.
        batch: decisions or rewards in a request.
        connections: requests at once; arms take turns on them.
        rate: pages a second; None for as fast as the service answers.
        speed: days a second; None likewise.
        patience: seconds for which learning is waited for.
        hashes: content hashes of the snapshots of the run, by arm and version, if everything is to
            be held to it.
    """

    state: Path
    resume: bool = False
    batch: int = 100
    connections: int = 4
    rate: float | None = None
    speed: float | None = None
    patience: float = 120.0
    hashes: Mapping[str, list[str]] | None = None


@dataclass(frozen=True, slots=True)
class DayDone:
    """What is told after each day.

    Attributes:
        day: which.
        days: how many there are.
        tally: so far.
    """

    day: int
    days: int
    tally: Tally


@dataclass(slots=True)
class Driven:
    """What a drive came to.

    Attributes:
        tally: counts.
        comparison: with the run; None if it was not asked for.
        learned: version and content hash of the newest snapshot, by arm.
        behind: seconds by which the schedule was missed at most.
        failures_before: of the counts, those of the calls before this one.
    """

    tally: Tally
    comparison: Comparison | None
    learned: dict[str, tuple[int, str]] = field(default_factory=dict)
    behind: float = 0.0
    failures_before: int = 0

    @property
    def failed(self) -> bool:
        """Whether something in this call was not as it must be, or the whole differs from the run.

        What failed in a call before is told, and no reason to call again.
        """
        differs = self.comparison is not None and self.comparison.differs
        return self.tally.failures > self.failures_before or differs


def check_options(plan: DrivePlan, options: DriveOptions) -> None:
    """Refuse options that no drive can have, before an experiment is begun for it.

    Raises:
        ConfigError: a pace that is not above 0, no drive to go on with, or another one.
        DataError: its state is damaged.
    """
    Pace(rate=options.rate, speed=options.speed)
    if options.resume:
        load_state(options.state, plan, _arms(plan))


async def ensure_experiment(client: AsyncClient, plan: DrivePlan) -> None:
    """Create and start the experiment, if it is not there.

    Raises:
        DriveError: another one has its key, or it was stopped.
        CallError: the service refuses it, or does not answer.
    """
    wanted = plan.experiment
    known = {one.definition.key: one for one in (await client.experiments()).experiments}
    found = known.get(wanted.key)
    if found is None:
        for other in known.values():
            if other.definition.salt == wanted.salt:
                raise DriveError(
                    f"the users of run {plan.settings.name!r} with seed {plan.settings.seed} live "
                    f"in experiment {other.definition.key!r} already, and no user lives twice: "
                    + _OTHER_USERS
                )
        found = await client.create_experiment(wanted)
    elif not same_but_for_its_life(
        wanted, found.definition.model_copy(update={"analysis": wanted.analysis})
    ):
        raise DriveError(
            f"the service has another experiment {wanted.key!r}, which differs in "
            f"{', '.join(_differences(wanted, found.definition))}. For these users choose "
            f"another key by --experiment; if the service knows them: {_OTHER_USERS}"
        )
    if found.state == "created":
        await client.start_experiment(wanted.key)
    elif found.state != "running":
        raise DriveError(f"experiment {wanted.key!r} was stopped for good: {_OTHER_USERS}")


def _differences(wanted: LiveExperiment, found: LiveExperiment) -> list[str]:
    return [
        name
        for name in LiveExperiment.model_fields
        if name not in ("coverage", "analysis", "layer_slice")
        and getattr(wanted, name) != getattr(found, name)
    ]


async def drive(
    client: AsyncClient,
    plan: DrivePlan,
    options: DriveOptions,
    *,
    report: Callable[[DayDone], None] = lambda day: None,
) -> Driven:
    """Drive all days, or those that are left.

    Args:
        client: of the service, where the experiment runs.
        plan: who asks what.
        options: how.
        report: told after each day.

    Raises:
        DriveError: the service is not what these users need.
        CallError: it does not answer; the file of the state is that of the last whole day.
    """
    arms = _arms(plan)
    tally, comparison = Tally(), None if options.hashes is None else Comparison()
    first_day, facts = 0, None
    if options.resume:
        first_day, facts = load_state(options.state, plan, arms)
        tally = Tally.from_json(facts["tally"])
        if comparison is not None and facts["comparison"] is not None:
            comparison = Comparison.from_json(facts["comparison"])
    pace = Pace(rate=options.rate, speed=options.speed)
    calls = ServiceCalls(
        client,
        experiment=plan.experiment.key,
        rows={name: row for row, name in enumerate(plan.items)},
        slots=plan.settings.slots,
        batch=options.batch,
        connections=options.connections,
        pace=pace,
        tally=tally,
    )
    done = Driven(tally, comparison, failures_before=tally.failures)
    # Whatever was learned before is served before the first page.
    done.learned = await calls.learn_until(days_end(first_day - 1), patience=options.patience)
    pace.begin()
    for day in range(first_day, plan.settings.days):
        await pace.day(day - first_day)
        started = time.perf_counter()
        try:
            async with asyncio.TaskGroup() as group:
                for arm in arms:
                    group.create_task(_arm_day(calls, plan, arm, day, done))
        except* MatineeError as failed:
            raise failed.exceptions[0] from None
        done.learned = await calls.learn_until(days_end(day), patience=options.patience)
        if comparison is not None and options.hashes is not None:
            compare_snapshots(comparison, done.learned, options.hashes)
        tally.seconds += time.perf_counter() - started
        done.behind = pace.behind
        facts = {
            "tally": tally.to_json(),
            "comparison": None if comparison is None else comparison.to_json(),
        }
        save_state(options.state, plan, arms, next_day=day + 1, facts=facts)
        report(DayDone(day, plan.settings.days, tally))
    return done


def _arms(plan: DrivePlan) -> list[ArmUsers]:
    return [ArmUsers(plan, number) for number in range(len(plan.settings.arms))]


async def _arm_day(
    calls: ServiceCalls, plan: DrivePlan, arm: ArmUsers, day: int, done: Driven
) -> None:
    """One day of one arm, in the order of an offline run."""
    logged = None if done.comparison is None else ArmDay(plan.run, arm.name, day, done.comparison)
    active = arm.begin_day(day)
    done.tally.visits += int(active.size)
    await calls.reward(arm.returns(active, day))
    for block in arm.blocks(active, day):
        visits, page = block, 0
        while visits.size:
            visits = await _page(calls, arm, visits, day=day, page=page, logged=logged)
            page += 1
    await calls.reward(arm.end_day(day))
    if logged is not None:
        logged.close()


async def _page(
    calls: ServiceCalls,
    arm: ArmUsers,
    visits: IndexArray,
    *,
    day: int,
    page: int,
    logged: ArmDay | None,
) -> IndexArray:
    """One page of some sessions; gives those that go on."""
    ask = arm.ask(visits, day=day, page=page)
    units = [unit_name(number) for number in arm.numbers[visits].tolist()]
    slates = await calls.decide(arm.name, units, ask.ids.tolist(), at_ms=ask.at_ms)
    if logged is not None:
        logged.hold(ask.ids, slates)
    # Who was shown nothing has left.
    shown = np.flatnonzero(slates.answered)
    seen = replace(ask, units=ask.units[shown], ids=ask.ids[shown])
    events, left = arm.see(seen, slates.items[shown])
    await calls.reward(events)
    going_on: IndexArray = seen.units[~left]
    return going_on
