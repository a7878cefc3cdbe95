"""What simulated users rated before their first day, as a bundle holds it.

    bundles/NAME/past.npz    ratings of every user, by the user's pseudonym

Users are known by the pseudonyms of their run, so a bundle with a past serves only experiments that
are marked as simulated users of the same run.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from matinee_policies.array_file import read_arrays, write_arrays
from matinee_policies.arrays import Float32Array, FloatArray, IndexArray, Int64Array, UInt64Array
from matinee_policies.errors import DataError

_KIND = "past of units"
_NAMES = ("units", "starts", "items", "ratings", "age_days")


@dataclass(frozen=True, slots=True)
class PastUnits:
    """Ratings of `n` units before their first day, oldest first within a unit.

    Attributes:
        units: pseudonyms, distinct and rising, `uint64 [n]`.
        starts: where the ratings of each begin, and the end, `int64 [n + 1]`.
        items: catalogue rows, `int32 [r]`.
        ratings: stars, `float32 [r]`.
        age_days: days between the rating and the first day, `float64 [r]`.
    """

    units: UInt64Array
    starts: Int64Array
    items: IndexArray
    ratings: Float32Array
    age_days: FloatArray

    @classmethod
    def of(
        cls,
        pseudonyms: UInt64Array,
        owners: IndexArray,
        items: IndexArray,
        ratings: Float32Array,
        age_days: FloatArray,
    ) -> Self:
        """The same from ratings by owner.

        Args:
            pseudonyms: of the units, distinct, `uint64 [n]`.
            owners: place among the pseudonyms of each rating, `int32 [r]`.
            items: as the attribute, in the order of time within an owner.
            ratings: likewise.
            age_days: likewise.
        """
        order = np.argsort(pseudonyms, kind="stable")
        place = np.empty(order.size, dtype=np.int64)
        place[order] = np.arange(order.size)
        by_unit = np.argsort(place[owners], kind="stable")
        counts = np.bincount(place[owners], minlength=order.size)
        return cls(
            units=pseudonyms[order],
            starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            items=items[by_unit],
            ratings=ratings[by_unit],
            age_days=age_days[by_unit],
        )

    def ratings_of(self, unit: int) -> slice:
        """Where the ratings of a unit are; nowhere for one that is not known."""
        at = int(np.searchsorted(self.units, np.uint64(unit)))
        if at == self.units.size or int(self.units[at]) != unit:
            return slice(0, 0)
        return slice(int(self.starts[at]), int(self.starts[at + 1]))

    def save(self, path: Path) -> None:
        """Write them to a file."""
        arrays = {name: getattr(self, name) for name in _NAMES}
        write_arrays(path, kind=_KIND, arrays=arrays, header={})

    @classmethod
    def load(cls, path: Path, *, items: int) -> Self:
        """Read what `save` wrote.

        Args:
            path: of the file.
            items: of the catalogue.

        Raises:
            DataError: if it is damaged, or does not fit the catalogue.
        """
        arrays, _ = read_arrays(path, kind=_KIND, names=_NAMES)
        past = cls(**arrays)
        rows = past.items
        if rows.size and not (rows.min() >= 0 and rows.max() < items):
            raise DataError(path, rule=f"items must be within 0 and {items - 1}")
        sizes = {rows.size, past.ratings.size, past.age_days.size}
        if sizes != {int(past.starts[-1])} or past.starts.size != past.units.size + 1:
            raise DataError(path, rule="must hold as many ratings as it says")
        return past
