"""Policies by the name of their kind, for configs and for snapshots on disk."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matinee_policies.base_policies import base_kinds
from matinee_policies.corral_policy import Corral, CorralConfig
from matinee_policies.epsilon_greedy import EpsilonGreedy, EpsilonGreedyConfig
from matinee_policies.errors import ConfigError, SnapshotError
from matinee_policies.lin_ucb import LinUCB, LinUCBConfig
from matinee_policies.mixture_policy import Mixture, MixtureConfig
from matinee_policies.plugins import build_custom_policy, is_plugin, restore_custom_policy
from matinee_policies.policy import Policy
from matinee_policies.score_order import ScoreOrder, ScoreOrderConfig
from matinee_policies.snapshot import Snapshot
from matinee_policies.softmax import Softmax, SoftmaxConfig
from matinee_policies.uniform import Uniform, UniformConfig

_Config = Mapping[str, Any]
_VOWPAL_WABBIT = "vowpal_wabbit"


def _new_vowpal_wabbit(config: _Config, dimension: int) -> Policy:
    # Imported when asked for: the package itself loads numpy and numba only.
    from matinee_policies.vowpal_wabbit import VowpalWabbit, VowpalWabbitConfig

    return VowpalWabbit(VowpalWabbitConfig.from_json(config), dimension=dimension)


def _restored_vowpal_wabbit(snapshot: Snapshot) -> Policy:
    from matinee_policies.vowpal_wabbit import VowpalWabbit

    return VowpalWabbit.from_snapshot(snapshot)


_BUILDERS: dict[str, Callable[[_Config, int], Policy]] = {
    Uniform.name: lambda config, _: Uniform(UniformConfig.from_json(config)),
    ScoreOrder.name: lambda config, _: ScoreOrder(ScoreOrderConfig.from_json(config)),
    Softmax.name: lambda config, _: Softmax(SoftmaxConfig.from_json(config)),
    EpsilonGreedy.name: lambda config, dimension: EpsilonGreedy(
        EpsilonGreedyConfig.from_json(config), dimension=dimension
    ),
    LinUCB.name: lambda config, dimension: LinUCB(
        LinUCBConfig.from_json(config), dimension=dimension
    ),
    _VOWPAL_WABBIT: _new_vowpal_wabbit,
    Mixture.name: lambda config, dimension: Mixture(
        MixtureConfig.from_json(config), dimension=dimension
    ),
    Corral.name: lambda config, dimension: Corral(
        CorralConfig.from_json(config), dimension=dimension
    ),
}

_RESTORERS: dict[str, Callable[[Snapshot], Policy]] = {
    **{
        policy.name: policy.from_snapshot
        for policy in (Uniform, ScoreOrder, Softmax, EpsilonGreedy, LinUCB)
    },
    _VOWPAL_WABBIT: _restored_vowpal_wabbit,
}

_RESTORERS_OF_BASES: dict[str, Callable[[Snapshot, Sequence[str]], Policy]] = {
    Mixture.name: lambda snapshot, kinds: Mixture.from_snapshot(snapshot, kinds=kinds),
    Corral.name: lambda snapshot, kinds: Corral.from_snapshot(snapshot, kinds=kinds),
}

POLICY_KINDS = tuple(_BUILDERS)
"""Every kind that `build_policy` knows."""


def build_policy(kind: str, config: _Config, *, dimension: int) -> Policy:
    """A new policy that has learned nothing.

    Args:
        kind: one of `POLICY_KINDS`, or `module:Class` for a class of the user's own.
        config: settings of that kind; missing ones take their defaults.
        dimension: of the features; policies that read none ignore it.

    Raises:
        ConfigError: on an unknown kind or setting, or a value out of range.

    Example:
        >>> build_policy("score_order", {"epsilon": 0.1}, dimension=11).config
        ScoreOrderConfig(epsilon=0.1, diversity=0.0)
    """
    if is_plugin(kind):
        return build_custom_policy(kind, config, dimension=dimension)
    if kind not in _BUILDERS:
        raise ConfigError(f"policy must be one of {', '.join(POLICY_KINDS)}, got {kind!r}")
    return _BUILDERS[kind](config, dimension)


def restore_policy(
    snapshot: Snapshot, *, kind: str | None = None, config: _Config | None = None
) -> Policy:
    """The policy that gave a snapshot.

    Args:
        snapshot: of any kind in `POLICY_KINDS`, or of the class that `kind` names.
        kind: the kind in the user's config; only a `module:Class` matters, since no class is
            imported because a snapshot says so.
        config: the settings in the user's config; of a mixture they name the classes of its bases.

    Raises:
        SnapshotError: on an unknown kind or version, or an incomplete state.
        ConfigError: if the class that `kind` names is missing or incomplete.
    """
    if kind is not None and is_plugin(kind):
        return restore_custom_policy(kind, snapshot)
    if snapshot.kind in _RESTORERS_OF_BASES:
        return _RESTORERS_OF_BASES[snapshot.kind](snapshot, base_kinds(config))
    if snapshot.kind not in _RESTORERS:
        kinds = ", ".join(POLICY_KINDS)
        raise SnapshotError(f"snapshot must be of kind {kinds}, got {snapshot.kind!r}")
    return _RESTORERS[snapshot.kind](snapshot)
