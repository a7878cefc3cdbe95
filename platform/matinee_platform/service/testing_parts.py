"""Small real parts of a service, in memory: for tests and benchmarks of its HTTP side."""

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from matinee_platform.clock import Clock, FakeClock
from matinee_platform.experiments.definition import LiveExperiment
from matinee_platform.pseudonyms import pseudonyms
from matinee_platform.service.errors import (
    CONFLICT,
    NOT_FOUND,
    ConflictError,
    NotFoundError,
    Problem,
)
from matinee_platform.service.learn_until import LearnedArm, check_time
from matinee_platform.service.parts import (
    Caller,
    Conditions,
    Replayed,
    ServiceParts,
)
from matinee_platform.service.secrets import Secrets
from matinee_platform.service.settings import ServiceSettings
from matinee_platform.serving.asks import Ask, Decided
from matinee_platform.storage.arm_counts import ArmCounts
from matinee_platform.storage.memory_log import MemoryAppender, MemoryLog, MemoryReader
from matinee_platform.storage.ports import EventReader
from matinee_platform.storage.records import DecisionRecord, LoggedDecision, ServedBy
from matinee_policies.errors import ContextError

ITEMS = [f"item {row}" for row in range(20)]
EXPERIMENT = LiveExperiment.model_validate(
    {
        "key": "home",
        "salt": "home-1",
        "slots": 3,
        "candidates": 1_000,
        "arms": [{"name": "old", "bundle": "old"}, {"name": "new", "bundle": "new"}],
    }
)


class FirstItems:
    """A runtime that shows the first candidates, one arm or the other by the unit."""

    def __init__(self, secrets: Secrets, log: MemoryLog, clock: Clock) -> None:
        self.error: BaseException | None = None
        self.most_slots = 3
        self.outside: set[str] = set()
        self._secrets = secrets
        self._log = log
        self._clock = clock
        self._arms: dict[str, list[str]] = {"home": ["old", "new"]}

    async def decide(self, ask: Ask) -> Decided:
        """Show the first candidates."""
        if self.error is not None:
            raise self.error
        if ask.experiment not in self._arms:
            raise NotFoundError("no experiment of this key runs")
        candidates = ITEMS if ask.candidates is None else list(ask.candidates)
        slots = 3 if ask.slots is None else ask.slots
        if slots > self.most_slots:
            raise ContextError(f"slots must be at most {self.most_slots}")
        items = candidates[:slots]
        propensities = [1.0] * len(items)
        if ask.unit in self.outside:
            return Decided(record=None, items=items, propensities=propensities)
        unit = int(pseudonyms([ask.unit], secret=self._secrets.pseudonyms)[0])
        rows = np.array([self._log.items.setdefault(one, len(self._log.items)) for one in items])
        record = DecisionRecord(
            decision_id=ask.decision_id,
            body_digest=ask.body_digest,
            experiment=ask.experiment,
            arm=self._arms[ask.experiment][unit % 2],
            unit=unit,
            bucket=unit % 10_000,
            decided_at=self._clock.now_ms(),
            page=0,
            snapshot=3,
            feature_version=0,
            catalogue_version=0,
            served_by=ServedBy.POLICY,
            last_watched=-1,
            unit_state=b"",
            candidates=b"",
            scores=b"",
            slate=rows.astype("<i4").tobytes(),
            propensities=np.array(propensities).tobytes(),
        )
        return Decided(record=record, items=items, propensities=propensities)

    async def answer(self, record: DecisionRecord) -> Decided:
        """What a logged row was answered with."""
        names = list(self._log.items)
        items = [names[row] for row in np.frombuffer(record.slate, dtype="<i4")]
        return Decided(
            record=record,
            items=items,
            propensities=np.frombuffer(record.propensities).tolist(),
        )


@dataclass(frozen=True, kw_only=True)
class HeldExperiment:
    """An experiment and where it stands."""

    definition: LiveExperiment
    state: str = "created"
    version: int = 1
    created_at: int = 0
    changed_at: int = 0
    started_at: int | None = None
    started_seq: int | None = None


@dataclass(frozen=True, kw_only=True)
class Line:
    """An entry of the audit."""

    number: int
    at: int
    who: str
    action: str
    subject: str
    details: Mapping[str, Any]


class MemoryControl:
    """Experiments and their audit in a dict."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held: dict[str, HeldExperiment] = {}
        self._lines: list[Line] = []

    def experiments(self) -> Sequence[HeldExperiment]:
        """All of them, by key."""
        return [self._held[key] for key in sorted(self._held)]

    def experiment(self, key: str) -> HeldExperiment:
        """One."""
        if key not in self._held:
            raise NotFoundError("there is no experiment of this key")
        return self._held[key]

    def create(self, definition: LiveExperiment, *, who: str) -> HeldExperiment:
        """Add one."""
        if definition.key in self._held:
            raise ConflictError("the key is taken")
        return self._put(HeldExperiment(definition=definition), who, "experiment.create")

    def start(
        self, key: str, *, salt: str | None, coverage: float | None, who: str
    ) -> HeldExperiment:
        """Let units in."""
        return self._change(key, "running", who, "experiment.start", {})

    def ramp(self, key: str, *, coverage: float, who: str) -> HeldExperiment:
        """Let more units in."""
        held = self.experiment(key)
        if coverage <= held.definition.coverage:
            raise ConflictError("coverage must grow")
        return self._change(key, held.state, who, "experiment.ramp", {"coverage": coverage})

    def stop(self, key: str, *, who: str) -> HeldExperiment:
        """Let no unit in."""
        return self._change(key, "stopped", who, "experiment.stop", {})

    def audit(self, *, after: int, limit: int) -> Sequence[Line]:
        """Entries above a number."""
        return [line for line in self._lines if line.number > after][:limit]

    def _change(
        self, key: str, state: str, who: str, action: str, changes: dict[str, Any]
    ) -> HeldExperiment:
        held = self.experiment(key)
        if state == held.state and not changes:
            raise ConflictError(f"the experiment is {state} already")
        definition = held.definition.model_copy(update=changes)
        changed = replace(held, definition=definition, state=state, version=held.version + 1)
        if action == "experiment.start":
            changed = replace(changed, started_at=self._clock.now_ms())
        return self._put(changed, who, action)

    def _put(self, held: HeldExperiment, who: str, action: str) -> HeldExperiment:
        self._held[held.definition.key] = held
        self._lines.append(
            Line(
                number=len(self._lines) + 1,
                at=self._clock.now_ms(),
                who=who,
                action=action,
                subject=held.definition.key,
                details={"version": held.version},
            )
        )
        return held


class MemoryCounts:
    """Counts by arm in one pass over a log in memory."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log

    def arm_counts(
        self,
        experiment: str,
        *,
        windows: Sequence[int],
        upto: int,
        since_ms: int = 0,
        since_seq: int | None = None,
    ) -> Sequence[ArmCounts]:
        """Counts of every arm."""
        found = []
        for arm in sorted({one.record.arm for one in self._log.decisions}):
            rows = [
                one.record
                for one in self._log.decisions
                if (one.record.experiment, one.record.arm) == (experiment, arm)
                and one.seq <= upto
                and one.record.decided_at >= since_ms
            ]
            ids = {row.decision_id for row in rows}
            rewards = [one.record for one in self._log.rewards if one.record.decision_id in ids]
            codes = {one.component for one in rewards}
            found.append(
                ArmCounts(
                    arm=arm,
                    units=len({row.unit for row in rows}),
                    served_by={0: len(rows)},
                    rewards={code: sum(one.component == code for one in rewards) for code in codes},
                    reward_sums={
                        code: sum(one.value for one in rewards if one.component == code)
                        for code in codes
                    },
                )
            )
        return found


class MemoryKeys:
    """API keys in a dict, by what is presented."""

    def __init__(self, callers: Mapping[str, Caller] | None = None) -> None:
        self._callers = dict(callers or {})

    @property
    def empty(self) -> bool:
        """Whether there are none."""
        return not self._callers

    def identify(self, presented: str, *, now_ms: int) -> Caller | None:
        """Whose key this is."""
        return self._callers.get(presented)


@dataclass(frozen=True)
class RemovedRows:
    """Rows that were removed."""

    decisions: int
    rewards: int
    settled: bool = True


class MemoryMaintenance:
    """Forgets units in a log in memory."""

    def __init__(self, secrets: Secrets, log: MemoryLog) -> None:
        self._secrets = secrets
        self._log = log

    def forget(self, unit: str, *, who: str) -> RemovedRows:
        """Remove the decisions of a unit."""
        pseudonym = int(pseudonyms([unit], secret=self._secrets.pseudonyms)[0])
        rows = [one for one in self._log.decisions if one.record.unit == pseudonym]
        for one in rows:
            self._log.decisions.remove(one)
        return RemovedRows(len(rows), 0)

    def retain(self, *, before_ms: int, who: str) -> RemovedRows:
        """Remove nothing."""
        return RemovedRows(0, 0)


class MacTokens:
    """Decision tokens: id, expiry and their HMAC."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def sign(self, decision_id: int, *, expires_ms: int) -> str:
        """The token of a decision."""
        return f"{expires_ms}.{self._code(decision_id, expires_ms)}"

    def valid(self, token: str, *, decision_id: int, now_ms: int) -> bool:
        """Whether it was signed here."""
        head, _, code = token.partition(".")
        if not head.isascii() or not head.isdigit() or int(head) < now_ms:
            return False
        wanted = self._code(decision_id, int(head))
        return hmac.compare_digest(wanted.encode(), code.encode())

    def _code(self, decision_id: int, expires_ms: int) -> str:
        text = f"{decision_id} {expires_ms}".encode()
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()


@dataclass
class Bench:
    """Everything that a test may want to look at or to break."""

    settings: ServiceSettings
    clock: FakeClock
    secrets: Secrets
    log: MemoryLog
    appender: MemoryAppender
    runtime: FirstItems
    control: MemoryControl
    conditions: Conditions = field(default_factory=Conditions)
    closed: bool = False

    def parts(
        self,
        *,
        keys: Mapping[str, Caller] | None = None,
        replay: Callable[[LoggedDecision], Replayed] | None = None,
        explain: Callable[[LoggedDecision, EventReader], Mapping[str, Any]] | None = None,
        analysis: Callable[[str], Awaitable[Mapping[str, Any]]] | None = None,
    ) -> ServiceParts:
        """The parts, for `create_app`."""
        problems: dict[type[BaseException], Problem] = {KeyError: CONFLICT, LookupError: NOT_FOUND}

        async def close() -> None:
            self.closed = True
            await self.appender.close()

        async def learn_until(key: str, time_ms: int) -> Sequence[LearnedArm]:
            check_time(self.control.experiment(key), time_ms)
            return [
                LearnedArm(arm, reached=True, version=3, snapshot_hash="") for arm in ("old", "new")
            ]

        tokens = MacTokens(self.secrets.tokens) if self.settings.signed_tokens else None
        return ServiceParts(
            secrets=self.secrets,
            appender=self.appender,
            reader=lambda: MemoryReader(self.log),
            runtime=self.runtime,
            control=self.control,
            counts=MemoryCounts(self.log),
            keys=MemoryKeys(keys),
            maintenance=MemoryMaintenance(self.secrets, self.log),
            conditions=lambda: self.conditions,
            learn_until=learn_until,
            tokens=tokens,
            replay=replay,
            explain=explain,
            analysis=analysis,
            problems=problems,
            close=close,
        )


def make_bench(folder: Path, **changes: Any) -> Bench:
    """A service's parts with one running experiment, `home`."""
    settings = ServiceSettings.model_validate({"data_dir": folder, **changes})
    clock, secrets, log = FakeClock(), Secrets(bytes(range(32))), MemoryLog()
    control = MemoryControl(clock)
    control.create(EXPERIMENT, who="test")
    control.start("home", salt=None, coverage=None, who="test")
    return Bench(
        settings=settings,
        clock=clock,
        secrets=secrets,
        log=log,
        appender=MemoryAppender(
            log,
            windows=lambda key: EXPERIMENT.windows_ms(),
            rewards_per_decision=settings.limits.rewards_per_decision,
        ),
        runtime=FirstItems(secrets, log, clock),
        control=control,
    )
