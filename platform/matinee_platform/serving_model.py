"""What the platform knows of the catalogue: metadata, item features and candidate models.

Fitted on the interactions known before a run, kept in one folder, and never given the simulator's
users or their response; of items it knows what ratings tell.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from matinee_platform.context_builder import ContextBuilder
from matinee_platform.page_rules import PageRules
from matinee_platform.unit_interests import item_traits
from matinee_policies.arrays import UInt64Array
from matinee_policies.candidates.factor_model import FactorModel
from matinee_policies.candidates.score_table import ScoreTable
from matinee_policies.candidates.unit_ranker import OwnCandidates, UnitRanker
from matinee_policies.candidates.unit_vectors import UnitVectors
from matinee_policies.catalogue import Catalogue
from matinee_policies.features import ItemFeatures
from matinee_policies.records import ItemTraits


@dataclass(frozen=True, slots=True)
class ServingModel:
    """Everything needed to turn a unit's state into candidates and features.

    Attributes:
        catalogue: with the embeddings that diversity is measured by.
        items: per-item features.
        sources: candidate models by the name that arms use; for a source of lists, its fallback.
        own: lists or vectors of single units by the name of their source.
        notes: a line on each source of the user's own, when just fitted.
        rules: of the pages of those arms that have any, by the arm's name.
        traits: genres and creators of the catalogue.
    """

    catalogue: Catalogue
    items: ItemFeatures
    sources: Mapping[str, FactorModel]
    own: Mapping[str, OwnCandidates] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    rules: Mapping[str, PageRules] = field(default_factory=dict)
    traits: ItemTraits = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "traits", item_traits(self.catalogue))

    def contexts(self, arm: str) -> ContextBuilder:
        """What builds the contexts of an arm, by its name."""
        return ContextBuilder(self.items, self.traits, self.rules.get(arm))

    def ranker(self, source: str, keys: UInt64Array) -> UnitRanker:
        """What ranks items of a source for the units with these pseudonyms, `uint64 [n]`."""
        return UnitRanker(self.sources[source], self.own.get(source), keys=keys)

    def save(self, folder: Path) -> None:
        """Write the model under `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        self.catalogue.save(folder / "catalogue.npz")
        self.items.save(folder / "item_features.npz")
        for name, source in self.sources.items():
            source.save(folder / f"source-{name}.npz")
        for name, own in self.own.items():
            prefix = "lists" if isinstance(own, ScoreTable) else "vectors"
            own.save(folder / f"{prefix}-{name}.npz")
        for arm, rules in self.rules.items():
            rules.save(folder / f"rules-{arm}.npz")


def load_serving_model(folder: Path) -> ServingModel:
    """Read back what `ServingModel.save` wrote."""
    own: dict[str, OwnCandidates] = {}
    for path in sorted(folder.glob("lists-*.npz")):
        own[path.stem.removeprefix("lists-")] = ScoreTable.load(path)
    for path in sorted(folder.glob("vectors-*.npz")):
        own[path.stem.removeprefix("vectors-")] = UnitVectors.load(path)
    sources = {
        path.stem.removeprefix("source-"): FactorModel.load(path)
        for path in sorted(folder.glob("source-*.npz"))
    }
    return ServingModel(
        Catalogue.load(folder / "catalogue.npz"),
        ItemFeatures.load(folder / "item_features.npz"),
        sources,
        own,
        rules={
            path.stem.removeprefix("rules-"): PageRules.load(path)
            for path in sorted(folder.glob("rules-*.npz"))
        },
    )
