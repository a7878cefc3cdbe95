"""Policies by the name of their kind, for configs and for snapshots on disk."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from matinee_policies.base_policies import base_kinds
from matinee_policies.config import Config
from matinee_policies.errors import ConfigError, SnapshotError
from matinee_policies.plugins import build_custom_policy, is_plugin, restore_custom_policy
from matinee_policies.policy import Policy
from matinee_policies.snapshot import Snapshot
from matinee_policies.snapshot_origin import without_notes

_Config = Mapping[str, Any]
_Types = tuple[Any, type[Config]]


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of policy.

    Attributes:
        module: of the policy's class; imported when the kind is asked for.
        policy: name of the class.
        config: name of its config's class, to be had from the same module.
        sized: whether the class takes the dimension of the features.
        has_bases: whether it is made of other policies, whose classes the user may have written.
    """

    module: str
    policy: str
    config: str
    sized: bool = True
    has_bases: bool = False

    def types(self) -> _Types:
        """The policy's class and that of its config."""
        module = import_module(f"matinee_policies.{self.module}")
        return getattr(module, self.policy), getattr(module, self.config)


_KINDS: Mapping[str, _Kind] = {
    "uniform": _Kind("uniform", "Uniform", "UniformConfig", sized=False),
    "score_order": _Kind("score_order", "ScoreOrder", "ScoreOrderConfig", sized=False),
    "softmax": _Kind("softmax", "Softmax", "SoftmaxConfig", sized=False),
    "new_items": _Kind("new_items", "NewItems", "NewItemsConfig", sized=False),
    "epsilon_greedy": _Kind("epsilon_greedy", "EpsilonGreedy", "EpsilonGreedyConfig"),
    "lin_ucb": _Kind("lin_ucb", "LinUCB", "LinUCBConfig"),
    "thompson": _Kind("thompson", "Thompson", "ThompsonConfig"),
    "square_cb": _Kind("square_cb", "SquareCB", "SquareCBConfig"),
    "linear_softmax": _Kind("linear_softmax", "LinearSoftmax", "LinearSoftmaxConfig"),
    "logistic": _Kind("logistic_bandit", "LogisticBandit", "LogisticConfig"),
    "discounted_lin_ucb": _Kind("discounted_lin_ucb", "DiscountedLinUCB", "DiscountedLinUCBConfig"),
    "sliding_window_lin_ucb": _Kind(
        "sliding_window_lin_ucb", "SlidingWindowLinUCB", "SlidingWindowLinUCBConfig"
    ),
    "vowpal_wabbit": _Kind("vowpal_wabbit", "VowpalWabbit", "VowpalWabbitConfig"),
    "vowpal_wabbit_per_slot": _Kind(
        "vw_per_slot", "VowpalWabbitPerSlot", "VowpalWabbitPerSlotConfig"
    ),
    "mixture": _Kind("mixture_policy", "Mixture", "MixtureConfig", has_bases=True),
    "corral": _Kind("corral_policy", "Corral", "CorralConfig", has_bases=True),
}

POLICY_KINDS = tuple(_KINDS)
"""Every kind that `build_policy` knows."""


def policy_types(kind: str) -> _Types:
    """Class of a kind of policy, and that of its config.

    Args:
        kind: one of `POLICY_KINDS`.

    Raises:
        ConfigError: on any other word.
    """
    if kind not in _KINDS:
        raise ConfigError(f"policy must be one of {', '.join(POLICY_KINDS)}, got {kind!r}")
    return _KINDS[kind].types()


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
        ScoreOrderConfig(diversity=0.0, caps=Caps(aspect=0, creator=0), epsilon=0.1)
    """
    if is_plugin(kind):
        return build_custom_policy(kind, config, dimension=dimension)
    policy, config_type = policy_types(kind)
    size = {"dimension": dimension} if _KINDS[kind].sized else {}
    built: Policy = policy(config_type.from_json(config), **size)
    return built


def restore_policy(
    snapshot: Snapshot, *, kind: str | None = None, config: _Config | None = None
) -> Policy:
    """The policy that gave a snapshot.

    Args:
        snapshot: of any kind in `POLICY_KINDS`, or of the class that `kind` names; what a
            platform noted in it is not for the policy.
        kind: the kind in the user's config, which the snapshot must have; no class is imported
            because a snapshot says so.
        config: the settings in the user's config; of a mixture they name the classes of its bases.

    Raises:
        SnapshotError: on an unknown kind or version, another kind, or an incomplete state.
        ConfigError: if the class that `kind` names is missing or incomplete.
    """
    snapshot = without_notes(snapshot)
    if kind is not None and is_plugin(kind):
        return restore_custom_policy(kind, snapshot)
    if snapshot.kind not in _KINDS:
        kinds = ", ".join(POLICY_KINDS)
        raise SnapshotError(f"snapshot must be of kind {kinds}, got {snapshot.kind!r}")
    if kind is not None and kind != snapshot.kind:
        raise SnapshotError(f"snapshot must be of kind {kind!r}, got {snapshot.kind!r}")
    entry = _KINDS[snapshot.kind]
    options = {"kinds": base_kinds(config)} if entry.has_bases else {}
    restored: Policy = entry.types()[0].from_snapshot(snapshot, **options)
    return restored
