"""The common part of the policies that forget: an upper bound from sums that age with days."""

import abc
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from matinee_policies.arrays import FloatArray
from matinee_policies.config import check_range, check_whole
from matinee_policies.diversity import SlateConfig
from matinee_policies.learning import Change
from matinee_policies.linear import RidgeState, ridge_values
from matinee_policies.records import ContextBatch, OutcomeBatch
from matinee_policies.rules import upper_bound_rule
from matinee_policies.value_policy import ValuePolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgettingConfig(SlateConfig):
    """Parameters that policies which forget share."""

    alpha: float = 0.5
    """Widths to add to the prediction, at least 0."""

    floor: float = 0.03
    """Weight of the uniform law at every slot, in [0, 1]; at 0 the slate is fixed by the state."""

    l2: float = 1.0
    """Weight of the prior that all coefficients are 0, in observations, above 0; never fades."""

    def __post_init__(self) -> None:
        SlateConfig.__post_init__(self)
        check_range("alpha", self.alpha, low=0)
        check_range("floor", self.floor, low=0, high=1)
        check_range("l2", self.l2, low=0, low_open=True)


C = TypeVar("C", bound=ForgettingConfig)


class ForgettingPolicy(ValuePolicy[C]):
    """Best upper bound first, under a floor; one theta for all candidates.

    The first component of a slate's reward brings its features and rewards, a later one (a return
    visit, say) adds its reward to the same rows, on the day of the slate: both are learned.

    Args:
        config: parameters, of the policy's own type.
        dimension: of the features, at least 1.
    """

    learns: ClassVar[bool] = True

    def __init__(self, config: C, *, dimension: int) -> None:
        super().__init__(
            config,
            rule=upper_bound_rule(floor=config.floor),
            diversity=config.diversity,
            caps=config.caps,
        )
        check_whole("dimension", dimension, low=1)
        self.dimension = dimension
        self._state = RidgeState.prior(dimension, l2=config.l2)

    @property
    def theta(self) -> FloatArray:
        """Coefficient of each feature, a copy, `float64 [d]`."""
        return self._state.theta.copy()

    @property
    def values_are_bounds(self) -> bool:
        """See `ValuePolicy.values_are_bounds`: whether values have widths."""
        return self.config.alpha > 0.0

    @abc.abstractmethod
    def prepared(self, outcomes: OutcomeBatch) -> Change:
        """See `learning.Prepares`."""

    def learn(self, outcomes: OutcomeBatch) -> None:
        """See `Policy.learn`; outcomes must have days."""
        self.prepared(outcomes).take()

    def values(self, contexts: ContextBatch) -> FloatArray:
        """Predicted reward of each candidate plus `alpha` widths, `float64 [B, K]`."""
        return ridge_values(contexts.features, self._state, alpha=self.config.alpha)

    def predictions(self, contexts: ContextBatch) -> FloatArray:
        """Predicted reward of each candidate, without widths, `float64 [B, K]`."""
        return ridge_values(contexts.features, self._state, alpha=0.0)

    def widths(self, contexts: ContextBatch) -> FloatArray:
        """See `ValuePolicy.widths`: of the predicted reward, to rounding."""
        upper = ridge_values(contexts.features, self._state, alpha=1.0)
        return upper - self.predictions(contexts)
