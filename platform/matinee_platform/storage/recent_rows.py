"""What this process stored lately, so that repeats are known while the database is away.

The spool knows only what it holds. Without this memory, a request that the log has and that comes
again during an outage would be given another slate. Bounded in rows and bytes: what was used
longest ago is forgotten first.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace

from matinee_platform.storage.append_plan import Receipt, Record
from matinee_platform.storage.records import (
    DecisionReceipt,
    DecisionRecord,
    Outcome,
    RewardReceipt,
    RewardRecord,
    RewardState,
)

ROWS = 65_536
"""Decisions that are remembered at most, and rewards."""

MAX_BYTES = 128 * 2**20
"""Bytes of the remembered decisions' arrays at most; about 1.1 kB each at K = 100."""

_UNSURE = frozenset({RewardState.EARLY})
"""States that the log may judge otherwise by now: the decision may have come."""


class RecentRows:
    """Remembers decisions and rewards that the log holds; used by one thread.

    Args:
        rows: decisions at most, and rewards.
        max_bytes: of the decisions' arrays.
    """

    def __init__(self, *, rows: int = ROWS, max_bytes: int = MAX_BYTES) -> None:
        self._rows, self._max_bytes = rows, max_bytes
        self._bytes = 0
        self._decisions: OrderedDict[int, tuple[int, DecisionRecord]] = OrderedDict()
        self._rewards: OrderedDict[bytes, tuple[bytes, RewardReceipt]] = OrderedDict()

    def note(self, records: Sequence[Record], receipts: Sequence[Receipt]) -> None:
        """Remember what the log answered to appends.

        Args:
            records: as they were appended.
            receipts: of the log, one for each.
        """
        for record, receipt in zip(records, receipts, strict=True):
            if isinstance(record, DecisionRecord) and isinstance(receipt, DecisionReceipt):
                stored = record if receipt.outcome is Outcome.STORED else receipt.stored
                if stored is not None:
                    self._keep(receipt.seq, stored)
            elif isinstance(record, RewardRecord) and isinstance(receipt, RewardReceipt):
                self._note_reward(record, receipt)

    def answer(self, record: Record) -> Receipt | None:
        """What the log would answer to a record that it has; None for one not remembered."""
        if isinstance(record, DecisionRecord):
            return self._decision(record)
        return self._reward(record)

    def forget(self, unit: int) -> None:
        """Remember no decision of a unit any more, by its pseudonym."""
        gone = [key for key, (_, one) in self._decisions.items() if one.unit == unit]
        for key in gone:
            _, one = self._decisions.pop(key)
            self._bytes -= _size(one)

    def _note_reward(self, record: RewardRecord, receipt: RewardReceipt) -> None:
        if receipt.outcome not in (Outcome.STORED, Outcome.REPEATED):
            return
        self._rewards[record.reward_key] = (record.body_digest, receipt)
        self._rewards.move_to_end(record.reward_key)
        if len(self._rewards) > self._rows:
            self._rewards.popitem(last=False)

    def _decision(self, record: DecisionRecord) -> DecisionReceipt | None:
        found = self._decisions.get(record.decision_id)
        if found is None:
            return None
        self._decisions.move_to_end(record.decision_id)
        seq, stored = found
        if stored.body_digest != record.body_digest:
            return DecisionReceipt(Outcome.CONFLICT, seq)
        return DecisionReceipt(Outcome.REPEATED, seq, stored)

    def _reward(self, record: RewardRecord) -> RewardReceipt | None:
        found = self._rewards.get(record.reward_key)
        if found is None:
            return None
        self._rewards.move_to_end(record.reward_key)
        digest, receipt = found
        if digest != record.body_digest:
            return RewardReceipt(Outcome.CONFLICT, receipt.seq)
        state = None if receipt.state in _UNSURE else receipt.state
        return replace(receipt, outcome=Outcome.REPEATED, state=state)

    def _keep(self, seq: int, record: DecisionRecord) -> None:
        if record.decision_id in self._decisions:
            self._decisions.move_to_end(record.decision_id)
            return
        self._decisions[record.decision_id] = (seq, record)
        self._bytes += _size(record)
        while len(self._decisions) > self._rows or self._bytes > self._max_bytes:
            _, (_, oldest) = self._decisions.popitem(last=False)
            self._bytes -= _size(oldest)


def _size(record: DecisionRecord) -> int:
    """Bytes of the arrays of a decision."""
    arrays = (record.unit_state, record.candidates, record.scores, record.slate)
    features = record.features or b""
    return sum(len(one) for one in arrays) + len(record.propensities) + len(features)
