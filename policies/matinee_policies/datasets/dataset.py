"""The record that every source of data returns."""

from dataclasses import dataclass

import numpy as np

from matinee_policies.catalogue import Catalogue
from matinee_policies.errors import ContextError
from matinee_policies.interactions import Interactions


@dataclass(frozen=True, eq=False, kw_only=True)
class Dataset:
    """A catalogue with the past ratings of its items.

    Attributes:
        name: short name for logs, e.g. `"movielens-latest-small"`.
        description: one plain line that tells a person which data this is.
        catalogue: the items.
        interactions: ratings of the same items, in the same order.
        item_labels: the items' ids as they stand in the data, where those are no whole numbers;
            else empty.
        user_labels: the same of the users, in the order of the interactions.
        notes: what a person should know of the data, a plain line each.

    Raises:
        ContextError: catalogue and interactions do not hold the same items.
    """

    name: str
    description: str
    catalogue: Catalogue
    interactions: Interactions
    item_labels: tuple[str, ...] = ()
    user_labels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not np.array_equal(self.catalogue.ids, self.interactions.item_ids):
            raise ContextError("catalogue and interactions must hold the same items in one order")
