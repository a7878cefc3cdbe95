"""What caps and calibration read: genres and creators of the catalogue, interests of units.

The data know of an item's people in an order of importance; its creator here is the first of them:
the director where data name directors first, else whoever they name first, and nobody where they
name none.
"""

import numpy as np

from matinee_policies.arrays import Float32Array
from matinee_policies.catalogue import Catalogue
from matinee_policies.compiled import lean_kernel
from matinee_policies.records import ItemTraits

UNKNOWN = -1
"""Creator of an item of which the data name no people."""


def item_traits(catalogue: Catalogue) -> ItemTraits:
    """Aspects and creators: each of the `n` genres of an item has the share `1 / n`."""
    genres = catalogue.genres.astype(np.float64)
    aspects = genres / np.maximum(genres.sum(axis=1, keepdims=True), 1.0)
    creators = np.full(len(catalogue), UNKNOWN, dtype=np.int32)
    table = catalogue.people
    named = np.diff(table.indptr) > 0
    creators[named] = table.indices[table.indptr[:-1][named]]
    return ItemTraits(aspects.astype(np.float32), creators)


def interests(genre_history: Float32Array) -> Float32Array:
    """Share of each genre in what units watched; zeros for a unit without history.

    Args:
        genre_history: weight of each genre as seen, at least 0, `float32 [n, G]`.

    Returns:
        `float32 [n, G]`; a pure function of each row, whatever the batch.
    """
    shares = np.empty(genre_history.shape, dtype=np.float32)
    # Arrays read from files may be read-only, which the kernel would be compiled for anew.
    fill_interests(np.require(genre_history, np.float32, ["C", "W"]), shares)
    return shares


@lean_kernel
def fill_interests(weights: Float32Array, shares: Float32Array) -> None:
    """Write the share of each weight in its row, or zeros; both `float32 [n, G]`."""
    for row in range(weights.shape[0]):
        total = 0.0
        for g in range(weights.shape[1]):
            total += weights[row, g]
        for g in range(weights.shape[1]):
            shares[row, g] = np.float32(weights[row, g] / total) if total > 0.0 else np.float32(0.0)


def interests_reference(genre_history: Float32Array) -> Float32Array:
    """The same by numpy."""
    wide = genre_history.astype(np.float64)
    total = wide.sum(axis=1, keepdims=True)
    shares: Float32Array = (wide / np.where(total > 0, total, 1.0)).astype(np.float32)
    return shares
