"""Contextual-bandit policies for recommendation slates, with exact propensities.

Importing a name loads numpy and numba only, and importing the package alone neither: names come
from their modules when they are first asked for. A policy takes a batch of decisions as plain
arrays and gives slates with the probability of each choice:

    >>> import numpy as np
    >>> from matinee_policies import PAD, ContextBatch, LinUCB, LinUCBConfig, OutcomeBatch
    >>> rng = np.random.default_rng(0)
    >>> embeddings = rng.normal(size=(50, 8)).astype(np.float32)
    >>> embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    >>> contexts = ContextBatch(
    ...     candidates=np.array([[4, 8, 15, 16, 23], [42, 7, 3, PAD, PAD]], dtype=np.int32),
    ...     features=rng.random((2, 5, 3), dtype=np.float32),
    ...     scores=rng.random((2, 5), dtype=np.float32),
    ...     embeddings=embeddings,
    ... )
    >>> policy = LinUCB(LinUCBConfig(alpha=0.5, diversity=0.1), dimension=3)
    >>> slates = policy.decide(contexts, slots=3, keys=np.array([11, 12], dtype=np.uint64))
    >>> slates.items.shape
    (2, 3)
    >>> bool((policy.propensities(contexts, slates.positions) == slates.propensities).all())
    True

Once the window of a reward component has closed, the policy learns from it:

    >>> shown = np.take_along_axis(contexts.features, slates.positions[:, :, None], axis=1)
    >>> policy.learn(
    ...     OutcomeBatch(
    ...         component="engagement",
    ...         first=True,
    ...         features=shown,
    ...         rewards=np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]),
    ...         shown=slates.items != PAD,
    ...         propensities=slates.propensities,
    ...         shards=np.array([5, 60], dtype=np.uint8),
    ...     )
    ... )
    >>> policy.theta.shape
    (3,)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matinee_policies.config import Config
    from matinee_policies.corral_policy import Corral, CorralConfig
    from matinee_policies.discounted_lin_ucb import DiscountedLinUCB, DiscountedLinUCBConfig
    from matinee_policies.diversity import DPP, MMR, Calibrated, Caps, Diversity, SlateConfig, XQuAD
    from matinee_policies.epsilon_greedy import EpsilonGreedy, EpsilonGreedyConfig
    from matinee_policies.errors import (
        ConfigError,
        ContextError,
        DataError,
        MatineeError,
        SnapshotError,
    )
    from matinee_policies.greedy_slates import greedy_dpp, greedy_mmr
    from matinee_policies.lin_ucb import LinUCB, LinUCBConfig
    from matinee_policies.linear_softmax import LinearSoftmax, LinearSoftmaxConfig
    from matinee_policies.logistic_bandit import LogisticBandit, LogisticConfig
    from matinee_policies.mixture_policy import Mixture, MixtureConfig
    from matinee_policies.new_items import NewItems, NewItemsConfig
    from matinee_policies.policy import Policy
    from matinee_policies.records import (
        PAD,
        SHARDS,
        ContextBatch,
        ItemTraits,
        OutcomeBatch,
        SlateBatch,
    )
    from matinee_policies.registry import POLICY_KINDS, build_policy, restore_policy
    from matinee_policies.rules import (
        Rule,
        epsilon_rule,
        inverse_gap_rule,
        softmax_rule,
        upper_bound_rule,
        votes_rule,
    )
    from matinee_policies.score_order import ScoreOrder, ScoreOrderConfig
    from matinee_policies.sliding_window_lin_ucb import (
        SlidingWindowLinUCB,
        SlidingWindowLinUCBConfig,
    )
    from matinee_policies.snapshot import Snapshot
    from matinee_policies.softmax import Softmax, SoftmaxConfig
    from matinee_policies.square_cb import SquareCB, SquareCBConfig
    from matinee_policies.thompson import Thompson, ThompsonConfig
    from matinee_policies.uniform import Uniform, UniformConfig
    from matinee_policies.value_policy import ValuePolicy, config_of

__all__ = [
    "DPP",
    "MMR",
    "PAD",
    "POLICY_KINDS",
    "SHARDS",
    "Calibrated",
    "Caps",
    "Config",
    "ConfigError",
    "ContextBatch",
    "ContextError",
    "Corral",
    "CorralConfig",
    "DataError",
    "DiscountedLinUCB",
    "DiscountedLinUCBConfig",
    "Diversity",
    "EpsilonGreedy",
    "EpsilonGreedyConfig",
    "ItemTraits",
    "LinUCB",
    "LinUCBConfig",
    "LinearSoftmax",
    "LinearSoftmaxConfig",
    "LogisticBandit",
    "LogisticConfig",
    "MatineeError",
    "Mixture",
    "MixtureConfig",
    "NewItems",
    "NewItemsConfig",
    "OutcomeBatch",
    "Policy",
    "Rule",
    "ScoreOrder",
    "ScoreOrderConfig",
    "SlateBatch",
    "SlateConfig",
    "SlidingWindowLinUCB",
    "SlidingWindowLinUCBConfig",
    "Snapshot",
    "SnapshotError",
    "Softmax",
    "SoftmaxConfig",
    "SquareCB",
    "SquareCBConfig",
    "Thompson",
    "ThompsonConfig",
    "Uniform",
    "UniformConfig",
    "ValuePolicy",
    "XQuAD",
    "build_policy",
    "config_of",
    "epsilon_rule",
    "greedy_dpp",
    "greedy_mmr",
    "inverse_gap_rule",
    "restore_policy",
    "softmax_rule",
    "upper_bound_rule",
    "votes_rule",
]

_HOMES = {
    "config": "Config",
    "corral_policy": "Corral CorralConfig",
    "discounted_lin_ucb": "DiscountedLinUCB DiscountedLinUCBConfig",
    "diversity": "Calibrated Caps DPP Diversity MMR SlateConfig XQuAD",
    "epsilon_greedy": "EpsilonGreedy EpsilonGreedyConfig",
    "errors": "ConfigError ContextError DataError MatineeError SnapshotError",
    "greedy_slates": "greedy_dpp greedy_mmr",
    "lin_ucb": "LinUCB LinUCBConfig",
    "linear_softmax": "LinearSoftmax LinearSoftmaxConfig",
    "logistic_bandit": "LogisticBandit LogisticConfig",
    "mixture_policy": "Mixture MixtureConfig",
    "new_items": "NewItems NewItemsConfig",
    "policy": "Policy",
    "records": "ContextBatch ItemTraits OutcomeBatch PAD SHARDS SlateBatch",
    "registry": "POLICY_KINDS build_policy restore_policy",
    "rules": "Rule epsilon_rule inverse_gap_rule softmax_rule upper_bound_rule votes_rule",
    "score_order": "ScoreOrder ScoreOrderConfig",
    "sliding_window_lin_ucb": "SlidingWindowLinUCB SlidingWindowLinUCBConfig",
    "snapshot": "Snapshot",
    "softmax": "Softmax SoftmaxConfig",
    "square_cb": "SquareCB SquareCBConfig",
    "thompson": "Thompson ThompsonConfig",
    "uniform": "Uniform UniformConfig",
    "value_policy": "ValuePolicy config_of",
}
"""Public names by the module that they come from."""

_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        home = _HOME_OF.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{home}"), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
