"""Replay one arm of the service: its log, told again from the last genesis on.

Barrier by barrier the policy learns what had matured, by the function that the learner uses, and
the state that it reaches must be, to the last bit, the one that the barrier names. Between barriers
every decision of the policy is taken again in the state that chose it. Of snapshots only that of
the genesis is read, and those of versions from before it.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from matinee_platform.learning.barrier_step import barrier_step
from matinee_platform.learning.decide_again import decide_again
from matinee_platform.learning.learning_arm import LearningArm
from matinee_platform.learning.live_learner import LearnerBarriers, day_count
from matinee_platform.learning.live_rows import same_shape
from matinee_platform.learning.matured import Place
from matinee_platform.storage.ports import EventReader, SnapshotStore
from matinee_platform.storage.records import Barrier, LoggedDecision, ServedBy
from matinee_policies.errors import SnapshotError
from matinee_policies.policy import Policy
from matinee_policies.snapshot import Snapshot

_ROWS_AT_ONCE = 512
_STATES_KEPT = 8


@dataclass(slots=True)
class LiveReplay:
    """What replaying one arm found.

    Attributes:
        experiment: key.
        arm: name.
        genesis: version that the replay started from.
        barriers: versions from there on.
        equal: of these, versions whose state is the one that the barrier names.
        first_unequal: the first version that is not; None if all are.
        reason: what is wrong with it.
        decisions: decisions of the policy after the genesis.
        equal_decisions: of these, those whose slate and propensities came out again.
        first_unequal_decision: id of the first one that did not, as answers give it.
        unknown_states: of the decisions, those of a version from before the genesis, or of some
            barriers ago, whose snapshot is gone; they are not taken again.
        other_decisions: those that a fallback served, or the default order.
        features_compared: decisions whose full features are in the log.
        features_unequal: of these, those that come out otherwise.
        rows_removed: whether rows of the arm were removed since, and its next barrier, from which
            replay starts anew, is not made yet: what learned from them cannot come out again.
        failure: why the arm cannot be replayed at all; empty if it was.
    """

    experiment: str
    arm: str
    genesis: int = 0
    barriers: int = 0
    equal: int = 0
    first_unequal: int | None = None
    reason: str = ""
    decisions: int = 0
    equal_decisions: int = 0
    first_unequal_decision: str | None = None
    unknown_states: int = 0
    other_decisions: int = 0
    features_compared: int = 0
    features_unequal: int = 0
    rows_removed: bool = False
    failure: str = ""

    @property
    def passed(self) -> bool:
        """Whether every state is the same, and every decision that could be taken again."""
        whole = self.equal == self.barriers and self.features_unequal == 0
        whole = whole and not self.failure
        return whole and self.equal_decisions + self.unknown_states == self.decisions


def replay_live_arm(
    arm: LearningArm,
    *,
    reader: EventReader,
    barriers: LearnerBarriers,
    snapshots: SnapshotStore,
    upto: int | None = None,
) -> LiveReplay:
    """Replay one arm from its last genesis to the end of the log.

    Args:
        arm: checked.
        reader: of the log.
        barriers: of all arms.
        snapshots: of all arms.
        upto: place of the log to stop at; its end if not given.

    Raises:
        MatineeError: if the log cannot be read, or is of other features or another catalogue.
    """
    made = barriers.all(arm.experiment, arm.name)
    end = reader.last_seq() if upto is None else upto
    found = _Replay(arm, made, reader=reader, snapshots=snapshots).run(end)
    # Asked last: rows may go while the arm is replayed.
    found.rows_removed = barriers.genesis_due(arm.experiment, arm.name)
    return found


class _Replay:
    def __init__(
        self,
        arm: LearningArm,
        barriers: Sequence[Barrier],
        *,
        reader: EventReader,
        snapshots: SnapshotStore,
    ) -> None:
        self._arm, self._barriers = arm, barriers
        self._reader, self._snapshots = reader, snapshots
        self._found = LiveReplay(arm.experiment, arm.name)
        self._reached: OrderedDict[int, Policy] = OrderedDict()
        self._version = -1

    def run(self, end: int) -> LiveReplay:
        if not self._barriers:
            # No learner has seen the arm yet: it serves its first state.
            self._reach(0, self._arm.genesis)
            self._decide(0, end)
            return self._found
        start = max(n for n, barrier in enumerate(self._barriers) if barrier.genesis)
        last = self._barriers[start]
        self._found.genesis = last.version
        state = self._genesis(last)
        if state is None:
            return self._found
        days = day_count(self._arm, self._barriers)
        for barrier in self._barriers[start + 1 :]:
            self._decide(last.seq, barrier.seq)
            step = barrier_step(
                self._arm,
                state,
                reader=self._reader,
                before=Place.of(last),
                now=Place.of(barrier),
                days=days,
            )
            state, last = step.snapshot, barrier
            self._compare(barrier, state)
        self._decide(last.seq, end)
        return self._found

    def _genesis(self, barrier: Barrier) -> Snapshot | None:
        """The state that replay starts from; None if it is gone or another one."""
        state = self._arm.genesis
        if barrier.version > 0:
            try:
                state = self._snapshots.load(barrier.experiment, barrier.arm, barrier.version)
            except SnapshotError as error:
                self._note(barrier.version, str(error))
                return None
        self._compare(barrier, state)
        return state

    def _compare(self, barrier: Barrier, state: Snapshot) -> None:
        found = state.content_hash
        same = found == barrier.snapshot_hash
        self._note(
            barrier.version,
            "" if same else f"barrier names {barrier.snapshot_hash}, replayed {found}",
        )
        self._reach(barrier.version, state)

    def _note(self, version: int, reason: str) -> None:
        self._found.barriers += 1
        self._found.equal += not reason
        if reason and self._found.first_unequal is None:
            self._found.first_unequal, self._found.reason = version, reason

    def _reach(self, version: int, state: Snapshot) -> None:
        self._version = version
        self._keep(version, self._arm.restored(state))

    def _keep(self, version: int, policy: Policy) -> None:
        self._reached[version] = policy
        while len(self._reached) > _STATES_KEPT:
            self._reached.popitem(last=False)

    def _decide(self, after: int, upto: int) -> None:
        """Take the decisions of a part of the log again; only states reached by then chose them."""
        for rows in self._decisions(after, upto):
            served = [row for row in rows if row.record.served_by == ServedBy.POLICY]
            self._found.other_decisions += len(rows) - len(served)
            self._found.decisions += len(served)
            for version in sorted({row.record.snapshot for row in served}):
                self._decide_at(version, [row for row in served if row.record.snapshot == version])

    def _decide_at(self, version: int, decisions: list[LoggedDecision]) -> None:
        policy = self._policy(version)
        if policy is None:
            if version > self._version:
                self._note_decision(decisions[0])
            else:
                self._found.unknown_states += len(decisions)
            return
        for places, rows in same_shape(decisions):
            again = decide_again(self._arm, policy, rows)
            self._found.equal_decisions += int(again.equal.sum())
            self._found.features_compared += again.features_compared
            self._found.features_unequal += again.features_unequal
            if not again.equal.all():
                self._note_decision(decisions[places[int((~again.equal).argmax())]])

    def _note_decision(self, decision: LoggedDecision) -> None:
        if self._found.first_unequal_decision is None:
            self._found.first_unequal_decision = f"{decision.record.decision_id:016x}"

    def _policy(self, version: int) -> Policy | None:
        """The policy in a state that chose; None if that is not known."""
        if version in self._reached:
            return self._reached[version]
        named = [one for one in self._barriers if one.version == version]
        if version > self._version or not named:
            return None
        try:
            state = self._snapshots.load(self._arm.experiment, self._arm.name, version)
        except SnapshotError:
            return None
        if state.content_hash != named[0].snapshot_hash:
            return None
        policy = self._arm.restored(state)
        self._keep(version, policy)
        return policy

    def _decisions(self, after: int, upto: int) -> Iterator[list[LoggedDecision]]:
        while after < upto:
            rows = self._reader.decisions(
                after=after,
                upto=upto,
                experiment=self._arm.experiment,
                arm=self._arm.name,
                limit=_ROWS_AT_ONCE,
            )
            if rows:
                yield rows
            if len(rows) < _ROWS_AT_ONCE:
                return
            after = rows[-1].seq
