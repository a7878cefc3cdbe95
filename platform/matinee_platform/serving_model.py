"""What the platform knows of the catalogue: metadata, item features and candidate models.

Fitted on the interactions known before a run, kept in one folder, and never given the simulator's
users or their response; of items it knows what ratings tell.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from matinee_platform.context_builder import ContextBuilder
from matinee_platform.page_rules import PageRules
from matinee_platform.settings import SourceSettings
from matinee_platform.unit_interests import item_traits
from matinee_policies.arrays import Float32Array, UInt64Array
from matinee_policies.candidates.candidate_source import (
    CandidateSource,
    OwnCandidates,
    UnitRanker,
    fit_source,
)
from matinee_policies.candidates.factor_file import UnitVectors
from matinee_policies.candidates.factor_model import FactorModel
from matinee_policies.candidates.score_table import ScoreTable
from matinee_policies.candidates.source_data import SourceData
from matinee_policies.catalogue import Catalogue, similarity_embeddings
from matinee_policies.errors import ConfigError, MatineeError
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


def fit_serving_model(
    data: SourceData,
    *,
    sources: Mapping[str, SourceSettings],
    seed: int,
    rules: Mapping[str, PageRules] | None = None,
) -> ServingModel:
    """Fit every candidate source, and derive embeddings and features.

    Args:
        data: catalogue, what was observed before the run, and the units to serve.
        sources: candidate sources to fit, by name.
        seed: of the fits.
        rules: of the pages of those arms that have any, by the arm's name.

    Raises:
        MatineeError: naming the source, if it cannot be fitted or read.
    """
    fitted = {name: _fit(name, source, data, seed=seed) for name, source in sources.items()}
    models = {name: source.model for name, source in fitted.items()}
    embeddings = similarity_embeddings(_taste_factors(models), data.catalogue.genre_vectors())
    described = data.catalogue.with_embeddings(embeddings)
    return ServingModel(
        described,
        ItemFeatures.build(described, data.interactions),
        models,
        own={name: source.own for name, source in fitted.items() if source.own is not None},
        notes=tuple(
            f"Source {name}: {source.note}" for name, source in fitted.items() if source.note
        ),
        rules=rules or {},
    )


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


def _fit(name: str, source: SourceSettings, data: SourceData, *, seed: int) -> CandidateSource:
    try:
        return fit_source(source.kind, source.settings, data, seed=seed, object_name=source.object)
    except MatineeError as error:
        raise ConfigError(f"sources.{name}: {error}") from error


def _taste_factors(models: Mapping[str, FactorModel]) -> Float32Array:
    """Item factors of the first source that has any; constant columns (biases) say nothing."""
    factors = [
        model.item_factors[:, np.ptp(model.item_factors, axis=0) > 0] for model in models.values()
    ]
    return next((f for f in factors if f.shape[1]), factors[0])
