"""Fold the log of one experiment, range by range, into sums from which its key figures come.

State is bounded: one row for each unit (`unit_sums`), one count for each item of each arm's
catalogue. It is a function of the log up to its place, whatever the ranges were (but for the
rounding of sums of fractions), so it may be kept, lost and made again. What only the whole log can
tell is asked of the log anew for the units it concerns: decisions that come later than their time
would have them, and units that were forgotten.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from matinee_platform.analysis.unit_days.event_database import Ask
from matinee_platform.experiments.beginning import rows_after
from matinee_platform.experiments.definition import HOLDOUT_ARM, LiveExperiment
from matinee_platform.kpis import log_statements as ask_for
from matinee_platform.kpis.page_sums import Catalogues, count_items, pages_of
from matinee_platform.kpis.unit_sums import UnitSums
from matinee_platform.log_rows import COMPONENTS
from matinee_platform.storage.event_rows import Row
from matinee_platform.storage.int64 import to_signed
from matinee_policies.arrays import Int64Array
from matinee_policies.errors import DataError

ROWS_AT_ONCE = 20_000
"""Places of the log that are folded together."""

_UNITS_AT_ONCE = 200
_CLICK, _WATCH = COMPONENTS.index("click"), COMPONENTS.index("watch")
_EMPTY_SLOT = (-1).to_bytes(4, "little", signed=True)


@dataclass(slots=True)
class ItemCounts:
    """How often each arm showed each item of its catalogue, up to a place of the log.

    Attributes:
        seq: the place.
        of_arm: by name of the arm, `int64 [M]`.
    """

    seq: int = 0
    of_arm: dict[str, Int64Array] = field(default_factory=dict)

    @classmethod
    def none(cls, catalogues: Catalogues) -> "ItemCounts":
        """Before the first decision."""
        return cls(
            0,
            {
                arm: np.zeros(len(one.items), dtype=np.int64)
                for arm, one in sorted(catalogues.items())
            },
        )


class ExperimentFold:
    """What the log holds of an experiment since its present start.

    Args:
        experiment: as it stands now.
        since_ms: its present start, UTC milliseconds.
        since_seq: place of the log at that start: what counts lies after it; None has the time tell
            (`experiments.beginning`).
        until_ms: what is later never counts: the declared end.
        catalogues: of its arms.

    Attributes:
        seq: place of the log up to which it is folded.
        forgotten: number of the last entry of the list of forgotten units that was followed.
        units: a row for each unit.
        items: what was shown.
        recount: items counted anew since a unit was forgotten, until they have come to `seq`.
    """

    def __init__(
        self,
        experiment: LiveExperiment,
        *,
        since_ms: int,
        since_seq: int | None = None,
        until_ms: int,
        catalogues: Catalogues,
    ) -> None:
        self.experiment = experiment
        self.arms = (*(arm.name for arm in experiment.arms), HOLDOUT_ARM)
        self.since_ms, self.until_ms = since_ms, until_ms
        self.since_seq = since_seq
        self.catalogues = catalogues
        self.seq, self.forgotten = 0, 0
        self.units = UnitSums(since_ms)
        self.items = ItemCounts.none(catalogues)
        self.recount: ItemCounts | None = None
        self._count_again = False

    def advance(self, ask: Ask, *, upto: int) -> bool:
        """Fold the next range of the log.

        Args:
            ask: of the log, all answers of one moment.
            upto: last place to fold.

        Returns:
            Whether there was anything to do.

        Raises:
            DataError: the log breaks a rule.
            LogUnavailableError: it cannot be read. After an error this object is of no more use.
        """
        folded = self._advance_rows(ask, upto)
        return self._advance_recount(ask) or folded

    def _advance_rows(self, ask: Ask, upto: int) -> bool:
        after, place = self.seq, min(upto, self.seq + ROWS_AT_ONCE)
        if place <= after:
            return False
        values = self._values(after=after, upto=place)
        rows = _all(ask, ask_for.DECISIONS, values)
        rewards = _all(ask, ask_for.NEW_REWARDS, values) + _all(ask, ask_for.EARLY_REWARDS, values)
        self._check_arms(rows)
        early = self.units.fold(pages_of(rows, self.arms, self.catalogues))
        count_items(self.items.of_arm, [(row[2], row[6], row[7]) for row in rows], self.catalogues)
        self._fold_rewards(rewards)
        self.seq = self.items.seq = place
        self._fold_anew(ask, early)
        return True

    def forget(self, ask: Ask, units: Sequence[int], *, number: int) -> None:
        """Take up that units were forgotten: what the log still holds of them counts, if anything.

        Args:
            ask: of the log.
            units: pseudonyms.
            number: of the last of them in the list.
        """
        signed = np.unique(np.array([to_signed(unit) for unit in units], dtype=np.int64))
        known = signed[self.units.has(signed)]
        self._fold_anew(ask, known)
        if known.size:
            # What they were shown cannot be taken off the counts of items: their rows are gone.
            if self.recount is None:
                self.recount = ItemCounts.none(self.catalogues)
            else:
                self._count_again = True
        self.forgotten = number

    def _fold_anew(self, ask: Ask, units: Int64Array) -> None:
        for start in range(0, units.size, _UNITS_AT_ONCE):
            some = units[start : start + _UNITS_AT_ONCE]
            self.units.drop(some)
            decisions, rewards, more = ask_for.of_units(some.tolist(), self.arms)
            values = {**self._values(after=0, upto=self.seq), **more}
            rows = _all(ask, decisions, values)
            if rows:
                self.units.fold(pages_of(rows, self.arms, self.catalogues))
                self._fold_rewards(_all(ask, rewards, values))

    def _fold_rewards(self, rows: Sequence[Row]) -> None:
        if not rows:
            return
        unit = np.array([row[0] for row in rows], dtype=np.int64)
        component = np.array([row[1] for row in rows], dtype=np.int64)
        value = np.array([row[2] for row in rows], dtype=np.float64)
        wrong = ~((value >= 0) & (value <= 1))
        if wrong.any():
            raise DataError(
                f"log of experiment {self.experiment.key!r}",
                rule="value of a click and of a watch must be within 0 and 1",
                value=float(value[wrong][0]),
            )
        self.units.fold_rewards(
            unit,
            np.array([row[3] for row in rows], dtype=np.int64),
            clicks=(component == _CLICK) & (value > 0),
            engagement=np.where(component == _WATCH, value, 0.0),
        )

    def _advance_recount(self, ask: Ask) -> bool:
        if self.recount is None:
            return False
        upto = min(self.seq, self.recount.seq + ROWS_AT_ONCE)
        values = self._values(after=self.recount.seq, upto=upto)
        count_items(self.recount.of_arm, _all(ask, ask_for.SLATES, values), self.catalogues)
        self.recount.seq = upto
        if upto == self.seq:
            self.items = self.recount
            self.recount = ItemCounts.none(self.catalogues) if self._count_again else None
            self._count_again = False
        return True

    def _check_arms(self, rows: Sequence[Row]) -> None:
        strange = sorted({row[2] for row in rows} - set(self.arms))
        if strange:
            raise DataError(
                f"log of experiment {self.experiment.key!r}",
                rule=f"every arm of the log must be one of {', '.join(self.arms)}",
                value=strange[0],
            )

    def _values(self, *, after: int, upto: int) -> dict[str, Any]:
        earliest, started = rows_after(self.since_ms, self.since_seq)
        return {
            "experiment": self.experiment.key,
            "earliest": earliest,
            "started": started,
            "until": self.until_ms,
            "after": after,
            "upto": upto,
            "click": _CLICK,
            "watch": _WATCH,
            # Click and watch share theirs.
            "window": self.experiment.windows_ms()[_CLICK],
            "empty": _EMPTY_SLOT,
        }


def last_place(ask: Ask) -> int:
    """Last place of the log."""
    ((last,),) = _all(ask, ask_for.LAST, {})
    return int(last)


def newest_decision(ask: Ask, *, upto: int) -> int:
    """Signed id of the newest decision up to a place of the log, 0 if there is none."""
    rows = _all(ask, ask_for.NEWEST, {"seq": upto})
    return int(rows[0][0]) if rows else 0


def _all(ask: Ask, statement: str, values: Mapping[str, Any]) -> list[Row]:
    return [row for rows in ask(statement, values) for row in rows]
