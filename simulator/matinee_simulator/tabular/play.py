"""Let a contextual policy play in the tabular world, with the exact regret of each choice.

The six actions are the candidates of a page with one slot. Unlike in the large world the policy
sees the user's state, so what it gives up is its own doing: a policy that learns the click of the
step alone approaches the myopic one, whose distance to the optimum is known.
"""

from dataclasses import dataclass, fields

import numpy as np

from matinee_policies.arrays import (
    AnyArray,
    BoolArray,
    Float32Array,
    FloatArray,
    IndexArray,
    Int8Array,
    UInt8Array,
)
from matinee_policies.config import Config, check_range, check_whole
from matinee_policies.errors import ContextError
from matinee_policies.policy import Policy
from matinee_policies.records import SHARDS, ContextBatch, ItemTraits, OutcomeBatch, SlateBatch
from matinee_simulator.tabular.equations import NOTHING, SATISFIED, goodwill_values
from matinee_simulator.tabular.lifetimes import user_numbers
from matinee_simulator.tabular.model import TabularModel
from matinee_simulator.tabular.solve import Solution, value_iteration
from matinee_simulator.tabular.states import (
    ACTIONS,
    GONE,
    SATIATION_LEVELS,
    START,
    STATES,
    TOPICS,
    goodwill_of,
    satiation_of,
)
from matinee_simulator.tabular.step import fill_keys, step_tables, step_users, tabular_streams

FEATURES = (
    *(f"action_{action}" for action in range(ACTIONS)),
    "satiation_with_topic",
    "goodwill",
)
"""Names of the features of a candidate: one of each action, h_g / 3 and S."""

_SCORE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayConfig(Config):
    """How long to play, and what the policy learns from.

    Raises:
        ConfigError: on a value outside its range.
    """

    steps: int = 500
    """Items shown to each user."""
    barrier: int = 10
    """Steps between two updates of the policy."""
    satisfaction_weight: float = 0.0
    """w: the reward is (1 - w) 1[click] + w 1[satisfying click], in [0, 1]."""

    def __post_init__(self) -> None:
        check_whole("steps", self.steps, low=1)
        check_whole("barrier", self.barrier, low=1)
        check_range("satisfaction_weight", self.satisfaction_weight, low=0.0, high=1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Play:
    """What happened, `T` steps of `n` users each.

    Attributes:
        states: before each step, `int32 [T, n]`.
        actions: shown, `int32 [T, n]`.
        propensities: of these actions, `float64 [T, n]`.
        clicks: `bool [T, n]`.
        rewards: what the policy learned from, `float64 [T, n]`.
        pseudo_regret: V*(s) - Q*(s, a), discounted clicks of the user's lifetime that the choice
            gave up, exact, `float64 [T, n]`.
        newcomers: whether the user of the row is new at this step, `bool [T, n]`.
    """

    states: IndexArray
    actions: IndexArray
    propensities: FloatArray
    clicks: BoolArray
    rewards: FloatArray
    pseudo_regret: FloatArray
    newcomers: BoolArray

    @property
    def regret_by_step(self) -> FloatArray:
        """Mean pseudo-regret of each step, `float64 [T]`."""
        return np.asarray(self.pseudo_regret.mean(axis=1))

    @property
    def regret_error_by_step(self) -> FloatArray:
        """Standard error over users of `regret_by_step`, `float64 [T]`; at least two users."""
        spread = self.pseudo_regret.std(axis=1, ddof=1)
        return np.asarray(spread / np.sqrt(self.pseudo_regret.shape[1]))


def play_policy(
    policy: Policy,
    model: TabularModel,
    users: AnyArray,
    *,
    seed: int,
    config: PlayConfig | None = None,
    solution: Solution | None = None,
) -> Play:
    """Let a policy choose for many users, who share what it learns.

    A user who is gone makes room for a new one, so that each step has as many decisions. The policy
    learns every `barrier` steps, from rows in the order (step, user).

    Args:
        policy: takes features of dimension `len(FEATURES)`.
        model: the world.
        users: their numbers, `[n]`; a number means the same luck whoever else plays.
        seed: of the users' luck and the policy's draws.
        config: defaults if `None`.
        solution: the optimum of `model`; solved for if `None`.

    Raises:
        ContextError: if `users` are no numbers, or the policy shows nothing.

    Example:
        >>> from matinee_policies.registry import build_policy
        >>> model = TabularModel.from_parameters()
        >>> uniform = build_policy("uniform", {}, dimension=len(FEATURES))
        >>> play = play_policy(uniform, model, np.arange(50), seed=1, config=PlayConfig(steps=20))
        >>> play.pseudo_regret.shape, bool((play.pseudo_regret >= 0).all())
        ((20, 50), True)
    """
    config = config or PlayConfig()
    solution = solution or value_iteration(model)
    numbers = user_numbers(users)
    tables, streams = step_tables(model), tabular_streams(seed)
    shards = (numbers % np.uint64(SHARDS)).astype(np.uint8)
    log = _Log.empty(config.steps, numbers.size)
    waiting: list[_Step] = []
    states = np.full(numbers.size, START, dtype=np.int32)
    newcomers = np.ones(numbers.size, dtype=np.bool_)
    outcomes = np.empty(numbers.size, dtype=np.int8)
    following = np.empty(numbers.size, dtype=np.int32)
    keys = np.empty(numbers.size, dtype=np.uint64)
    for step in range(config.steps):
        contexts = contexts_of(states)
        fill_keys(streams.action, numbers, np.uint64(step), keys)
        slates = policy.decide(contexts, slots=1, keys=keys)
        actions = _shown(policy, slates)
        step_users(tables, streams, numbers, np.uint64(step), states, actions, outcomes, following)
        rewards = rewards_of(outcomes, satisfaction_weight=config.satisfaction_weight)
        log.states[step], log.newcomers[step] = states, newcomers
        log.actions[step], log.propensities[step] = actions, slates.propensities[:, 0]
        log.clicks[step], log.rewards[step] = outcomes != NOTHING, rewards
        if policy.learns:
            shown = np.take_along_axis(contexts.features, slates.positions[:, :, None], axis=1)
            waiting.append(_Step(step, shown, rewards, slates))
        if waiting and (step + 1) % config.barrier == 0:
            policy.learn(_outcomes(waiting, shards))
            waiting = []
        newcomers = following == GONE
        states = np.where(newcomers, np.int32(START), following)
    regret = solution.regrets[log.states, log.actions]
    return Play(pseudo_regret=regret, **{f.name: getattr(log, f.name) for f in fields(log)})


def contexts_of(states: IndexArray) -> ContextBatch:
    """The six actions as candidates for users in the given states, `int32 [n]`."""
    n = states.size
    return ContextBatch(
        candidates=np.tile(np.arange(ACTIONS, dtype=np.int32), (n, 1)),
        features=_FEATURES_OF_STATES[states],
        scores=np.full((n, ACTIONS), _SCORE, dtype=np.float32),
        embeddings=np.eye(ACTIONS, dtype=np.float32),
        traits=_TRAITS,
    )


def rewards_of(outcomes: Int8Array, *, satisfaction_weight: float) -> FloatArray:
    """(1 - w) 1[click] + w 1[satisfying click] of outcomes `int8 [n]`, `float64 [n]`."""
    clicked, satisfied = outcomes != NOTHING, outcomes == SATISFIED
    return np.asarray((1.0 - satisfaction_weight) * clicked + satisfaction_weight * satisfied)


def _features_of_states() -> Float32Array:
    """Features of each action in each state, `float32 [S, A, d]`; see `FEATURES`."""
    states, actions = np.arange(STATES, dtype=np.int32), np.arange(ACTIONS)
    out = np.zeros((STATES, ACTIONS, len(FEATURES)), dtype=np.float32)
    out[:, actions, actions] = 1.0
    out[:, :, ACTIONS] = satiation_of(states)[:, actions // 2] / (SATIATION_LEVELS - 1)
    out[:, :, ACTIONS + 1] = goodwill_values()[goodwill_of(states)][:, None]
    return out


_FEATURES_OF_STATES = _features_of_states()

_TRAITS = ItemTraits(
    aspects=np.repeat(np.eye(TOPICS, dtype=np.float32), 2, axis=0),
    creators=np.full(ACTIONS, -1, dtype=np.int32),
)


@dataclass(frozen=True, slots=True, eq=False)
class _Log:
    """Arrays of `Play` that are filled step by step."""

    states: IndexArray
    actions: IndexArray
    propensities: FloatArray
    clicks: BoolArray
    rewards: FloatArray
    newcomers: BoolArray

    @classmethod
    def empty(cls, steps: int, users: int) -> "_Log":
        shape = (steps, users)
        return cls(
            states=np.empty(shape, dtype=np.int32),
            actions=np.empty(shape, dtype=np.int32),
            propensities=np.empty(shape),
            clicks=np.empty(shape, dtype=np.bool_),
            rewards=np.empty(shape),
            newcomers=np.empty(shape, dtype=np.bool_),
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """One step that waits to be learned."""

    step: int
    features: Float32Array
    rewards: FloatArray
    slates: SlateBatch


def _shown(policy: Policy, slates: SlateBatch) -> IndexArray:
    actions = np.ascontiguousarray(slates.items[:, 0])
    if bool((actions < 0).any()):
        raise ContextError(f"policy {policy.name} must show an item to each user, got none")
    return actions


def _outcomes(waiting: list[_Step], shards: UInt8Array) -> OutcomeBatch:
    rewards = np.concatenate([part.rewards for part in waiting])[:, None]
    slates = [part.slates for part in waiting]
    mixed = slates[0].base is not None
    return OutcomeBatch(
        component="engagement",
        first=True,
        features=np.concatenate([part.features for part in waiting]),
        rewards=rewards,
        shown=np.ones(rewards.shape, dtype=np.bool_),
        propensities=np.concatenate([slate.propensities for slate in slates]),
        shards=np.tile(shards, len(waiting)),
        items=np.concatenate([slate.items for slate in slates]),
        days=np.repeat(np.array([part.step for part in waiting], dtype=np.int64), shards.size),
        base=np.concatenate([_given(slate.base) for slate in slates]) if mixed else None,
        base_propensity=(
            np.concatenate([_given(slate.base_propensity) for slate in slates]) if mixed else None
        ),
    )


def _given(part: AnyArray | None) -> AnyArray:
    if part is None:
        raise ContextError("base and base_propensity must come with every slate of a mixture")
    return part
