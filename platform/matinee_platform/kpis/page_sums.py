"""What each logged page brings to the sums of its unit: variety, exploration, weights of slots."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from matinee_platform.analysis.even_choice import even_weights
from matinee_platform.analysis.slate_metrics import EXPLORED_BELOW, intra_list_diversity
from matinee_platform.kpis.unit_sums import PAGE_SUMS, SUMS, Pages
from matinee_platform.storage.event_rows import Row
from matinee_platform.storage.int64 import to_unsigned
from matinee_platform.storage.records import ServedBy
from matinee_policies.arrays import AnyArray, IndexArray, Int64Array
from matinee_policies.features import ItemFeatures
from matinee_policies.records import PAD


@dataclass(frozen=True, slots=True, eq=False)
class ArmCatalogue:
    """The catalogue of an arm.

    Attributes:
        version: as decisions name it.
        items: of it.
    """

    version: int
    items: ItemFeatures


Catalogues = Mapping[str, ArmCatalogue]
"""Catalogues by the name of the arm; arms whose items callers name are not there."""


def pages_of(rows: Sequence[Row], arms: Sequence[str], catalogues: Catalogues) -> Pages:
    """Logged decisions, as `log_statements.DECISIONS` gives them, for `UnitSums.fold`."""
    index = {name: place for place, name in enumerate(arms)}
    sums: dict[str, AnyArray] = {name: np.zeros(len(rows), dtype=SUMS[name]) for name in PAGE_SUMS}
    sums["pages"][:] = 1
    sums["fallback_pages"][:] = [row[5] == ServedBy.FALLBACK for row in rows]
    for length, places in _by_length(rows).items():
        if not length:
            continue
        slates = _matrix([rows[place][7] for place in places], length, "<i4").astype(np.int32)
        drawn = _matrix([rows[place][8] for place in places], length, "<f8")
        offered = [np.frombuffer(rows[place][9], dtype="<i4") for place in places]
        candidates = np.array([np.count_nonzero(one != PAD) for one in offered], dtype=np.int64)
        _note_slots(sums, places, slates, drawn, candidates)
        for arm, of_arm in _by_catalogue(rows, places, catalogues).items():
            _note_variety(sums, places[of_arm], slates[of_arm], catalogues[arm].items)
    return Pages(
        unit=np.array([row[1] for row in rows], dtype=np.int64),
        arm=np.array([index[row[2]] for row in rows], dtype=np.int16),
        bucket=np.array([row[3] for row in rows], dtype=np.int16),
        at=np.array([row[4] for row in rows], dtype=np.int64),
        sums=sums,
    )


def count_items(
    counts: Mapping[str, Int64Array], rows: Sequence[Row], catalogues: Catalogues
) -> None:
    """Count what was shown of each arm's catalogue.

    Args:
        counts: by arm, `int64 [M]`; changed in place.
        rows: arm, version of the catalogue and slate of each decision.
        catalogues: of the arms.
    """
    pieces: dict[str, list[bytes]] = {}
    for arm, version, slate in rows:
        if arm in catalogues and to_unsigned(version) == catalogues[arm].version:
            pieces.setdefault(arm, []).append(bytes(slate))
    for arm, slates in pieces.items():
        shown = np.frombuffer(b"".join(slates), dtype="<i4")
        size = counts[arm].size
        known = shown[(shown >= 0) & (shown < size)]
        counts[arm][:] += np.bincount(known, minlength=size)


def _note_slots(
    sums: Mapping[str, AnyArray],
    places: AnyArray,
    slates: IndexArray,
    propensities: AnyArray,
    candidates: Int64Array,
) -> None:
    shown = slates != PAD
    drawn, weights = even_weights(propensities, shown, candidates)
    sums["impressions"][places] = shown.sum(axis=1)
    sums["exploratory"][places] = (shown & (propensities < EXPLORED_BELOW)).sum(axis=1)
    sums["drawn"][places] = drawn.sum(axis=1)
    sums["weights"][places] = weights.sum(axis=1)
    sums["squared_weights"][places] = (weights * weights).sum(axis=1)


def _note_variety(
    sums: Mapping[str, AnyArray], places: AnyArray, slates: IndexArray, items: ItemFeatures
) -> None:
    known = np.where((slates >= 0) & (slates < len(items)), slates, PAD).astype(np.int32)
    diversity = intra_list_diversity(known, items.embeddings)
    varied = ~np.isnan(diversity)
    sums["diversity"][places] = np.where(varied, diversity, 0.0)
    sums["diversity_pages"][places] = varied
    there = known != PAD
    novelty = items.novelty.astype(np.float64)[np.where(there, known, 0)]
    sums["novelty"][places] = np.where(there, novelty, 0.0).sum(axis=1)
    sums["novelty_impressions"][places] = there.sum(axis=1)


def _by_length(rows: Sequence[Row]) -> dict[int, AnyArray]:
    """Places of the rows by slots of their slate."""
    slots = np.array([len(row[7]) // 4 for row in rows], dtype=np.int64)
    return {int(one): np.flatnonzero(slots == one) for one in np.unique(slots)}


def _by_catalogue(
    rows: Sequence[Row], places: AnyArray, catalogues: Catalogues
) -> dict[str, AnyArray]:
    """Places among `places` of the pages from each arm's own catalogue."""
    found: dict[str, list[int]] = {}
    for number, place in enumerate(places):
        arm, version = rows[place][2], rows[place][6]
        if arm in catalogues and to_unsigned(version) == catalogues[arm].version:
            found.setdefault(arm, []).append(number)
    return {arm: np.array(numbers, dtype=np.int64) for arm, numbers in found.items()}


def _matrix(pieces: Sequence[bytes], columns: int, kind: str) -> AnyArray:
    return np.frombuffer(b"".join(map(bytes, pieces)), dtype=kind).reshape(-1, columns)
