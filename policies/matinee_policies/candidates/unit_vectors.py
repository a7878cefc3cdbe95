"""Vectors of single units, as another recommender gave them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from matinee_policies.array_file import read_arrays, write_arrays
from matinee_policies.arrays import AnyArray, Float32Array, Int64Array, UInt64Array
from matinee_policies.candidates.score_table import find_keys

_KIND = "unit vectors"


@dataclass(frozen=True, slots=True, eq=False)
class UnitVectors:
    """Vectors of units, as given.

    Attributes:
        keys: keys of the units, rising, `uint64 [U]`.
        vectors: finite, `float32 [U, f]`.
    """

    keys: UInt64Array
    vectors: Float32Array

    def rows_of(self, keys: UInt64Array) -> Int64Array:
        """Row of each unit by its key, -1 for a unit without a vector, `int64 [n]`."""
        return find_keys(self.keys, keys)

    def save(self, path: Path) -> None:
        """Write both fields to one `.npz` file."""
        arrays: dict[str, AnyArray] = {"keys": self.keys, "vectors": self.vectors}
        write_arrays(path, kind=_KIND, arrays=arrays, header={})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote; raises DataError if it is missing or damaged."""
        arrays, _ = read_arrays(path, kind=_KIND, names=("keys", "vectors"))
        return cls(arrays["keys"], arrays["vectors"])
