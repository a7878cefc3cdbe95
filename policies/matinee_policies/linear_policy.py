"""The common part of policies that value candidates by ridge regression."""

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self, TypeVar

from matinee_policies.arrays import AnyArray, FloatArray, IndexArray
from matinee_policies.config import Config, check_range, check_whole
from matinee_policies.diversity import Caps, Diversity, SlateConfig
from matinee_policies.errors import ConfigError, ContextError, SnapshotError
from matinee_policies.hybrid_ridge import HybridRidge
from matinee_policies.item_ridge import ItemRidge
from matinee_policies.learning import Change
from matinee_policies.records import ContextBatch, OutcomeBatch
from matinee_policies.rules import Rule
from matinee_policies.shared_ridge import SharedRidge
from matinee_policies.slate import NO_CAPS
from matinee_policies.snapshot import Snapshot
from matinee_policies.value_policy import ValuePolicy, config_of

C = TypeVar("C", bound=Config)

FORMS = ("shared", "disjoint", "hybrid")
"""Which coefficients there are: of all candidates, of each item, or both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearConfig(SlateConfig):
    """The settings that every policy over ridge regression shares."""

    form: str = "shared"
    """`shared`: one set of coefficients for all candidates; `disjoint`: one per item; `hybrid`:
    both, their predictions added."""

    item_features: tuple[int, ...] = ()
    """Of `hybrid`: columns that an item's own coefficients read; empty means all."""

    l2: float = 1.0
    """Weight of the prior that all coefficients are 0, in observations, above 0."""

    def __post_init__(self) -> None:
        SlateConfig.__post_init__(self)
        check_range("l2", self.l2, low=0, low_open=True)
        if self.form not in FORMS:
            raise ConfigError(f"form must be one of {', '.join(FORMS)}, got {self.form!r}")
        # JSON has lists only.
        if not isinstance(self.item_features, list | tuple):
            raise ConfigError(f"item_features must be a list, got {self.item_features!r}")
        object.__setattr__(self, "item_features", tuple(self.item_features))
        for column in self.item_features:
            check_whole("item_features", column, low=0)
        if len(set(self.item_features)) < len(self.item_features):
            raise ConfigError(f"item_features must be distinct, got {self.item_features}")
        if self.item_features and self.form != "hybrid":
            raise ConfigError(f"item_features are of form hybrid, got form {self.form!r}")


class RidgeModel(Protocol):
    """State of a regression: `SharedRidge`, `ItemRidge` or `HybridRidge`."""

    @property
    def rows(self) -> int:
        """Impressions learned from."""

    @property
    def theta(self) -> FloatArray:
        """Coefficients of all candidates, a copy, `float64 [d]`."""

    def item_theta(self, items: IndexArray) -> FloatArray:
        """Coefficients of some items' own, `float64 [n, p]`."""

    def values(self, contexts: ContextBatch, *, alpha: float) -> FloatArray:
        """Mean plus `alpha` widths, `float64 [B, K]`."""

    def prepared(self, outcomes: OutcomeBatch) -> Change:
        """Work out what one matured component changes, or refuse it (`ContextError`)."""

    def arrays(self) -> dict[str, AnyArray]:
        """The state by name."""

    def restore(self, snapshot: Snapshot, *, rows: int) -> None:
        """Take over the state of a snapshot that counts `rows`.

        Raises:
            SnapshotError: if arrays are missing or do not fit together.
            ContextError: if no rows give these sums.
        """


class LinearPolicy(ValuePolicy[C]):
    """Value of a candidate: its predicted reward plus `alpha` widths.

    Args:
        config: parameters, of the policy's own type.
        dimension: of the features, at least 1.
        rule: turns utilities into probabilities.
        diversity: kind and price of redundancy in value units.
        alpha: widths to add to the prediction.
        l2: weight of the prior that all coefficients are 0.
        caps: most items of one aspect or creator on a slate.
        form: one of `FORMS`.
        item_features: columns of an item's own part, of form `hybrid`.

    Attributes:
        config_type: of its config.
        dimension: of the features.
        later_rows: shown items whose later components were learned, one for each component.
    """

    learns: ClassVar[bool] = True
    config_type: ClassVar[type[Config]]

    def __init__(
        self,
        config: C,
        *,
        dimension: int,
        rule: Rule,
        diversity: float | Diversity,
        alpha: float,
        l2: float,
        caps: Caps = NO_CAPS,
        form: str = "shared",
        item_features: tuple[int, ...] = (),
    ) -> None:
        super().__init__(config, rule=rule, diversity=diversity, caps=caps)
        check_whole("dimension", dimension, low=1)
        check_range("l2", l2, low=0, low_open=True)
        self.dimension = dimension
        self.later_rows = 0
        self._alpha = alpha
        self._model: RidgeModel
        if form == "disjoint":
            self._model = ItemRidge(dimension, l2=l2)
        elif form == "hybrid":
            self._model = HybridRidge(dimension, l2=l2, item_features=item_features)
        else:
            self._model = SharedRidge(dimension, l2=l2)

    @classmethod
    def from_snapshot(cls, snapshot: Snapshot) -> Self:
        """See `Policy.from_snapshot`."""
        config = config_of(snapshot, cls.config_type, kind=cls.name)
        policy = cls(config, dimension=counter_of(snapshot, "dimension", low=1))  # type: ignore[call-arg,arg-type]
        policy._restore(snapshot)
        return policy

    @property
    def rows(self) -> int:
        """Impressions learned from."""
        return self._model.rows

    @property
    def theta(self) -> FloatArray:
        """Coefficients that all candidates share, a copy, `float64 [d]`; 0 if disjoint."""
        return self._model.theta

    def item_theta(self, items: IndexArray) -> FloatArray:
        """Coefficients of some items' own, `float64 [n, p]`; 0 for an item never shown.

        Args:
            items: catalogue rows, `int32 [n]`.
        """
        return self._model.item_theta(items)

    @property
    def values_are_bounds(self) -> bool:
        """See `ValuePolicy.values_are_bounds`: whether values have widths."""
        return self._alpha > 0.0

    def values(self, contexts: ContextBatch) -> FloatArray:
        """Predicted reward of each candidate plus `alpha` widths, `float64 [B, K]`."""
        return self._model.values(contexts, alpha=self._alpha)

    def predictions(self, contexts: ContextBatch) -> FloatArray:
        """Predicted reward of each candidate, without widths, `float64 [B, K]`."""
        return self._model.values(contexts, alpha=0.0)

    def widths(self, contexts: ContextBatch) -> FloatArray:
        """See `ValuePolicy.widths`: of the predicted reward, to rounding."""
        return self._model.values(contexts, alpha=1.0) - self.predictions(contexts)

    def learn(self, outcomes: OutcomeBatch) -> None:
        """See `Policy.learn`."""
        self.prepared(outcomes).take()

    def prepared(self, outcomes: OutcomeBatch) -> Change:
        """See `learning.Prepares`."""
        change = self._model.prepared(outcomes)
        rule = self._rule_at(change.rows)
        later = 0 if outcomes.first else int(outcomes.shown.sum())

        def take() -> None:
            change.take()
            self._rule = rule
            self.later_rows += later
            self._settle()

        return Change(change.rows, take)

    def snapshot(self) -> Snapshot:
        """See `Policy.snapshot`."""
        plain = super().snapshot()
        return Snapshot(
            kind=plain.kind,
            version=plain.version,
            arrays=self._model.arrays(),
            manifest={
                **plain.manifest,
                "dimension": self.dimension,
                "rows": self._model.rows,
                "later_rows": self.later_rows,
            },
        )

    def _restore(self, snapshot: Snapshot) -> None:
        """Take over the state of a snapshot of this dimension and form.

        Raises:
            SnapshotError: if it is incomplete, or no rows give its sums.
        """
        rows = counter_of(snapshot, "rows", low=0)
        # Snapshots from before these were counted have none.
        later = "later_rows" in snapshot.manifest
        later_rows = counter_of(snapshot, "later_rows", low=0) if later else 0
        try:
            self._model.restore(snapshot, rows=rows)
        except ContextError as error:
            raise SnapshotError(f"snapshot of {snapshot.kind!r}: {error}") from None
        self.later_rows = later_rows
        self._rule = self._rule_at(rows)
        self._settle()

    def _rule_at(self, rows: int) -> Rule:
        """The rule after so many impressions; override it for a schedule."""
        return self._rule

    def _settle(self) -> None:
        """Derive from a new state what depends on it; a pure function of it that does not fail."""


def counter_of(snapshot: Snapshot, name: str, *, low: int) -> int:
    """A whole number of a manifest.

    Raises:
        SnapshotError: if it is missing, no whole number or below `low`.
    """
    value: Any = snapshot.manifest.get(name)
    try:
        check_whole(name, value, low=low)
    except ConfigError as error:
        raise SnapshotError(f"snapshot of {snapshot.kind!r}: {error}") from None
    return int(value)
