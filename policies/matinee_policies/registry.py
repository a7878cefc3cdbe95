"""Policies by the name of their kind, for configs and for snapshots on disk."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from matinee_policies.base_policies import base_kinds
from matinee_policies.config import Config
from matinee_policies.corral_policy import Corral, CorralConfig
from matinee_policies.discounted_lin_ucb import DiscountedLinUCB, DiscountedLinUCBConfig
from matinee_policies.epsilon_greedy import EpsilonGreedy, EpsilonGreedyConfig
from matinee_policies.errors import ConfigError, SnapshotError
from matinee_policies.lin_ucb import LinUCB, LinUCBConfig
from matinee_policies.linear_softmax import LinearSoftmax, LinearSoftmaxConfig
from matinee_policies.logistic_bandit import LogisticBandit, LogisticConfig
from matinee_policies.mixture_policy import Mixture, MixtureConfig
from matinee_policies.new_items import NewItems, NewItemsConfig
from matinee_policies.plugins import build_custom_policy, is_plugin, restore_custom_policy
from matinee_policies.policy import Policy
from matinee_policies.score_order import ScoreOrder, ScoreOrderConfig
from matinee_policies.sliding_window_lin_ucb import SlidingWindowLinUCB, SlidingWindowLinUCBConfig
from matinee_policies.snapshot import Snapshot
from matinee_policies.softmax import Softmax, SoftmaxConfig
from matinee_policies.square_cb import SquareCB, SquareCBConfig
from matinee_policies.thompson import Thompson, ThompsonConfig
from matinee_policies.uniform import Uniform, UniformConfig
from matinee_policies.warm_start import without_origin

_Config = Mapping[str, Any]
_Types = tuple[Any, type[Config]]


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of policy.

    Attributes:
        types: gives the policy's class and that of its config.
        sized: whether the class takes the dimension of the features.
        has_bases: whether it is made of other policies, whose classes the user may have written.
    """

    types: Callable[[], _Types]
    sized: bool = True
    has_bases: bool = False


def _vowpal_wabbit() -> _Types:
    # Imported when asked for: the package itself loads numpy and numba only.
    from matinee_policies.vowpal_wabbit import VowpalWabbit, VowpalWabbitConfig

    return VowpalWabbit, VowpalWabbitConfig


def _vowpal_wabbit_per_slot() -> _Types:
    from matinee_policies.vw_per_slot import VowpalWabbitPerSlot
    from matinee_policies.vw_per_slot_config import VowpalWabbitPerSlotConfig

    return VowpalWabbitPerSlot, VowpalWabbitPerSlotConfig


_KINDS: Mapping[str, _Kind] = {
    "uniform": _Kind(lambda: (Uniform, UniformConfig), sized=False),
    "score_order": _Kind(lambda: (ScoreOrder, ScoreOrderConfig), sized=False),
    "softmax": _Kind(lambda: (Softmax, SoftmaxConfig), sized=False),
    "new_items": _Kind(lambda: (NewItems, NewItemsConfig), sized=False),
    "epsilon_greedy": _Kind(lambda: (EpsilonGreedy, EpsilonGreedyConfig)),
    "lin_ucb": _Kind(lambda: (LinUCB, LinUCBConfig)),
    "thompson": _Kind(lambda: (Thompson, ThompsonConfig)),
    "square_cb": _Kind(lambda: (SquareCB, SquareCBConfig)),
    "linear_softmax": _Kind(lambda: (LinearSoftmax, LinearSoftmaxConfig)),
    "logistic": _Kind(lambda: (LogisticBandit, LogisticConfig)),
    "discounted_lin_ucb": _Kind(lambda: (DiscountedLinUCB, DiscountedLinUCBConfig)),
    "sliding_window_lin_ucb": _Kind(lambda: (SlidingWindowLinUCB, SlidingWindowLinUCBConfig)),
    "vowpal_wabbit": _Kind(_vowpal_wabbit),
    "vowpal_wabbit_per_slot": _Kind(_vowpal_wabbit_per_slot),
    "mixture": _Kind(lambda: (Mixture, MixtureConfig), has_bases=True),
    "corral": _Kind(lambda: (Corral, CorralConfig), has_bases=True),
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
        snapshot: of any kind in `POLICY_KINDS`, or of the class that `kind` names; a note of its
            origin is for people.
        kind: the kind in the user's config, which the snapshot must have; no class is imported
            because a snapshot says so.
        config: the settings in the user's config; of a mixture they name the classes of its bases.

    Raises:
        SnapshotError: on an unknown kind or version, another kind, or an incomplete state.
        ConfigError: if the class that `kind` names is missing or incomplete.
    """
    snapshot = without_origin(snapshot)
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
