"""Made-up data that candidate sources of the user's own are read for."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from matinee_policies.arrays import UInt64Array
from matinee_policies.candidates.source_data import SourceData, Units
from matinee_policies.catalogue import Catalogue
from matinee_policies.interactions import Interactions
from matinee_policies.tag_table import TagTable

M, N = 70, 12
_LEFT_OUT = 999


def _keys_of(units: Sequence[str]) -> UInt64Array:
    """Made-up keys: any injective map will do."""
    return np.array([int.from_bytes(unit.encode().rjust(8)[-8:]) for unit in units], np.uint64)


def _source_data(labels: bool = False) -> SourceData:
    rng = np.random.default_rng(0)
    pairs = rng.permutation(N * M)[: 6 * N]
    ids = np.arange(M, dtype=np.int64) * 10
    interactions = Interactions.from_triplets(
        pairs // M,
        pairs % M,
        rng.integers(1, 6, size=pairs.size),
        np.arange(pairs.size),
        n_users=N,
        item_ids=ids,
        rating_range=(1.0, 5.0),
    )
    none = TagTable.from_lists([[]] * M)
    catalogue = Catalogue(
        ids=ids,
        titles=tuple(f"item {i}" for i in range(M)),
        years=np.zeros(M, dtype=np.int16),
        genre_names=(),
        genres=np.zeros((M, 0), dtype=np.bool_),
        people=none,
        keywords=none,
        embeddings=np.zeros((M, 0), dtype=np.float32),
    )
    known = np.append(ids, _LEFT_OUT)
    return SourceData(
        catalogue=catalogue,
        interactions=interactions,
        known_items=known,
        item_labels=tuple(f"i{number}" for number in known) if labels else (),
        units=Units(
            keys=_keys_of([f"user-{n}" for n in range(N)]),
            histories=lambda: interactions,
            key_of=_keys_of,
        ),
    )


@pytest.fixture
def source_data() -> Callable[..., SourceData]:
    """Gives 12 users with 6 ratings each over 70 items with ids 0, 10, ...; 999 is left out."""
    return _source_data
