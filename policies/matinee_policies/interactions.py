"""Past ratings of users, sparse, with their times.

Splits into training and test parts live here too; models that learn from the ratings do not.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self, TypeAlias, cast

import numpy as np
from scipy import sparse

from matinee_policies.array_file import content_digest, read_arrays, write_arrays
from matinee_policies.arrays import AnyArray, BoolArray, FloatArray, IndexArray, Int64Array
from matinee_policies.errors import ConfigError, ContextError, DataError

Ratings: TypeAlias = "sparse.csr_array[np.float32, tuple[int, int]]"

_ARRAYS = ("ratings", "indices", "indptr", "times", "user_ids", "item_ids")


@dataclass(frozen=True, eq=False, kw_only=True)
class Interactions:
    """Ratings of `N` users on `M` items, at most one per pair.

    Attributes:
        matrix: the ratings, `float32 [N, M]`, CSR, columns ascending within a row; its `indices`
            and `indptr` are int32.
        times: unix seconds of each rating, aligned with `matrix.data`, `int64 [nnz]`.
        user_ids: the data's own ids, distinct, `int64 [N]`.
        item_ids: the data's own ids, distinct, `int64 [M]`.
        rating_range: smallest and largest rating of the scale.

    Raises:
        ContextError: the fields do not fit together, or a rating is out of the range.
    """

    matrix: Ratings
    times: Int64Array
    user_ids: Int64Array
    item_ids: Int64Array
    rating_range: tuple[float, float]

    def __post_init__(self) -> None:
        n_users, n_items = self.matrix.shape
        if self.matrix.dtype != np.float32:
            raise ContextError(f"matrix must be float32, got {self.matrix.dtype}")
        if self.matrix.indices.dtype != np.int32 or self.matrix.indptr.dtype != np.int32:
            raise ContextError(
                f"matrix must have int32 indices and indptr, got {self.matrix.indices.dtype} "
                f"and {self.matrix.indptr.dtype}"
            )
        if not self.matrix.has_canonical_format:
            raise ContextError("matrix must hold ascending columns without duplicates in each row")
        _check("times", self.times, (self.matrix.nnz,))
        _check("user_ids", self.user_ids, (n_users,))
        _check("item_ids", self.item_ids, (n_items,))
        for name, ids in (("user_ids", self.user_ids), ("item_ids", self.item_ids)):
            if np.unique(ids).size != ids.size:
                raise ContextError(f"{name} must be distinct, got one twice")
        low, high = self.rating_range
        if not -np.inf < low < high < np.inf:
            raise ContextError(f"rating_range must rise, got {self.rating_range}")
        wrong = ~((self.matrix.data >= low) & (self.matrix.data <= high))
        if wrong.any():
            value = float(self.matrix.data[np.argmax(wrong)])
            raise ContextError(f"ratings must be within {low:g} and {high:g}, got {value!r}")

    @classmethod
    def from_triplets(
        cls,
        users: AnyArray,
        items: AnyArray,
        ratings: AnyArray,
        times: AnyArray,
        *,
        rating_range: tuple[float, float],
        n_users: int | None = None,
        n_items: int | None = None,
        user_ids: Int64Array | None = None,
        item_ids: Int64Array | None = None,
    ) -> Self:
        """Build from one entry per rating, in any order.

        Args:
            users: row of the user, integers `[nnz]`.
            items: column of the item, integers `[nnz]`.
            ratings: finite numbers within `rating_range`, `[nnz]`.
            times: unix seconds, integers `[nnz]`.
            rating_range: smallest and largest rating of the scale.
            n_users: number of users, if `user_ids` is not given; ids are then 0, 1, ...
            n_items: number of items, if `item_ids` is not given; ids are then 0, 1, ...
            user_ids: the data's own ids, `int64 [N]`.
            item_ids: the data's own ids, `int64 [M]`.

        Raises:
            ContextError: a pair comes twice, a row or column does not exist, a rating is not finite
                or out of range, or the arrays do not have one length.

        Example:
            >>> x = Interactions.from_triplets(
            ...     np.array([1, 0]), np.array([0, 2]), np.array([4.0, 3.5]), np.array([20, 10]),
            ...     n_users=2, n_items=3, rating_range=(0.5, 5.0),
            ... )
            >>> x.matrix.toarray().tolist(), x.times.tolist()
            ([[0.0, 0.0, 3.5], [4.0, 0.0, 0.0]], [10, 20])
        """
        user_ids = _ids("user", user_ids, n_users)
        item_ids = _ids("item", item_ids, n_items)
        columns = {"users": users, "items": items, "ratings": ratings, "times": times}
        for name, column in columns.items():
            if column.ndim != 1 or column.size != users.size:
                raise ContextError(f"{name} must have shape ({users.size},), got {column.shape}")
            if name != "ratings" and not np.issubdtype(column.dtype, np.integer):
                raise ContextError(f"{name} must be integers, got {column.dtype}")
        _check_rows("users", users, user_ids.size)
        _check_rows("items", items, item_ids.size)
        cells = users.astype(np.int64) * item_ids.size + items
        order = np.argsort(cells, kind="stable")
        again = np.flatnonzero(np.diff(cells[order]) == 0)
        if again.size:
            entry = int(order[again[0]])
            raise ContextError(
                "a user must rate an item once, got a duplicate of user "
                f"{user_ids[users[entry]]} and item {item_ids[items[entry]]}"
            )
        matrix = _csr(
            ratings[order].astype(np.float32),
            items[order].astype(np.int32),
            indptr=_row_starts(users, user_ids.size),
            shape=(user_ids.size, item_ids.size),
        )
        return cls(
            matrix=matrix,
            times=times[order].astype(np.int64),
            user_ids=user_ids,
            item_ids=item_ids,
            rating_range=rating_range,
        )

    @property
    def n_users(self) -> int:
        """Number of users, with or without ratings."""
        return int(self.matrix.shape[0])

    @property
    def n_items(self) -> int:
        """Number of items, with or without ratings."""
        return int(self.matrix.shape[1])

    @property
    def version(self) -> str:
        """16 hex digits that name this exact content."""
        return content_digest(self._arrays(), {"rating_range": list(self.rating_range)})

    def item_counts(self) -> Int64Array:
        """Number of ratings of each item, `int64 [M]`."""
        return np.bincount(self.matrix.indices, minlength=self.n_items).astype(np.int64)

    def item_sums(self) -> FloatArray:
        """Sum of the ratings of each item, `float64 [M]`."""
        weights = self.matrix.data.astype(np.float64)
        sums = np.bincount(self.matrix.indices, weights=weights, minlength=self.n_items)
        return sums.astype(np.float64)

    def user_counts(self) -> Int64Array:
        """Number of ratings of each user, `int64 [N]`."""
        return np.diff(self.matrix.indptr).astype(np.int64)

    def user_rows(self) -> IndexArray:
        """Row of the user of each rating, aligned with `matrix.data`, `int32 [nnz]`."""
        return np.repeat(np.arange(self.n_users, dtype=np.int32), self.user_counts())

    def subset_items(self, rows: IndexArray) -> "Interactions":
        """The ratings of the items `rows`, in that order; all users stay.

        Args:
            rows: distinct columns, `int32 [n]`.

        Raises:
            ContextError: a column is repeated or does not exist.
        """
        _check_rows("rows", rows, self.n_items)
        if np.unique(rows).size != rows.size:
            raise ContextError("rows must be distinct, got one twice")
        place = np.full(self.n_items, -1, dtype=np.int64)
        place[rows] = np.arange(rows.size)
        kept = place[self.matrix.indices] >= 0
        return Interactions.from_triplets(
            self.user_rows()[kept],
            place[self.matrix.indices][kept],
            self.matrix.data[kept],
            self.times[kept],
            user_ids=self.user_ids,
            item_ids=self.item_ids[rows],
            rating_range=self.rating_range,
        )

    def without_ratings_of(self, items: BoolArray) -> "Interactions":
        """The ratings of all other items; all users and items stay.

        Args:
            items: whose ratings go, `bool [M]`.

        Raises:
            ContextError: there is not one truth value per item.
        """
        if items.dtype != np.bool_ or items.shape != (self.n_items,):
            raise ContextError(
                f"items must be bool of shape ({self.n_items},), got {items.dtype} of shape "
                f"{items.shape}"
            )
        return self._keep(~items[self.matrix.indices])

    def slice_users(self, first: int, last: int) -> "Interactions":
        """The ratings of the users `first` to `last - 1`; all items stay.

        Args:
            first: row of the first user, at least 0.
            last: row after the last user, at least `first`, at most `n_users`.

        Raises:
            ContextError: the rows do not exist.
        """
        if not 0 <= first <= last <= self.n_users:
            raise ContextError(f"rows must be within 0 and {self.n_users}, got {first} to {last}")
        starts = self.matrix.indptr[first : last + 1]
        entries = slice(int(starts[0]), int(starts[-1]))
        matrix = _csr(
            self.matrix.data[entries],
            self.matrix.indices[entries],
            indptr=(starts - starts[0]).astype(np.int32),
            shape=(last - first, self.n_items),
        )
        return replace(
            self, matrix=matrix, times=self.times[entries], user_ids=self.user_ids[first:last]
        )

    def split_random(self, test_share: float, *, seed: int) -> "tuple[Interactions, Interactions]":
        """Training and test ratings, drawn at random; both keep all users and items.

        Args:
            test_share: share of the ratings that go to the test part, in (0, 1).
            seed: seed of the draw.
        """
        _check_share("test_share", test_share)
        test = np.zeros(self.matrix.nnz, dtype=np.bool_)
        drawn = np.random.default_rng(seed).permutation(test.size)
        test[drawn[: round(test_share * test.size)]] = True
        return self._keep(~test), self._keep(test)

    def split_by_time(self, last_share: float) -> "tuple[Interactions, Interactions]":
        """Training and test ratings; the test part is each user's last ones by time.

        Of a user with n ratings the last floor(last_share * n) are tested. Ratings of one second
        are ordered by item row.

        Args:
            last_share: share of each user's ratings that go to the test part, in (0, 1).
        """
        _check_share("last_share", last_share)
        users, counts = self.user_rows(), self.user_counts()
        order = np.lexsort((self.matrix.indices, self.times, users))
        place = np.empty(order.size, dtype=np.int64)
        place[order] = np.arange(order.size) - self.matrix.indptr[users[order]]
        # The small term keeps 0.29 * 100 at 29.
        tested = np.floor(last_share * counts + 1e-9).astype(np.int64)
        test = place >= (counts - tested)[users]
        return self._keep(~test), self._keep(test)

    def save(self, path: Path) -> None:
        """Write all fields to one `.npz` file."""
        write_arrays(
            path,
            kind="interactions",
            arrays=self._arrays(),
            header={"rating_range": list(self.rating_range)},
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            DataError: the file is missing, damaged or breaks a rule of the interactions.
        """
        arrays, header = read_arrays(path, kind="interactions", names=_ARRAYS)
        try:
            low, high = (float(bound) for bound in header["rating_range"])
            indptr = arrays["indptr"]
            users = np.repeat(np.arange(indptr.size - 1), np.diff(indptr))
            loaded = cls.from_triplets(
                users,
                arrays["indices"],
                arrays["ratings"],
                arrays["times"],
                user_ids=arrays["user_ids"],
                item_ids=arrays["item_ids"],
                rating_range=(low, high),
            )
        except (ContextError, KeyError, TypeError, ValueError) as error:
            raise DataError(path, rule=f"must hold valid interactions ({error})") from None
        return loaded

    def _arrays(self) -> dict[str, AnyArray]:
        return {
            "ratings": self.matrix.data,
            "indices": self.matrix.indices,
            "indptr": self.matrix.indptr,
            "times": self.times,
            "user_ids": self.user_ids,
            "item_ids": self.item_ids,
        }

    def _keep(self, kept: BoolArray) -> "Interactions":
        """The ratings where `kept`, `bool [nnz]`."""
        matrix = _csr(
            self.matrix.data[kept],
            self.matrix.indices[kept],
            indptr=_row_starts(self.user_rows()[kept], self.n_users),
            shape=self.matrix.shape,
        )
        return replace(self, matrix=matrix, times=self.times[kept])


def _csr(
    data: AnyArray, indices: IndexArray, *, indptr: IndexArray, shape: tuple[int, int]
) -> Ratings:
    return cast("Ratings", sparse.csr_array((data, indices, indptr), shape=shape))


def _row_starts(users: AnyArray, n_users: int) -> IndexArray:
    starts = np.zeros(n_users + 1, dtype=np.int32)
    np.cumsum(np.bincount(users, minlength=n_users), out=starts[1:])
    return starts


def _ids(name: str, ids: Int64Array | None, n: int | None) -> Int64Array:
    if ids is not None and n is None:
        return ids
    if ids is None and n is not None:
        return np.arange(n, dtype=np.int64)
    raise ContextError(f"give either n_{name}s or {name}_ids")


def _check(name: str, array: AnyArray, shape: tuple[int, ...]) -> None:
    if array.dtype != np.int64 or array.shape != shape:
        raise ContextError(
            f"{name} must be int64 of shape {shape}, got {array.dtype} of shape {array.shape}"
        )


def _check_rows(name: str, rows: AnyArray, n: int) -> None:
    if rows.size and not (int(rows.min()) >= 0 and int(rows.max()) < n):
        raise ContextError(
            f"{name} must be within 0 and {n - 1}, got {int(rows.min())} to {int(rows.max())}"
        )


def _check_share(name: str, share: float) -> None:
    if not 0.0 < share < 1.0:
        raise ConfigError(f"{name} must be within 0 and 1, both excluded, got {share!r}")
