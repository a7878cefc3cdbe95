"""What an arm can show its visitors on a day: ranked, under its rules, of what is available.

Where the catalogue moves, items that have not arrived or have retired are hidden like watched ones:
one bit per item, made once a day. A pin holds on the days on which its item is there. Where it
stands still, nothing of this costs anything.
"""

from dataclasses import replace

import numpy as np

from matinee_platform.fresh_candidates import draw_fresh, fresh_key, insert_fresh, scores_of
from matinee_platform.page_rules import PageRules
from matinee_policies.arrays import BoolArray, Float32Array, IndexArray, UInt64Array
from matinee_policies.candidates.seen import empty_seen, mark_seen
from matinee_policies.candidates.top_k import Candidates
from matinee_policies.candidates.unit_ranker import UnitRanker
from matinee_policies.errors import ConfigError
from matinee_policies.records import PAD
from matinee_simulator.catalogue_calendar import CatalogueCalendar


class Shelf:
    """Ranks candidates for the units of one arm.

    Args:
        ranker: of the arm's candidate source.
        rules: of the arm's pages; None if it has none.
        calendar: of the catalogue; None if it stands still.
        pseudonyms: of the units, `uint64 [n]`.
        candidates: of a page, `K`.
        fresh: how many of them are kept for items that arrived during the run.
        seed: of the run.
    """

    def __init__(
        self,
        ranker: UnitRanker,
        *,
        rules: PageRules | None,
        calendar: CatalogueCalendar | None,
        pseudonyms: UInt64Array,
        candidates: int,
        fresh: int,
        seed: int,
    ) -> None:
        self._ranker = ranker
        self._rules = rules
        self._calendar = calendar
        self._n_items = 0 if calendar is None else int(calendar.arrival.size)
        self._pseudonyms = pseudonyms
        self._candidates = candidates
        self._fresh_places = fresh
        self._key = fresh_key(seed)
        self._day = -1
        self._rules_today = rules
        self._closed: UInt64Array | None = None
        self._fresh: IndexArray = np.zeros(0, dtype=np.int32)

    def open_day(self, day: int) -> None:
        """Take up what is available on a day; called once, before its first visit."""
        self._day = day
        if self._calendar is None:
            return
        available = self._calendar.available(day)
        self._closed = _bits(~available)
        self._fresh = np.flatnonzero(available & arrives(self._calendar)).astype(np.int32)
        if self._rules is not None:
            pinned = self._rules.pinned
            here = (pinned != PAD) & available[pinned]
            self._rules_today = replace(
                self._rules, pinned=np.where(here, pinned, PAD).astype(np.int32)
            )

    def rank(
        self, units: IndexArray, vectors: Float32Array, hidden: UInt64Array, *, depth: int
    ) -> Candidates:
        """The items of a visit, best first, of which the first `K` are its first page's candidates.

        Args:
            units: places among the pseudonyms, `int32 [n]`.
            vectors: of the units, `float32 [n, f]`.
            hidden: what a unit watched or has rest from, one bit per item, `uint64 [n, W]`.
            depth: how many items.
        """
        rules = self._rules_today
        if self._closed is not None:
            hidden = hidden | self._closed
        if rules is not None:
            hidden = rules.hide(hidden)
        ranked = self._ranker.rank(units, vectors, hidden, depth)
        if self._fresh_places and self._calendar is not None:
            ranked = self._with_fresh(ranked, units, vectors, hidden)
        if rules is not None:
            ranked = rules.with_pins(ranked, self._ranker, units, vectors, self._candidates)
        return ranked

    def _with_fresh(
        self, ranked: Candidates, units: IndexArray, vectors: Float32Array, hidden: UInt64Array
    ) -> Candidates:
        # Pins come after: they may take places at the end of the first K, not those of fresh items.
        pins = 0 if self._rules_today is None else self._rules_today.pins.size
        fresh = draw_fresh(
            self._key,
            self._pseudonyms[units],
            self._day,
            fresh=self._fresh,
            hidden=hidden,
            places=self._fresh_places,
        )
        scores = scores_of(
            fresh,
            ranker=self._ranker,
            units=units,
            vectors=vectors,
            n_items=self._n_items,
        )
        return insert_fresh(ranked, fresh, scores, k=self._candidates - pins)


def arrives(calendar: CatalogueCalendar) -> BoolArray:
    """Which items come during the run: nobody has rated them before it, `bool [M]`."""
    return np.asarray(calendar.arrival > 0)


def check_shelves(
    calendar: CatalogueCalendar,
    *,
    candidates: int,
    rules: dict[str, PageRules],
    fresh: int,
) -> None:
    """Refuse a catalogue that becomes too small for the candidates of a page.

    Args:
        calendar: of the catalogue, over the days of the run.
        candidates: of a page.
        rules: of the arms that have any, by the arm's name.
        fresh: candidates kept for items that arrive.

    Raises:
        ConfigError: naming the first day, and how many items are left then; or rules whose pins
            leave no place for fresh items.
    """
    calendar.require(candidates)
    for arm, own in rules.items():
        for day in range(calendar.days):
            left = int((calendar.available(day) & ~own.excluded).sum())
            if left < candidates:
                raise ConfigError(
                    f"candidates must be at most the items available on every day, got "
                    f"{candidates}; on day {day} the rules of arm {arm!r} leave {left}"
                )
        if fresh + own.pins.size > candidates:
            raise ConfigError(
                f"fresh_candidates and pinned items must be at most candidates = {candidates} "
                f"together, got {fresh} and {own.pins.size} in arm {arm!r}"
            )


def _bits(items: BoolArray) -> UInt64Array:
    """One bit per item, `uint64 [1, W]`, from `bool [M]`."""
    rows = np.flatnonzero(items).astype(np.int32)
    bits = empty_seen(1, items.size)
    mark_seen(bits, np.zeros(rows.size, dtype=np.int32), rows)
    return bits
