"""Fold the rows of a log into the state of units, as the offline run folds what its users do.

Of each unit, in the order of the log: a decision shows its slate, a click or a watched fraction or
a rating tells of the item at its slot. A reward counts once for its decision, component and slot,
also after its window, as long as the unit has had no more than `MOST_SLATES` decisions since; one
that came before its decision counts right after it. A visit ends after
30 minutes without a decision; what begins the next one is taken up then: sessions, the ageing of
genres, the taste vector, what may be a candidate. Days are whole days since the experiment's start.

So the state of a unit is a pure function of its own rows, whenever they are folded.
"""

from dataclasses import dataclass, field

import numpy as np

from matinee_platform.log_rows import COMPONENTS
from matinee_platform.plays import PlayScale
from matinee_platform.serving.past_units import PastUnits
from matinee_platform.storage.records import DecisionRecord, RewardRecord
from matinee_platform.unit_state import NEVER, UnitStates
from matinee_policies.arrays import AnyArray, Float32Array, IndexArray, UInt64Array
from matinee_policies.candidates.factor_model import FactorModel
from matinee_policies.candidates.seen import seen_words
from matinee_policies.compiled import lean_kernel
from matinee_policies.features import ItemFeatures, UnitStateBatch
from matinee_policies.records import PAD

VISIT_GAP_MS = 30 * 60_000
"""Time without a decision after which a visit is over."""

DAY_MS = 86_400_000

MOST_SLATES = 256
"""Latest decisions of a unit whose rewards are taken up: more than it makes in three days, after
which a rating no longer counts. Without an end, a unit would take more memory with each page."""

_CLICK = COMPONENTS.index("click")
_WATCH = COMPONENTS.index("watch")
_RATING = COMPONENTS.index("rating")


_EMPTY_SLOT = PAD.to_bytes(4, "little", signed=True)


@dataclass(slots=True, eq=False)
class Unit:
    """One unit in memory.

    Attributes:
        pseudonym: whose state it is.
        row: where it is kept.
        upto: place of the log that its state was read up to.
        last_decision: time of its last decision, UTC milliseconds; `NEVER` before any.
        visit_day: day on which its last visit began; `NEVER` before any.
        pages: decisions of its last visit.
        slates: rows shown by each of its latest decisions, as logged, the earliest first.
        counted: components and slots whose reward has counted, a bit each, by these decisions.
        users: how many requests work with it now.
    """

    pseudonym: int
    row: int
    upto: int = 0
    last_decision: int = NEVER
    visit_day: int = NEVER
    pages: int = 0
    slates: dict[int, bytes] = field(default_factory=dict)
    counted: dict[int, int] = field(default_factory=dict)
    users: int = 0

    def is_visiting(self, at: int) -> bool:
        """Whether its last visit goes on at a time, UTC milliseconds."""
        return self.last_decision != NEVER and at - self.last_decision <= VISIT_GAP_MS


class UnitFold:
    """State of units by row, and what waits to be folded into it.

    Rewards and decisions are taken in one by one, in log order, and folded together where that
    makes no difference; `flush` folds what waits.

    Args:
        rows: how many units there is room for.
        items: per-item features of the catalogue.
        model: candidate model of the arm.
        rest: impressions after which an item that was not watched is a candidate again.
        plays: scale of stars for plays.
        start_ms: when the experiment began, UTC milliseconds.
        catalogue: number of the catalogue; slates of another one count as pages of unknown items.
        past: what simulated users rated before their first day; None where nothing is known.

    Attributes:
        states: of the units, as the offline run keeps them.
        hidden: no candidates in the visit that goes on, one bit per item, `uint64 [rows, W]`.
    """

    def __init__(
        self,
        rows: int,
        *,
        items: ItemFeatures,
        model: FactorModel,
        rest: int,
        plays: PlayScale,
        start_ms: int,
        catalogue: int,
        past: PastUnits | None = None,
    ) -> None:
        self._past = past
        self._catalogue = catalogue
        self.states = UnitStates(rows, items=items, model=model, rest=rest)
        self.hidden: UInt64Array = np.zeros((rows, seen_words(len(items))), dtype=np.uint64)
        self._arrays: list[AnyArray] = [*self.states.arrays().values(), self.hidden]
        self._fresh = [array[:1].copy() for array in self._arrays]
        self._positive = model.feedback == "implicit"
        self._plays = plays
        self._start_ms = start_ms
        self._busy: set[int] = set()
        self._decisions: list[tuple[Unit, int, bytes]] = []
        self._clicks: list[tuple[int, int]] = []
        self._stars: list[tuple[int, int, float, bool]] = []

    def begin(self, row: int, pseudonym: int) -> None:
        """Make a row that of a unit that never came."""
        for array, fresh in zip(self._arrays, self._fresh, strict=True):
            array[row] = fresh[0]
        if self._past is None:
            return
        own = self._past.ratings_of(pseudonym)
        items = self._past.items[own]
        self.states.load_history(
            np.full(items.size, row, dtype=np.int32),
            items,
            self._past.ratings[own],
            self._past.age_days[own],
        )

    def copy(self, row: int, source: "UnitFold", source_row: int) -> None:
        """Take over a row of another fold of the same arm, or of this one."""
        for array, other in zip(self._arrays, source._arrays, strict=True):
            array[row] = other[source_row]

    def same(self, row: int, other: "UnitFold", other_row: int) -> bool:
        """Whether two rows hold the same state, to the last bit."""
        return all(
            array[row].tobytes() == their[other_row].tobytes()
            for array, their in zip(self._arrays, other._arrays, strict=True)
        )

    def decision(self, unit: Unit, record: DecisionRecord) -> int | None:
        """Take in a decision of a unit; gives the decision that is too early for rewards now."""
        if unit.row in self._busy:
            self.flush()
        self._busy.add(unit.row)
        slate = record.slate
        if record.catalogue_version != self._catalogue:
            # Its rows are those of other items, or of none: kernels do not look whether they exist.
            slate = _EMPTY_SLOT * (len(slate) // len(_EMPTY_SLOT))
        unit.slates[record.decision_id] = slate
        self._decisions.append((unit, record.decided_at, slate))
        if len(unit.slates) <= MOST_SLATES:
            return None
        gone = next(iter(unit.slates))
        del unit.slates[gone]
        unit.counted.pop(gone, None)
        return gone

    def reward(self, unit: Unit, record: RewardRecord) -> None:
        """Take in a reward of a decision of a unit that was taken in before."""
        component, slot = record.component, record.slot
        slate = unit.slates.get(record.decision_id, b"")
        if component > _RATING or not 0 <= slot < len(slate) // 4:
            return
        item = int.from_bytes(slate[4 * slot : 4 * slot + 4], "little", signed=True)
        bit = 1 << (slot * (_RATING + 1) + component)
        counted = unit.counted.get(record.decision_id, 0)
        if item < 0 or counted & bit:
            return
        unit.counted[record.decision_id] = counted | bit
        if component == _CLICK:
            if record.value > 0.0:
                self._clicks.append((unit.row, item))
        elif component == _WATCH or record.value > 0.0 or not self._positive:
            self._stars.append((unit.row, item, record.value, component == _WATCH))
        self._busy.add(unit.row)

    def flush(self) -> None:
        """Fold in what waits."""
        if not self._busy:
            return
        self._busy.clear()
        if self._decisions:
            decisions, self._decisions = self._decisions, []
            self._show(decisions)
        if self._clicks:
            units, items = np.array(self._clicks, dtype=np.int32).T.copy()
            self._clicks = []
            self.states.observe_clicks(units, items)
        if self._stars:
            self._rate()

    def open_visit(self, units: list[Unit], rows: IndexArray, times: list[int]) -> list[int]:
        """Make rows what they are when a visit begins; gives the day of each.

        Args:
            units: whose visits begin.
            rows: where their state is, distinct, `int32 [n]`.
            times: when, UTC milliseconds.
        """
        states = self.states
        before = np.array([unit.visit_day for unit in units], dtype=np.int32)
        came = before != NEVER
        if came.any():
            states.close_sessions(rows[came], before[came])
        states.refresh_vectors(rows)
        days = [max((at - self._start_ms) // DAY_MS, 0) for at in times]
        # A clock that steps back between two visits takes no time away.
        days = [max(day, unit.visit_day) for day, unit in zip(days, units, strict=True)]
        states.open_sessions(rows, np.array(days, dtype=np.int32))
        self.hidden[rows] = states.hidden(rows)
        return days

    def as_seen(self, rows: IndexArray) -> UnitStateBatch:
        """What features are computed from, copied."""
        return self.states.as_seen(rows)

    def vectors(self, rows: IndexArray) -> Float32Array:
        """Taste vectors, copied, `float32 [n, f]`."""
        vectors: Float32Array = self.states.vectors[rows]
        return vectors

    def _show(self, decisions: list[tuple[Unit, int, bytes]]) -> None:
        begun = [one for one in decisions if not one[0].is_visiting(one[1])]
        if begun:
            units, times = [one[0] for one in begun], [one[1] for one in begun]
            rows = np.array([unit.row for unit in units], dtype=np.int32)
            for unit, day in zip(units, self.open_visit(units, rows, times), strict=True):
                unit.visit_day = day
                unit.pages = 0
        by_length: dict[int, list[tuple[int, bytes]]] = {}
        for unit, at, slate in decisions:
            unit.pages += 1
            unit.last_decision = max(unit.last_decision, at)
            by_length.setdefault(len(slate), []).append((unit.row, slate))
        for pages in by_length.values():
            rows = np.array([row for row, _ in pages], dtype=np.int32)
            joined = np.frombuffer(b"".join(slate for _, slate in pages), dtype="<i4")
            slates = joined.reshape(len(pages), -1).astype(np.int32)
            self.states.observe_shown(rows, slates)
            _hide(self.hidden, rows, slates)

    def _rate(self) -> None:
        events, self._stars = self._stars, []
        stars = np.array([value for _, _, value, _ in events], dtype=np.float32)
        played = np.array([is_play for _, _, _, is_play in events])
        if played.any():
            stars[played] = self._plays.stars(stars[played])
        self.states.observe_ratings(
            np.array([row for row, _, _, _ in events], dtype=np.int32),
            np.array([item for _, item, _, _ in events], dtype=np.int32),
            stars,
        )


@lean_kernel
def _hide(hidden: UInt64Array, rows: IndexArray, slates: IndexArray) -> None:
    """Set the bits of the items shown, `int32 [n, L]`, in the rows of their units."""
    for page in range(slates.shape[0]):
        for slot in range(slates.shape[1]):
            item = slates[page, slot]
            if item >= 0:
                hidden[rows[page], item >> 6] |= np.uint64(1) << np.uint64(item & 63)
