"""What all environments over one set of data share: the truth, and a service's view of it."""

import functools
from dataclasses import dataclass

import numpy as np

from matinee_policies.arrays import Float32Array
from matinee_policies.candidates.factor_model import FactorModel
from matinee_policies.candidates.registry import fit_candidates
from matinee_policies.catalogue import similarity_embeddings
from matinee_policies.datasets.dataset import Dataset
from matinee_policies.datasets.synthetic import synthetic_dataset
from matinee_policies.item_features import ItemFeatures
from matinee_simulator.world import World

KNOWN_SHARE = 0.8
"""Share of the ratings that the service has seen; the truth is fitted on all of them."""

_SD_PER_LOGIT = 0.5
_EDGE = 1e-3


@dataclass(frozen=True, eq=False, kw_only=True)
class Scene:
    """The truth about items and users, and what a service knows of the items.

    Attributes:
        world: the truth, of `M` items; no observation is computed from it.
        model: a matrix factorization of the ratings that the service knows, for candidates.
        items: what enters the features of candidates.
        rating_mean: of the known ratings, in stars.
        rating_sd: of the known ratings, in stars.
        rating_low: least known rating.
        rating_high: largest known rating.
    """

    world: World
    model: FactorModel
    items: ItemFeatures
    rating_mean: float
    rating_sd: float
    rating_low: float
    rating_high: float

    @classmethod
    def from_dataset(cls, dataset: Dataset, *, seed: int) -> "Scene":
        """Fit the truth on all ratings, and the service's model on some of them.

        Args:
            dataset: catalogue and ratings.
            seed: of both fits, and of which ratings the service knows.

        Raises:
            DataError: too few items or users have ratings.
        """
        world = World.from_interactions(dataset.catalogue, dataset.interactions, seed=seed)
        catalogue = dataset.catalogue.subset(world.item_rows)
        _, known = dataset.interactions.subset_items(world.item_rows).split_random(
            KNOWN_SHARE, seed=seed
        )
        model = fit_candidates("biased_als", known, seed=seed)
        embeddings = similarity_embeddings(model.item_factors, catalogue.genre_vectors())
        stars = known.matrix.data
        return cls(
            world=world,
            model=model,
            items=ItemFeatures.build(catalogue.with_embeddings(embeddings), known),
            rating_mean=float(stars.mean(dtype=np.float64)),
            rating_sd=float(stars.std(dtype=np.float64)),
            rating_low=float(stars.min()),
            rating_high=float(stars.max()),
        )

    def stars(self, watch: Float32Array) -> Float32Array:
        """Stars that watched fractions stand for: half a standard deviation per unit of log odds.

        Args:
            watch: fractions in [0, 1], of any shape.
        """
        share = np.clip(watch.astype(np.float64), _EDGE, 1.0 - _EDGE)
        stars = self.rating_mean + _SD_PER_LOGIT * self.rating_sd * np.log(share / (1.0 - share))
        return np.clip(stars, self.rating_low, self.rating_high).astype(np.float32)


@functools.cache
def synthetic_scene(*, seed: int = 0, n_users: int = 300, n_items: int = 1_500) -> Scene:
    """The scene of a drawn catalogue, kept for the next call; arguments as `synthetic_dataset`."""
    dataset = synthetic_dataset(seed=seed, n_users=n_users, n_items=n_items)
    return Scene.from_dataset(dataset, seed=seed)
