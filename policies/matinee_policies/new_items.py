"""An explorer that tries what has been shown least: the exploring base of a `mixture`.

Slot by slot, item i of what remains is drawn with

    p_i proportional to (n_i + 1)^-power

of its n_i impressions learned so far, a softmax of -power log(n_i + 1): at power 1/2 in proportion
to the width that a mean over n_i observations has (Auer, Cesa-Bianchi and Fischer 2002). The counts
are the state, so a snapshot fixes the law.

By itself it shows what nobody knows. As a base of a `mixture` with the weight epsilon it spends
that share of the slates, the budget, on items that have just come, where `uniform` in its place
would spend most of it on items that are known.
"""

import functools
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from matinee_policies.arrays import FloatArray, IndexArray, Int64Array
from matinee_policies.config import check_range
from matinee_policies.diversity import SlateConfig
from matinee_policies.errors import ContextError, SnapshotError
from matinee_policies.learning import Change
from matinee_policies.records import ContextBatch, OutcomeBatch
from matinee_policies.rules import softmax_rule
from matinee_policies.snapshot import Snapshot
from matinee_policies.value_policy import ValuePolicy, config_of


@dataclass(frozen=True, slots=True, kw_only=True)
class NewItemsConfig(SlateConfig):
    """Parameters of `NewItems`; a price of `diversity` is in units of the log of a weight."""

    power: float = 0.5
    """How strongly items with few impressions are preferred, in [0, 4]; 0 is uniform."""

    floor: float = 0.0
    """Least weight of the uniform law at every slot, in [0, 1]."""

    def __post_init__(self) -> None:
        SlateConfig.__post_init__(self)
        check_range("power", self.power, low=0, high=4)
        check_range("floor", self.floor, low=0, high=1)


class NewItems(ValuePolicy[NewItemsConfig]):
    """Items with few impressions are drawn most; what they earned does not matter.

    Args:
        config: parameters; defaults if `None`.

    Attributes:
        items: catalogue rows shown so far, ascending, `int32 [n]`.
        counts: their impressions, `int64 [n]`.
    """

    name: ClassVar[str] = "new_items"
    learns: ClassVar[bool] = True
    # Values are logs of weights: no exploration could be priced in them.
    exploration_cost: Any = None

    def __init__(self, config: NewItemsConfig | None = None) -> None:
        config = config or NewItemsConfig()
        super().__init__(
            config,
            rule=softmax_rule(1.0, floor=config.floor),
            diversity=config.diversity,
            caps=config.caps,
        )
        self.items: IndexArray = np.zeros(0, dtype=np.int32)
        self.counts: Int64Array = np.zeros(0, dtype=np.int64)

    def impressions(self, items: IndexArray) -> Int64Array:
        """Impressions learned of some items, 0 for one never shown; same shape."""
        if not self.items.size:
            return np.zeros(items.shape, dtype=np.int64)
        place = np.minimum(np.searchsorted(self.items, items), self.items.size - 1)
        return np.where(self.items[place] == items, self.counts[place], 0)

    def values(self, contexts: ContextBatch) -> FloatArray:
        """Log of each candidate's weight, `float64 [B, K]`."""
        shown = self.impressions(contexts.candidates).astype(np.float64)
        return np.asarray(-self.config.power * np.log1p(shown))

    def learn(self, outcomes: OutcomeBatch) -> None:
        """Count the items shown; later components are no new impressions."""
        self.prepared(outcomes).take()

    def prepared(self, outcomes: OutcomeBatch) -> Change:
        """See `learning.Prepares`.

        Raises:
            ContextError: if there are no `items`.
        """
        if outcomes.items is None:
            raise ContextError("items must be given to count impressions, got None")
        if not outcomes.first:
            return Change(self.rows, lambda: None)
        new, times = np.unique(outcomes.items[outcomes.shown], return_counts=True)
        items = np.union1d(self.items, new).astype(np.int32)
        counts = self.impressions(items)
        counts[np.searchsorted(items, new)] += times
        return Change(int(counts.sum()), functools.partial(self._take, items, counts))

    @property
    def rows(self) -> int:
        """Impressions learned from."""
        return int(self.counts.sum())

    def snapshot(self) -> Snapshot:
        """See `Policy.snapshot`."""
        plain = super().snapshot()
        return Snapshot(
            kind=plain.kind,
            version=plain.version,
            arrays={"items": self.items, "counts": self.counts},
            manifest={**plain.manifest, "rows": self.rows},
        )

    @classmethod
    def from_snapshot(cls, snapshot: Snapshot) -> Self:
        """See `Policy.from_snapshot`."""
        policy = cls(config_of(snapshot, NewItemsConfig, kind=cls.name))
        items, counts = (snapshot.arrays.get(name) for name in ("items", "counts"))
        if (
            items is None
            or counts is None
            or items.dtype != np.int32
            or counts.dtype != np.int64
            or items.ndim != 1
            or items.shape != counts.shape
            or (items < 0).any()
            or (np.diff(items) <= 0).any()
            or (counts < 0).any()
            or int(counts.sum()) != snapshot.manifest.get("rows")
        ):
            raise SnapshotError(
                "snapshot of 'new_items' must hold ascending int32 items and their int64 counts, "
                "which sum to rows"
            )
        policy._take(items.copy(), counts.copy())
        return policy

    def _take(self, items: IndexArray, counts: Int64Array) -> None:
        self.items, self.counts = items, counts
