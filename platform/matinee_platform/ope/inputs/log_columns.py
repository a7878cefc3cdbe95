"""Which columns of a table hold what a log of actions needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from matinee_policies.errors import ConfigError

_SINGLE = ("unit", "time", "offered")
_NEEDED = ("action", "reward")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogColumns:
    """Names of columns; of what is there for each slot, one name per slot in order.

    Attributes:
        action: item shown; with several slots, empty (or null) where a slot is.
        reward: of the slot, a number.
        propensity: probability of the item shown under the policy that chose it, in (0, 1]; none
            where probabilities are to be estimated.
        position: of a single action on its page, a whole number from 1; none for tables whose rows
            are pages, or without positions.
        unit: who saw it; whole numbers stand for themselves, texts for their hash.
        time: numbers, dates or timestamps, not falling.
        context: of the row: numbers, or texts, which become a column of 0 and 1 per text.
        offered: list of the items that could be shown; Parquet and tables in memory only.
        target: probability of the item shown under an evaluated policy, in [0, 1].
        unreachable: mass of that policy on items that could not be shown, in [0, 1].

    Raises:
        ConfigError: if columns are missing, named twice, or do not fit the number of slots.
    """

    action: tuple[str, ...]
    reward: tuple[str, ...]
    propensity: tuple[str, ...] = ()
    position: tuple[str, ...] = ()
    unit: tuple[str, ...] = ()
    time: tuple[str, ...] = ()
    context: tuple[str, ...] = ()
    offered: tuple[str, ...] = ()
    target: tuple[str, ...] = ()
    unreachable: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for use in _NEEDED:
            if not getattr(self, use):
                raise ConfigError(f"a log needs the column of {use}, none is named ({use}=COLUMN)")
        for use in ("reward", "propensity", "target", "unreachable"):
            names = getattr(self, use)
            if names and len(names) != self.slots:
                raise ConfigError(
                    f"{use} must name a column for each of {self.slots} slots, got {len(names)}"
                )
        for use in _SINGLE:
            if len(getattr(self, use)) > 1:
                raise ConfigError(f"{use} must name one column, got {len(getattr(self, use))}")
        if self.position and (len(self.position) > 1 or self.slots > 1):
            raise ConfigError("position must name one column of a log with one action a row")
        if self.unreachable and not self.target:
            raise ConfigError("unreachable goes with a column of target, none is named")
        named = self.names()
        again = sorted({name for name in named if named.count(name) > 1})
        if again:
            raise ConfigError(f"columns must be distinct, got {', '.join(again)} twice")

    @classmethod
    def of(cls, columns: Mapping[str, str | Sequence[str]]) -> "LogColumns":
        """From names by use; a text may list several, between commas.

        Raises:
            ConfigError: on a use that there is none of.

        Example:
            >>> LogColumns.of({"action": "first,second", "reward": ["r1", "r2"]}).action
            ('first', 'second')
        """
        known = [field.name for field in fields(cls)]
        for use in columns:
            if use not in known:
                raise ConfigError(f"columns must be of {', '.join(known)}, got {use!r}")
        given = {
            use: tuple(names.split(",") if isinstance(names, str) else names)
            for use, names in columns.items()
        }
        return cls(**{use: given.get(use, ()) for use in known})

    @property
    def slots(self) -> int:
        """Slots of a row."""
        return len(self.action)

    def names(self) -> list[str]:
        """All columns that are named."""
        return [name for field in fields(self) for name in getattr(self, field.name)]

    def uses(self) -> dict[str, str]:
        """Columns by use, for errors: `action`, or `action 2` of several."""
        found = {}
        for field in fields(self):
            names = getattr(self, field.name)
            for place, name in enumerate(names, start=1):
                found[field.name if len(names) == 1 else f"{field.name} {place}"] = name
        return found
