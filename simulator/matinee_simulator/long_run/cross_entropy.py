"""The cross-entropy method: maximise a noisy function by drawing around the best draws so far.

Each generation draws points from independent normals, keeps the best few, and moves mean and sd
towards theirs (Rubinstein 1999; de Boer, Kroese, Mannor and Rubinstein 2005, section 4). Draws of a
generation depend on its number and the seed, so that a search goes on where it stopped.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from matinee_policies.arrays import FloatArray
from matinee_policies.config import check_range, check_seed, check_whole
from matinee_policies.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Generation:
    """One generation of a search in `d` dimensions.

    Attributes:
        mean: of the best draws, smoothed: around it the next generation is drawn.
        sd: likewise.
        best: the best point so far.
        score: its score.
        elite_score: mean score of the best draws of this generation.
    """

    mean: tuple[float, ...]
    sd: tuple[float, ...]
    best: tuple[float, ...]
    score: float
    elite_score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossEntropy:
    """A search within a box.

    Attributes:
        low: least value of each dimension.
        high: largest value of each dimension.
        draws: points per generation.
        elite: how many of them count as the best.
        generations: how many there are.
        smoothing: share of the old mean and sd that stays, in [0, 1).
        seed: of the draws.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    draws: int = 16
    elite: int = 4
    generations: int = 10
    smoothing: float = 0.3
    seed: int = 0

    def __post_init__(self) -> None:
        check_whole("elite", self.elite, low=2)
        check_whole("draws", self.draws, low=self.elite)
        check_whole("generations", self.generations, low=1)
        check_range("smoothing", self.smoothing, low=0.0, high=1.0, high_open=True)
        check_seed("seed", self.seed)
        if len(self.low) != len(self.high) or not self.low:
            raise ConfigError(f"low and high must be of one length, got {self.low}, {self.high}")
        if not all(low < high for low, high in zip(self.low, self.high, strict=True)):
            raise ConfigError(f"low must be below high, got {self.low}, {self.high}")

    def maximise(
        self,
        score: Callable[[FloatArray], float],
        *,
        done: Sequence[Generation] = (),
        report: Callable[[list[Generation]], None] = lambda generations: None,
    ) -> list[Generation]:
        """Search.

        The first generation is spread over the box: mean in its middle, sd a quarter of its width.

        Args:
            score: of a point `float64 [d]`; larger is better.
            done: generations of the same search to go on from.
            report: called after each generation with all so far.

        Returns:
            All generations; `best` of the last one is the answer.

        Example:
            >>> search = CrossEntropy(low=(0.0,), high=(10.0,), draws=40, generations=20)
            >>> found = search.maximise(lambda x: -float((x[0] - 3.0) ** 2))[-1].best
            >>> round(found[0], 1)
            3.0
        """
        generations = list(done)[: self.generations]
        for number in range(len(generations), self.generations):
            generations.append(self._next(score, generations[-1] if generations else None, number))
            report(generations)
        return generations

    def _next(
        self, score: Callable[[FloatArray], float], last: Generation | None, number: int
    ) -> Generation:
        low, high = np.array(self.low), np.array(self.high)
        mean = (low + high) / 2 if last is None else np.array(last.mean)
        sd = (high - low) / 4 if last is None else np.array(last.sd)
        rng = np.random.default_rng([self.seed, number])
        points = np.clip(mean + sd * rng.standard_normal((self.draws, low.size)), low, high)
        scores = np.array([score(point) for point in points])
        order = np.argsort(-scores, kind="stable")[: self.elite]
        elite = points[order]
        keep = self.smoothing
        mean = keep * mean + (1 - keep) * elite.mean(axis=0)
        sd = keep * sd + (1 - keep) * elite.std(axis=0)
        best, highest = _plain(elite[0]), float(scores[order[0]])
        if last is not None and last.score >= highest:
            best, highest = last.best, last.score
        return Generation(_plain(mean), _plain(sd), best, highest, float(scores[order].mean()))


def _plain(values: FloatArray) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
