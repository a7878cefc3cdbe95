"""What candidate sources are fitted to: catalogue, past ratings, and the units to serve."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from matinee_policies.arrays import Int64Array, UInt64Array
from matinee_policies.catalogue import Catalogue
from matinee_policies.errors import ConfigError
from matinee_policies.interactions import Interactions


@dataclass(frozen=True, slots=True)
class Units:
    """Units that are known before they come.

    Attributes:
        keys: key of each unit, `uint64 [N]`.
        histories: gives what each unit rated, rows as `keys`, columns as the catalogue; called by
            sources that read it only.
        key_of: gives the keys of units by their raw ids; raw ids go no further.
        example: one raw id, for the error that a file speaks of none of the units; may be empty.
    """

    keys: UInt64Array
    histories: Callable[[], Interactions]
    key_of: Callable[[Sequence[str]], UInt64Array]
    example: str = ""

    def stranger(self, path: Path, *, given: int, what: str, example: str) -> ConfigError:
        """The error of a file that speaks of other units only.

        Args:
            path: the file.
            given: what it holds, in number.
            what: what it holds, in words.
            example: one of its unit ids.
        """
        known = f" such as {self.example!r}" if self.example else ""
        return ConfigError(
            f"{path}: must name some of the {self.keys.size:,} units{known}, but all {given:,} "
            f"{what} are of others such as {example!r}"
        )


@dataclass(frozen=True, slots=True)
class SourceData:
    """What a fit may read.

    Attributes:
        catalogue: the items that can be shown.
        interactions: past ratings of the same items.
        known_items: ids of all items of the data, also of those left out of the catalogue because
            too few people rated them, `int64 [n]`.
        units: units to serve.
        item_labels: the same ids as they stand in the data, where those are texts; else empty.
    """

    catalogue: Catalogue
    interactions: Interactions
    known_items: Int64Array
    units: Units
    item_labels: tuple[str, ...] = ()
