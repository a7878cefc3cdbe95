"""Match the item ids of a user's file with the rows of the catalogue."""

from pathlib import Path

import numpy as np

from matinee_policies.arrays import AnyArray, Int64Array
from matinee_policies.candidates.source_data import SourceData
from matinee_policies.errors import DataError

NOT_SHOWN = -1
"""Row of an item of the data that the catalogue leaves out."""

_UNKNOWN = -2


class ItemIndex:
    """Rows of the catalogue by item id.

    Args:
        data: with the catalogue and all ids of the data.
    """

    def __init__(self, data: SourceData) -> None:
        ids = np.concatenate([data.catalogue.ids, data.known_items])
        rows = np.full(ids.size, NOT_SHOWN, dtype=np.int64)
        rows[: len(data.catalogue)] = np.arange(len(data.catalogue))
        # The first of equal ids is the one of the catalogue.
        self._ids, first = np.unique(ids, return_index=True)
        self._rows = rows[first]
        # Rows by label, where the data's ids are texts.
        self._label_rows = dict(
            zip(data.item_labels, self._place(data.known_items), strict=True)
            if data.item_labels
            else ()
        )

    def rows(self, ids: AnyArray, *, path: Path) -> Int64Array:
        """Catalogue row of each id, `NOT_SHOWN` for items that the catalogue leaves out.

        Args:
            ids: as they stand in the data, whole numbers or texts, `[n]`.
            path: the file they come from.

        Raises:
            DataError: on ids of another type than the data's, or that the data does not know.
        """
        kinds, word = ("UO", "texts") if self._label_rows else ("iu", "whole numbers")
        if ids.dtype.kind not in kinds:
            raise DataError(path, rule=f"item ids must be {word}", value=str(ids.dtype))
        if self._label_rows:
            found = [self._label_rows.get(label, _UNKNOWN) for label in ids.tolist()]
            rows = np.array(found, dtype=np.int64)
        else:
            rows = self._place(ids.astype(np.int64))
        unknown = rows == _UNKNOWN
        if unknown.any():
            raise DataError(
                path,
                rule=f"item ids must be those of the data; {int(unknown.sum())} are not, "
                "the first of them",
                value=ids[unknown][0].item() if ids.dtype.kind in "iu" else str(ids[unknown][0]),
            )
        return rows

    def _place(self, ids: Int64Array) -> Int64Array:
        place = np.minimum(np.searchsorted(self._ids, ids), self._ids.size - 1)
        return np.where(self._ids[place] == ids, self._rows[place], _UNKNOWN)
