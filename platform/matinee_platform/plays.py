"""Express a play in stars, so that plays and ratings fold into one taste vector."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from matinee_policies.arrays import Float32Array

_SD_PER_LOGIT = 0.5
"""Standard deviations of a rating for one unit of log odds of the watched fraction: half the weight
that a noiseless proxy would get, since a play stops for many reasons besides liking."""

_EDGE = 1e-3


@dataclass(frozen=True, slots=True)
class PlayScale:
    """Scale of the ratings known before the run.

    Attributes:
        mean: of the ratings, in stars.
        sd: of the ratings, in stars.
        low: least possible rating.
        high: largest possible rating.
    """

    mean: float
    sd: float
    low: float
    high: float

    @classmethod
    def of(cls, ratings: Float32Array) -> Self:
        """Scale of a sample of ratings."""
        return cls(
            float(ratings.mean(dtype=np.float64)),
            float(ratings.std(dtype=np.float64)),
            float(ratings.min()),
            float(ratings.max()),
        )

    def stars(self, watch: Float32Array) -> Float32Array:
        """Stars that a watched fraction stands for.

        Args:
            watch: fractions in [0, 1].

        Example:
            >>> PlayScale(3.5, 1.0, 0.5, 5.0).stars(np.array([0.5, 1.0], dtype=np.float32))
            array([3.5, 5. ], dtype=float32)
        """
        share = np.clip(watch.astype(np.float64), _EDGE, 1.0 - _EDGE)
        stars = self.mean + _SD_PER_LOGIT * self.sd * np.log(share / (1.0 - share))
        return np.clip(stars, self.low, self.high).astype(np.float32)
