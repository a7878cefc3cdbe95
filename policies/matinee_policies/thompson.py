"""Thompson sampling by the votes of an ensemble that is fixed in the snapshot.

The posterior of a ridge regression is normal, theta ~ N(A^-1 b, scale^2 A^-1). M members are drawn
from it at every state, and a candidate's probability at a slot is the share of members that like
it best among those that remain (`rules.votes_rule`), which a log can hold exactly; it tends to the
posterior's probability that the candidate is best as M grows.

    shared     theta_m = theta + scale L^-T g_m, with A = L L'
    disjoint   value of x to member m = mean_a(x) + scale width_a(x) g_am: each item has its own
               posterior, independent of the others, so the values that the candidates of one
               decision have to a member are independent normals, which this draws directly

The normal numbers g depend on the seed, the impressions and the later components learned from so
far, and the numbers of member, item and coefficient alone. Every state that learning reaches
therefore has its own draws, and a restored snapshot has the same ones to the last bit. Two arms of
one seed that have learned equally much have the same normal numbers: give each arm a `seed` of its
own where their noise must be independent.

Sources: Agrawal and Goyal 2013, "Thompson sampling for contextual bandits with linear payoffs",
algorithm 1 (`scale` is its v); Lu and Van Roy 2017, "Ensemble sampling".
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from matinee_policies.arrays import FloatArray
from matinee_policies.config import check_range, check_seed, check_whole
from matinee_policies.ensemble_values import ItemDraws, coefficient_draws, linear_members
from matinee_policies.errors import ConfigError
from matinee_policies.item_ridge import ItemRidge
from matinee_policies.linear_policy import LinearConfig, LinearPolicy
from matinee_policies.philox import stream_key
from matinee_policies.records import ContextBatch
from matinee_policies.rules import votes_rule
from matinee_policies.shared_ridge import SharedRidge


@dataclass(frozen=True, slots=True, kw_only=True)
class ThompsonConfig(LinearConfig):
    """Parameters of `Thompson`; `form` is shared or disjoint."""

    ensemble: int = 64
    """Members, 1 to 100,000; probabilities are multiples of its inverse, before the floor."""

    scale: float = 0.5
    """Standard deviation of the noise in a reward, which widens the posterior, at least 0."""

    floor: float = 0.0
    """Least weight of the uniform law at each of `L` slots, in [0, 1 - (1 - budget)^(1/L)]."""

    budget: float = 1.0
    """Largest probability that a full slate holds any draw but the greedy pick's, in [0, 1]."""

    seed: int = 0
    """Of the members, in [0, 2^63 - 1]; arms of one seed share their draws."""

    def __post_init__(self) -> None:
        LinearConfig.__post_init__(self)
        if self.form == "hybrid":
            raise ConfigError(f"form of Thompson must be shared or disjoint, got {self.form!r}")
        check_whole("ensemble", self.ensemble, low=1, high=100_000)
        check_range("scale", self.scale, low=0)
        check_range("floor", self.floor, low=0, high=1)
        check_range("budget", self.budget, low=0, high=1)
        check_seed("seed", self.seed)


class Thompson(LinearPolicy[ThompsonConfig]):
    """A member of the ensemble is drawn at every slot; its best remaining candidate is shown.

    Args:
        config: parameters; defaults if `None`.
        dimension: of the features, at least 1.
    """

    name: ClassVar[str] = "thompson"
    config_type = ThompsonConfig

    def __init__(self, config: ThompsonConfig | None = None, *, dimension: int) -> None:
        config = config or ThompsonConfig()
        super().__init__(
            config,
            dimension=dimension,
            rule=votes_rule(floor=config.floor, budget=config.budget),
            diversity=config.diversity,
            alpha=0.0,
            l2=config.l2,
            caps=config.caps,
            form=config.form,
        )
        if config.form == "disjoint":
            self._draws = ItemDraws(config.ensemble)
        self._settle()

    @property
    def ensemble_size(self) -> int:
        """Members that vote."""
        return self.config.ensemble

    def members(self, contexts: ContextBatch) -> FloatArray:
        """Value of each candidate to each member, `float64 [B, M, K]`."""
        if isinstance(self._model, ItemRidge):
            mean, width = self._model.moments(contexts)
            return self._draws.values(mean, self.config.scale * width, contexts.candidates)
        return linear_members(contexts.features, self._thetas)

    def _settle(self) -> None:
        """Draw the members of a new state."""
        members, model = self.config.ensemble, self._model
        key = stream_key(self.config.seed, "thompson", self.rows, self.later_rows)
        if isinstance(model, SharedRidge):
            g = coefficient_draws(key, members=members, dimension=self.dimension)
            lower = np.linalg.cholesky(model.precision())
            errors = np.linalg.solve(lower.T, g.T).T
            self._thetas = np.ascontiguousarray(model.theta + self.config.scale * errors)
        else:
            self._draws.use(key)
