"""What the platform knows of the catalogue: metadata, item features and candidate models.

Fitted on the interactions known before a run, kept in one folder, and never given the simulator's
truth.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matinee_policies.candidates.factor_model import FactorModel
from matinee_policies.candidates.registry import fit_candidates

from matinee_platform.settings import SourceSettings
from matinee_policies.arrays import Float32Array
from matinee_policies.catalogue import Catalogue, similarity_embeddings
from matinee_policies.features import ItemFeatures
from matinee_policies.interactions import Interactions


@dataclass(frozen=True, slots=True)
class ServingModel:
    """Everything needed to turn a unit's state into candidates and features.

    Attributes:
        catalogue: with the embeddings that diversity is measured by.
        items: per-item features.
        sources: candidate models by the name that arms use.
    """

    catalogue: Catalogue
    items: ItemFeatures
    sources: Mapping[str, FactorModel]

    def save(self, folder: Path) -> None:
        """Write the model under `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        self.catalogue.save(folder / "catalogue.npz")
        self.items.save(folder / "item_features.npz")
        for name, source in self.sources.items():
            source.save(folder / f"source-{name}.npz")


def fit_serving_model(
    catalogue: Catalogue,
    interactions: Interactions,
    *,
    sources: Mapping[str, SourceSettings],
    seed: int,
) -> ServingModel:
    """Fit every candidate source, and derive embeddings and features.

    Args:
        catalogue: items, aligned with the columns of `interactions`.
        interactions: what was observed before the run.
        sources: candidate sources to fit, by name.
        seed: of the fits.
    """
    models = {
        name: fit_candidates(source.kind, interactions, source.settings, seed=seed)
        for name, source in sources.items()
    }
    embeddings = similarity_embeddings(_taste_factors(models), catalogue.genre_vectors())
    described = catalogue.with_embeddings(embeddings)
    return ServingModel(described, ItemFeatures.build(described, interactions), models)


def load_serving_model(folder: Path) -> ServingModel:
    """Read back what `ServingModel.save` wrote."""
    sources = {
        path.stem.removeprefix("source-"): FactorModel.load(path)
        for path in sorted(folder.glob("source-*.npz"))
    }
    return ServingModel(
        Catalogue.load(folder / "catalogue.npz"),
        ItemFeatures.load(folder / "item_features.npz"),
        sources,
    )


def _taste_factors(models: Mapping[str, FactorModel]) -> Float32Array:
    """Item factors of the first source that has any; constant columns (biases) say nothing."""
    factors = [
        model.item_factors[:, np.ptp(model.item_factors, axis=0) > 0] for model in models.values()
    ]
    return next((f for f in factors if f.shape[1]), factors[0])
