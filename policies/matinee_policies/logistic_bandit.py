"""A logistic bandit: values are the probabilities that a logistic regression predicts.

For rewards in [0, 1], clicks above all. `logistic.py` has the two ways to learn; `exploration`
chooses how the slate departs from the best predictions:

    epsilon       best prediction first, with a budget of uniform draws
    upper_bound   value = s(x' theta + alpha sqrt(x' A^-1 x)), best first, under the floor, with s
                  the `ordered_sigmoid`, which tells large bounds apart
    thompson      votes of an ensemble drawn from N(theta, alpha^2 A^-1), fixed in the snapshot
    softmax       in proportion to exp(prediction / temperature)
    inverse_gap   SquareCB, gamma = gamma_scale rows^gamma_exponent

The members of an ensemble come from the seed, the rows learned from and the rows ignored, so every
state has its own. Two arms of one seed have the same normal numbers: give each arm a `seed` of its
own where that matters.

Sources: Chapelle and Li 2011, "An empirical evaluation of Thompson sampling", section 4; Filippi et
al. 2010, "Parametric bandits: the generalized linear case", algorithm 1 (upper bound, here within
s);
Foster and Rakhlin 2020, "Beyond UCB", algorithm 1 (inverse gap).
"""

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from matinee_policies.arrays import FloatArray
from matinee_policies.config import check_range, check_seed, check_whole
from matinee_policies.diversity import SlateConfig
from matinee_policies.ensemble_values import coefficient_draws, linear_members
from matinee_policies.errors import ConfigError, ContextError, SnapshotError
from matinee_policies.inverse_root import MOST_ROUNDING, inverse_root
from matinee_policies.learning import Change
from matinee_policies.linear import RidgeState, ridge_values
from matinee_policies.linear_policy import counter_of
from matinee_policies.logistic import (
    LogisticState,
    logistic_learn,
    ordered_sigmoid,
    posterior_draws,
)
from matinee_policies.philox import stream_key
from matinee_policies.records import ContextBatch, OutcomeBatch
from matinee_policies.rules import (
    Rule,
    epsilon_rule,
    inverse_gap_rule,
    softmax_rule,
    upper_bound_rule,
    votes_rule,
)
from matinee_policies.snapshot import Snapshot, snapshot_array
from matinee_policies.square_cb import MOST_GAMMA_SCALE, gamma_at
from matinee_policies.value_policy import ValuePolicy, config_of

METHODS = ("laplace", "newton")
EXPLORATIONS = ("epsilon", "upper_bound", "thompson", "softmax", "inverse_gap")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogisticConfig(SlateConfig):
    """Parameters of `LogisticBandit`."""

    method: str = "laplace"
    """`laplace`: exact mode and curvature of every row; `newton`: online Newton step."""

    exploration: str = "epsilon"
    """`epsilon`, `upper_bound`, `thompson`, `softmax` or `inverse_gap`."""

    epsilon: float = 0.1
    """Of `epsilon`: probability that a full slate holds at least one uniform draw, in [0, 1]."""

    alpha: float = 1.0
    """Of `upper_bound`: widths to add to the prediction. Of `thompson`: factor on the spread of the
    posterior. At least 0."""

    temperature: float = 0.1
    """Of `softmax`: difference in probability that makes an item e times as likely, above 0."""

    gamma_scale: float = 10.0
    """Of `inverse_gap`: gamma = gamma_scale * rows learned ^ gamma_exponent, in [0, 1e12]."""

    gamma_exponent: float = 0.5
    """Of `inverse_gap`, in [0, 1]."""

    ensemble: int = 64
    """Of `thompson`: members, 1 to 100,000."""

    seed: int = 0
    """Of `thompson`: of the members, in [0, 2^63 - 1]; arms of one seed share their draws."""

    floor: float = 0.0
    """Least weight of the uniform law at each of `L` slots, in [0, 1 - (1 - budget)^(1/L)], of
    `epsilon` with epsilon for budget; the whole exploration that can be logged of `upper_bound`,
    whose slate is fixed by the state at 0."""

    budget: float = 1.0
    """Of `thompson`, `softmax` and `inverse_gap`: largest probability that a full slate holds any
    draw but the greedy pick's, in [0, 1]."""

    l2: float = 1.0
    """Precision of the prior that a coefficient is 0, above 0."""

    curvature: float = 0.1
    """Of `newton`: curvature that every row counts with, above 0, at most 1/4: p (1 - p) of the
    usual prediction p; the rarer the rewards, the smaller."""

    def __post_init__(self) -> None:
        SlateConfig.__post_init__(self)
        for name, known in (("method", METHODS), ("exploration", EXPLORATIONS)):
            if getattr(self, name) not in known:
                raise ConfigError(
                    f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}"
                )
        for name in ("epsilon", "gamma_exponent", "floor", "budget"):
            check_range(name, getattr(self, name), low=0, high=1)
        check_range("alpha", self.alpha, low=0)
        check_range("gamma_scale", self.gamma_scale, low=0, high=MOST_GAMMA_SCALE)
        for name in ("temperature", "l2"):
            check_range(name, getattr(self, name), low=0, low_open=True)
        check_range("curvature", self.curvature, low=0, high=0.25, low_open=True)
        check_whole("ensemble", self.ensemble, low=1, high=100_000)
        check_seed("seed", self.seed)


class LogisticBandit(ValuePolicy[LogisticConfig]):
    """Values are predicted probabilities; one theta for all candidates.

    It learns the first component of a slate's reward to mature, and no other: a logistic regression
    cannot correct a row later. Later components are counted in `ignored`, and change nothing else
    but the members of an ensemble. If the reward has several components, the values are therefore
    predictions of the first one alone, an engagement say, and not of their sum.

    Args:
        config: parameters; defaults if `None`.
        dimension: of the features, at least 1.

    Attributes:
        dimension: of the features.
        ignored: shown items of later components, not learned from.
    """

    name: ClassVar[str] = "logistic"
    learns: ClassVar[bool] = True

    def __init__(self, config: LogisticConfig | None = None, *, dimension: int) -> None:
        config = config or LogisticConfig()
        super().__init__(
            config, rule=_rule(config, rows=0), diversity=config.diversity, caps=config.caps
        )
        check_whole("dimension", dimension, low=1)
        self.dimension = dimension
        self.ignored = 0
        self._adopted(LogisticState.prior(dimension, l2=config.l2), ignored=0).take()

    @property
    def rows(self) -> int:
        """Shown items learned from."""
        return self._state.rows

    @property
    def theta(self) -> FloatArray:
        """Coefficient of each feature, a copy, `float64 [d]`."""
        return self._state.theta.copy()

    @property
    def values_are_bounds(self) -> bool:
        """See `ValuePolicy.values_are_bounds`: whether values have widths."""
        return self.config.exploration == "upper_bound" and self.config.alpha > 0.0

    def values(self, contexts: ContextBatch) -> FloatArray:
        """Predicted probability of each candidate, or its upper bound, `float64 [B, K]`."""
        alpha = self.config.alpha if self.config.exploration == "upper_bound" else 0.0
        law = RidgeState(inverse=self._state.inverse, theta=self._state.theta)
        return ordered_sigmoid(ridge_values(contexts.features, law, alpha=alpha))

    def predictions(self, contexts: ContextBatch) -> FloatArray:
        """Predicted probability of each candidate, without widths, `float64 [B, K]`."""
        law = RidgeState(inverse=self._state.inverse, theta=self._state.theta)
        return ordered_sigmoid(ridge_values(contexts.features, law, alpha=0.0))

    def widths(self, contexts: ContextBatch) -> FloatArray:
        """See `ValuePolicy.widths`: of the log-odds of the prediction, to rounding."""
        law = RidgeState(inverse=self._state.inverse, theta=self._state.theta)
        upper = ridge_values(contexts.features, law, alpha=1.0)
        return upper - ridge_values(contexts.features, law, alpha=0.0)

    def members(self, contexts: ContextBatch) -> FloatArray | None:
        """Predicted probability of each candidate by each member, `float64 [B, M, K]`."""
        if self._thetas is None:
            return None
        return ordered_sigmoid(linear_members(contexts.features, self._thetas))

    @property
    def ensemble_size(self) -> int:
        """Members that vote, 0 without votes."""
        return 0 if self._thetas is None else len(self._thetas)

    def learn(self, outcomes: OutcomeBatch) -> None:
        """See `Policy.learn`; components that are not the first are counted and ignored."""
        self.prepared(outcomes).take()

    def prepared(self, outcomes: OutcomeBatch) -> Change:
        """See `learning.Prepares`."""
        if not outcomes.first:
            return self._adopted(self._state, ignored=self.ignored + int(outcomes.shown.sum()))
        curvature = self.config.curvature if self.config.method == "newton" else None
        state = logistic_learn(self._state, outcomes, curvature=curvature)
        return self._adopted(state, ignored=self.ignored)

    def snapshot(self) -> Snapshot:
        """See `Policy.snapshot`."""
        plain = super().snapshot()
        return Snapshot(
            kind=plain.kind,
            version=plain.version,
            arrays={
                "theta": self._state.theta,
                "inverse": self._state.inverse,
                "precision": self._state.precision,
            },
            manifest={
                **plain.manifest,
                "dimension": self.dimension,
                "rows": self._state.rows,
                "ignored": self.ignored,
            },
        )

    @classmethod
    def from_snapshot(cls, snapshot: Snapshot) -> Self:
        """See `Policy.from_snapshot`."""
        config = config_of(snapshot, LogisticConfig, kind=cls.name)
        policy = cls(config, dimension=counter_of(snapshot, "dimension", low=1))
        d = policy.dimension
        state = LogisticState(
            theta=snapshot_array(snapshot, "theta", shape=(d,)),
            inverse=snapshot_array(snapshot, "inverse", shape=(d, d)),
            precision=snapshot_array(snapshot, "precision", shape=(d, d)),
            rows=counter_of(snapshot, "rows", low=0),
        )
        _check_restored(state, l2=config.l2, kind=cls.name)
        policy._adopted(state, ignored=counter_of(snapshot, "ignored", low=0)).take()
        return policy

    def _adopted(self, state: LogisticState, *, ignored: int) -> Change:
        """Work out the ensemble and the rule that follow from a state."""
        config = self.config
        thetas: FloatArray | None = None
        if config.exploration == "thompson":
            key = stream_key(config.seed, "logistic", state.rows, ignored)
            draws = coefficient_draws(key, members=config.ensemble, dimension=self.dimension)
            thetas = posterior_draws(state, scale=config.alpha, draws=draws)
        rule = _rule(config, rows=state.rows)

        def take() -> None:
            self._state, self._thetas, self._rule = state, thetas, rule
            self.ignored = ignored

        return Change(state.rows, take)


def _check_restored(state: LogisticState, *, l2: float, kind: str) -> None:
    """Refuse a law whose precision is not definite, or whose inverse is another matrix."""
    try:
        half = inverse_root(state.precision, l2=l2)
    except ContextError as error:
        raise SnapshotError(
            f"snapshot array 'precision' of {kind!r} must be positive definite: {error}"
        ) from None
    # The inverse follows row by row, so it is not the same to the last bits.
    expected = half.T @ half
    widths = np.sqrt(expected.diagonal())
    allowed = 10.0 * MOST_ROUNDING * np.outer(widths, widths)
    if not (np.abs(state.inverse - expected) <= allowed).all():
        raise SnapshotError(f"snapshot array 'inverse' of {kind!r} must be that of 'precision'")


def _rule(config: LogisticConfig, *, rows: int) -> Rule:
    """The rule of a state that has learned from so many rows."""
    floor, budget = config.floor, config.budget
    if config.exploration == "upper_bound":
        return upper_bound_rule(floor=floor)
    if config.exploration == "thompson":
        return votes_rule(floor=floor, budget=budget)
    if config.exploration == "softmax":
        return softmax_rule(config.temperature, floor=floor, budget=budget)
    if config.exploration == "inverse_gap":
        gamma = gamma_at(rows, scale=config.gamma_scale, exponent=config.gamma_exponent)
        return inverse_gap_rule(gamma, floor=floor, budget=budget)
    return epsilon_rule(config.epsilon, floor=floor)
