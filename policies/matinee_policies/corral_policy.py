"""CORRAL: a band of policies whose weights follow the rewards of the slates that each has drawn.

Decisions are those of a mixture (`mixture_policy.py`), with weights that move by one step of
`corral.py` per slate, in the order of the log. The loss of a slate is

    1 - (reward - low) / (high - low)

for the mean or the sum of the rewards of its shown slots, and `reward_range` = (low, high).

Source: Agarwal, Luo, Neyshabur and Schapire 2017, "Corralling a band of bandit algorithms". Two
departures, for an arm whose log all bases share. Bases are not fed importance-weighted losses of
the slates that they drew themselves: each learns from all outcomes with the exact propensities of
the mixture, and none starts anew when its weight falls. And weights change at snapshots only, so
that all slates of a day are drawn with the same ones: a loss is divided by the probability that its
base was drawn with, not by the weight of now. The paper's regret bound does not cover either.

Weights learn the first component of the reward alone; bases learn later components as they would
by themselves. Slates that show nothing leave the weights alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from matinee_policies.arrays import AnyArray, BoolArray, FloatArray, Int8Array
from matinee_policies.base_policies import BasePolicy, BasesConfig, bases_of
from matinee_policies.config import check_range
from matinee_policies.corral import CorralState, corral_steps
from matinee_policies.errors import ConfigError, ContextError, SnapshotError
from matinee_policies.linear_policy import counter_of
from matinee_policies.mixture_policy import PolicyOfBases
from matinee_policies.records import OutcomeBatch
from matinee_policies.snapshot import Snapshot, snapshot_array

REWARDS = ("mean", "sum")
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class CorralConfig(BasesConfig):
    """Parameters of `Corral`.

    The paper sets gamma = 1 / T and beta = exp(1 / ln T) for T slates in all.
    """

    bases: tuple[BasePolicy, ...] = (
        BasePolicy(kind="epsilon_greedy"),
        BasePolicy(kind="lin_ucb"),
    )
    """2 to 16 policies, each a mapping with `kind` and the settings `policy`; their weights start
    equal."""

    learning_rate: float = 0.01
    """Eta: of a base's weight at first, above 0, at most 1."""

    gamma: float = 0.02
    """Share of slates whose base is drawn with equal chances, in (0, 1): no weight falls below
    gamma / bases."""

    beta: float = 1.1
    """Growth of a base's rate whenever its weight has halved, in [1, 2]."""

    reward: str = "mean"
    """Reward of a slate: `mean` or `sum` over its shown slots."""

    reward_range: tuple[float, float] = (0.0, 1.0)
    """Least and largest reward of a slate; one beyond is refused."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "bases", bases_of(self.bases, BasePolicy))
        check_range("learning_rate", self.learning_rate, low=0, high=1, low_open=True)
        check_range("gamma", self.gamma, low=0, high=1, low_open=True, high_open=True)
        check_range("beta", self.beta, low=1, high=2)
        if self.reward not in REWARDS:
            raise ConfigError(f"reward must be one of {', '.join(REWARDS)}, got {self.reward!r}")
        ends = self.reward_range
        if not isinstance(ends, list | tuple) or len(ends) != 2:
            raise ConfigError(f"reward_range must be two numbers, got {ends!r}")
        check_range("reward_range", ends[0], low=-1e12, high=1e12)
        check_range("reward_range", ends[1], low=ends[0], low_open=True, high=1e12)
        # JSON has lists only.
        object.__setattr__(self, "reward_range", tuple(ends))


class Corral(PolicyOfBases[CorralConfig]):
    """The better a base's own slates do, the more slates it draws.

    Args:
        config: parameters; defaults if `None`.
        dimension: of the features, at least 1.
    """

    name = "corral"

    def __init__(self, config: CorralConfig | None = None, *, dimension: int) -> None:
        config = config or CorralConfig()
        super().__init__(config, dimension=dimension)
        self.learns = True
        self._state = CorralState.start(len(config.bases), rate=config.learning_rate)

    @classmethod
    def from_snapshot(cls, snapshot: Snapshot, *, kinds: Sequence[str] = ()) -> Self:
        """See `Mixture.from_snapshot`."""
        policy = cls._restored(snapshot, CorralConfig, kinds=kinds)
        shape = (len(policy.config.bases),)
        weights, rates, thresholds = (
            snapshot_array(snapshot, name, shape=shape)
            for name in ("weights", "rates", "thresholds")
        )
        if min(weights.min(), rates.min(), thresholds.min()) <= 0.0:
            raise SnapshotError(f"weights, rates and thresholds must be above 0, got {weights}")
        if abs(float(weights.sum()) - 1.0) > 1e-9:
            raise SnapshotError(f"weights must sum to 1, got {float(weights.sum())!r}")
        steps = counter_of(snapshot, "steps", low=0)
        policy._state = CorralState(weights, rates, thresholds, steps)
        return policy

    @property
    def weights(self) -> FloatArray:
        """Probability of each base at the next decisions, at least gamma / M, `float64 [M]`."""
        return self._state.mixed(self.config.gamma)

    @property
    def steps(self) -> int:
        """Slates that moved the weights."""
        return self._state.steps

    def learn(self, outcomes: OutcomeBatch) -> None:
        """See `Policy.learn`; the first component needs `base` and `base_propensity`."""
        if not outcomes.first:
            super().learn(outcomes)
            return
        losses, base, base_propensity = self._charges(outcomes)
        super().learn(outcomes)
        self._state = corral_steps(
            self._state,
            losses,
            base=base,
            base_propensity=base_propensity,
            gamma=self.config.gamma,
            beta=self.config.beta,
        )

    def snapshot(self) -> Snapshot:
        """See `Policy.snapshot`."""
        plain = super().snapshot()
        state = self._state
        return Snapshot(
            kind=plain.kind,
            version=plain.version,
            arrays={
                **plain.arrays,
                "weights": state.weights,
                "rates": state.rates,
                "thresholds": state.thresholds,
            },
            manifest={**plain.manifest, "steps": state.steps},
        )

    def _charges(self, outcomes: OutcomeBatch) -> tuple[FloatArray, Int8Array, FloatArray]:
        """Loss, base and its probability, of the slates that show something."""
        base, chance = outcomes.base, outcomes.base_propensity
        if base is None or chance is None:
            raise ContextError("corral must be given base and base_propensity, got none")
        filled = outcomes.shown.any(axis=1)
        M = len(self.config.bases)
        _refuse("base", base, (base < 0) | (base >= M), f"within 0 and {M - 1}")
        # No draw of ours can be rarer, and a loss divided by less would ruin the weights.
        least = self.config.gamma / M
        possible = (chance >= least * (1.0 - _ROUNDING)) & (chance <= 1.0)
        rule = f"within gamma / bases = {least:g} and 1"
        _refuse("base_propensity", chance, ~possible, rule)
        low, high = self.config.reward_range
        rewards = slate_rewards(outcomes.rewards, outcomes.shown, mean=self.config.reward == "mean")
        slack = _ROUNDING * (high - low)
        outside = filled & ~((rewards >= low - slack) & (rewards <= high + slack))
        rule = f"within reward_range {low:g} and {high:g}"
        _refuse(f"{self.config.reward} reward of a slate", rewards, outside, rule)
        losses = (high - rewards[filled]) / (high - low)
        return losses, base[filled], chance[filled]


def slate_rewards(rewards: FloatArray, shown: BoolArray, *, mean: bool) -> FloatArray:
    """Sum or mean of the rewards of a slate's shown slots.

    Slots are added one by one, so that the bits of a slate do not depend on the other slates.

    Args:
        rewards: of each slot, `float64 [n, L]`.
        shown: which slots held an item, `bool [n, L]`.
        mean: whether to divide by the number of shown slots.

    Returns:
        `float64 [n]`; 0 for a slate that shows nothing.

    Example:
        >>> shown = np.array([[True, True, False]])
        >>> slate_rewards(np.array([[1.0, 2.0, 4.0]]), shown, mean=True).tolist()
        [1.5]
    """
    total = np.zeros(len(rewards))
    for slot in range(rewards.shape[1]):
        total += np.where(shown[:, slot], rewards[:, slot], 0.0)
    return total / np.maximum(shown.sum(axis=1), 1) if mean else total


def _refuse(name: str, values: AnyArray, bad: AnyArray, rule: str) -> None:
    if bad.any():
        row = int(np.argmax(bad))
        raise ContextError(f"{name} must be {rule}, got {values[row]} for slate {row}")
