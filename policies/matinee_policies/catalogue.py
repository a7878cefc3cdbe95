"""The catalogue: what can be shown, with its metadata and similarity vectors.

Rows are items; everywhere else an item is its row. Past ratings live in `interactions.py`.
"""

import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from matinee_policies.array_file import content_digest, read_arrays, write_arrays
from matinee_policies.arrays import AnyArray, BoolArray, Float32Array, IndexArray, Int64Array
from matinee_policies.errors import ContextError, DataError
from matinee_policies.tag_table import TagTable

__all__ = ["Catalogue", "TagTable", "similarity_embeddings", "unit_rows"]

_GENRE_WEIGHT = 1.5
_LENGTH_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False, kw_only=True)
class Catalogue:
    """`M` items and what is known of them.

    Attributes:
        ids: the data's own item ids, distinct, `int64 [M]`.
        titles: one per item.
        years: year of release, 0 if unknown, `int16 [M]`.
        genre_names: distinct names of the `G` genres.
        genres: which genres an item has, `bool [M, G]`; a row may be empty.
        people: directors, then cast.
        keywords: free words about an item.
        embeddings: similarity vectors, `float32 [M, m]`, rows of length one or zero; `m` may be 0.

    Raises:
        ContextError: the fields do not fit together.
    """

    ids: Int64Array
    titles: tuple[str, ...]
    years: NDArray[np.int16]
    genre_names: tuple[str, ...]
    genres: BoolArray
    people: TagTable
    keywords: TagTable
    embeddings: Float32Array

    def __post_init__(self) -> None:
        n = len(self.titles)
        _check("ids", self.ids, np.int64, (n,))
        _check("years", self.years, np.int16, (n,))
        _check("genres", self.genres, np.bool_, (n, len(self.genre_names)))
        if self.embeddings.ndim != 2:
            raise ContextError(f"embeddings must be [M, m], got shape {self.embeddings.shape}")
        _check("embeddings", self.embeddings, np.float32, (n, self.embeddings.shape[1]))
        for name, table in (("people", self.people), ("keywords", self.keywords)):
            if len(table) != n:
                raise ContextError(f"{name} must have {n} items, got {len(table)}")
        if np.unique(self.ids).size != n:
            raise ContextError("ids must be distinct, got one twice")
        if len(set(self.genre_names)) != len(self.genre_names):
            raise ContextError(f"genre_names must be distinct, got {self.genre_names}")
        if n and int(self.years.min()) < 0:
            raise ContextError(f"years must be >= 0, got {int(self.years.min())}")
        _check_lengths(self.embeddings)

    def __len__(self) -> int:
        return len(self.titles)

    @functools.cached_property
    def version(self) -> str:
        """16 hex digits that name this exact content, embeddings included."""
        return content_digest(self._arrays(), self._header())

    def subset(self, rows: IndexArray) -> "Catalogue":
        """The catalogue of the items `rows`, in that order.

        Args:
            rows: distinct rows of this catalogue, `int32 [n]`.

        Raises:
            ContextError: a row is repeated or does not exist.
        """
        if rows.size and not (rows.min() >= 0 and rows.max() < len(self)):
            raise ContextError(
                f"rows must be within 0 and {len(self) - 1}, got {rows.min()} to {rows.max()}"
            )
        return replace(
            self,
            ids=self.ids[rows],
            titles=tuple(self.titles[row] for row in rows),
            years=self.years[rows],
            genres=self.genres[rows],
            people=self.people.subset(rows),
            keywords=self.keywords.subset(rows),
            embeddings=self.embeddings[rows],
        )

    def with_embeddings(self, embeddings: Float32Array) -> "Catalogue":
        """The same items with other similarity vectors, `float32 [M, m]`."""
        return replace(self, embeddings=embeddings)

    def with_people(self, people: TagTable) -> "Catalogue":
        """The same items with other people."""
        return replace(self, people=people)

    def genre_vectors(self) -> Float32Array:
        """Genres as vectors of length one, zero for an item without genre, `float32 [M, G]`."""
        return unit_rows(self.genres.astype(np.float64)).astype(np.float32)

    def save(self, path: Path) -> None:
        """Write all fields to one `.npz` file."""
        write_arrays(path, kind="catalogue", arrays=self._arrays(), header=self._header())

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            DataError: the file is missing, damaged or breaks a rule of the catalogue.
        """
        arrays, header = read_arrays(path, kind="catalogue", names=_ARRAYS)
        try:
            return cls(
                ids=arrays["ids"],
                titles=_texts(header, "titles"),
                years=arrays["years"],
                genre_names=_texts(header, "genre_names"),
                genres=arrays["genres"],
                people=TagTable(
                    _texts(header, "people"), arrays["people_indptr"], arrays["people_indices"]
                ),
                keywords=TagTable(
                    _texts(header, "keywords"),
                    arrays["keywords_indptr"],
                    arrays["keywords_indices"],
                ),
                embeddings=arrays["embeddings"],
            )
        except ContextError as error:
            raise DataError(path, rule=f"must hold a valid catalogue ({error})") from None

    def _arrays(self) -> dict[str, AnyArray]:
        return {
            "ids": self.ids,
            "years": self.years,
            "genres": self.genres,
            "people_indptr": self.people.indptr,
            "people_indices": self.people.indices,
            "keywords_indptr": self.keywords.indptr,
            "keywords_indices": self.keywords.indices,
            "embeddings": self.embeddings,
        }

    def _header(self) -> dict[str, Any]:
        return {
            "titles": list(self.titles),
            "genre_names": list(self.genre_names),
            "people": list(self.people.names),
            "keywords": list(self.keywords.names),
        }


_ARRAYS = (
    "ids",
    "years",
    "genres",
    "people_indptr",
    "people_indices",
    "keywords_indptr",
    "keywords_indices",
    "embeddings",
)


def similarity_embeddings(item_factors: AnyArray, genre_vectors: AnyArray) -> Float32Array:
    """Similarity vectors e_i = [q_i / |q_i|, 1.5 g_i / |g_i|], scaled to length one.

    An item without factors (a zero row) is placed by its genres alone, and the other way round; an
    item without either has a zero row.

    Args:
        item_factors: factors q of a matrix factorization, `[M, f]`, finite.
        genre_vectors: genres g, of any length, `[M, G]`, finite.

    Returns:
        `float32 [M, f + G]`.

    Raises:
        ContextError: the arrays do not have the same number of rows, or are not finite.

    Example:
        >>> e = similarity_embeddings(np.array([[3.0, 4.0]]), np.array([[1.0]]))
        >>> bool(np.allclose(e * np.sqrt(1 + 1.5**2), [[0.6, 0.8, 1.5]]))
        True
    """
    if (
        item_factors.ndim != 2
        or genre_vectors.ndim != 2
        or item_factors.shape[0] != genre_vectors.shape[0]
    ):
        raise ContextError(
            "item_factors and genre_vectors must be [M, f] and [M, G], "
            f"got {item_factors.shape} and {genre_vectors.shape}"
        )
    if not (np.isfinite(item_factors).all() and np.isfinite(genre_vectors).all()):
        raise ContextError("item_factors and genre_vectors must be finite, got NaN or infinity")
    parts = [unit_rows(item_factors), _GENRE_WEIGHT * unit_rows(genre_vectors)]
    return unit_rows(np.concatenate(parts, axis=1)).astype(np.float32)


def unit_rows(rows: AnyArray) -> NDArray[np.float64]:
    """Rows scaled to length one; a zero row stays zero.

    Args:
        rows: finite numbers, `[n, d]`.
    """
    wide = rows.astype(np.float64)
    largest = np.abs(wide).max(axis=1, initial=0.0, keepdims=True)
    # Scaled by the largest first, so that squares neither overflow nor vanish.
    wide = wide / np.where(largest > 0, largest, 1.0)
    length = np.sqrt((wide * wide).sum(axis=1, keepdims=True))
    return np.asarray(wide / np.where(length > 0, length, 1.0))


def _check(name: str, array: AnyArray, dtype: type, shape: tuple[int, ...]) -> None:
    if array.dtype != dtype or array.shape != shape:
        raise ContextError(
            f"{name} must be {np.dtype(dtype).name} of shape {shape}, "
            f"got {array.dtype} of shape {array.shape}"
        )


def _check_lengths(embeddings: Float32Array) -> None:
    length = np.sqrt(np.square(embeddings, dtype=np.float64).sum(axis=1))
    wrong = ~((np.abs(length - 1.0) <= _LENGTH_TOLERANCE) | (length == 0.0))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ContextError(
            f"rows of embeddings must have length 1 or 0, got {length[row]:g} in row {row}"
        )


def _texts(header: dict[str, Any], name: str) -> tuple[str, ...]:
    values = header.get(name)
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ContextError(f"{name} must be a list of texts")
    return tuple(values)
