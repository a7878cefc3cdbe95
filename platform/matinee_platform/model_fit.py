"""Fit what the platform knows of the catalogue to the interactions known before a run."""

from collections.abc import Mapping

import numpy as np

from matinee_platform.page_rules import PageRules
from matinee_platform.serving_model import ServingModel
from matinee_platform.settings import SourceSettings
from matinee_policies.arrays import Float32Array
from matinee_policies.candidates.candidate_source import CandidateSource, fit_source
from matinee_policies.candidates.factor_model import FactorModel
from matinee_policies.candidates.source_data import SourceData
from matinee_policies.catalogue import similarity_embeddings
from matinee_policies.errors import ConfigError, MatineeError
from matinee_policies.item_features import ItemFeatures


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
