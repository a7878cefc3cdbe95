"""The policies of which a mixture or a band is made: their settings, building, learning, states.

Which base decides, and with what probability, is not known here; see `mixture_policy.py`.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from matinee_policies.config import Config, check_range
from matinee_policies.diversity import Caps
from matinee_policies.errors import ConfigError, ContextError, MatineeError, SnapshotError
from matinee_policies.learning import Change, Prepares
from matinee_policies.plugins import is_plugin
from matinee_policies.policy import Policy
from matinee_policies.records import OutcomeBatch
from matinee_policies.snapshot import Snapshot

MOST_BASES = 16
MIXTURE_KINDS = ("mixture", "corral")
"""Kinds that are made of bases themselves, and cannot be one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BasePolicy(Config):
    """One policy among several that share an arm."""

    kind: str = "uniform"
    """As `build_policy` takes it: a kind of ours but a mixture, or `module:Class`."""

    policy: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Settings of that kind; missing ones take their defaults."""

    def __post_init__(self) -> None:
        if not isinstance(self.kind, str) or self.kind in MIXTURE_KINDS:
            raise ConfigError(
                f"kind of a base must be the name of a policy that is no mixture, got {self.kind!r}"
            )
        if not isinstance(self.policy, Mapping):
            raise ConfigError(f"policy of a base must be a mapping, got {self.policy!r}")
        try:
            # As JSON has them, so that settings that went through a file are equal.
            plain = json.loads(json.dumps(dict(self.policy), allow_nan=False, default=_as_json))
        except (TypeError, ValueError) as error:
            raise ConfigError(f"policy of a base must be JSON: {error}") from None
        object.__setattr__(self, "policy", plain)


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedBase(BasePolicy):
    """A base with a fixed share of the slates."""

    weight: float = 0.5
    """Probability that a slate is drawn by this base, above 0, below 1."""

    def __post_init__(self) -> None:
        BasePolicy.__post_init__(self)
        check_range("weight", self.weight, low=0, high=1, low_open=True, high_open=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class BasesConfig(Config):
    """Settings of a policy that is made of others."""

    bases: tuple[BasePolicy, ...] = ()
    """2 to 16 policies; their numbers are those of `SlateBatch.base`."""


B = TypeVar("B", bound=BasePolicy)


def bases_of(setting: object, base_type: type[B]) -> tuple[B, ...]:
    """The bases that a setting means.

    Args:
        setting: a list of 2 to 16 bases, each of that type or a mapping of its fields.
        base_type: `BasePolicy` or `WeightedBase`.

    Raises:
        ConfigError: on another number of them, or naming the base and what it breaks.
    """
    if not isinstance(setting, list | tuple) or not 2 <= len(setting) <= MOST_BASES:
        got = f"{len(setting)} of them" if isinstance(setting, list | tuple) else repr(setting)
        raise ConfigError(f"bases must be a list of 2 to {MOST_BASES} policies, got {got}")
    return tuple(_base_of(base, base_type, number) for number, base in enumerate(setting))


def base_kinds(config: object) -> tuple[str, ...]:
    """Kinds of the bases in the settings of a mixture as a user wrote them.

    Example:
        >>> base_kinds({"bases": [{"kind": "lin_ucb"}, {"kind": "shop.rerank:Fresh"}]})
        ('lin_ucb', 'shop.rerank:Fresh')
    """
    bases = config.get("bases") if isinstance(config, Mapping) else None
    listed = bases if isinstance(bases, list | tuple) else ()
    kinds = (base.get("kind") if isinstance(base, Mapping) else None for base in listed)
    return tuple(kind for kind in kinds if isinstance(kind, str))


def check_named(settings: Sequence[BasePolicy], kinds: Sequence[str]) -> None:
    """Refuse classes of a snapshot that a user's own config does not name.

    Args:
        settings: of each base, from a snapshot.
        kinds: kinds in the user's own config: no class is imported because a snapshot says so.

    Raises:
        SnapshotError: naming the class.
    """
    for base in settings:
        if is_plugin(base.kind) and base.kind not in kinds:
            raise SnapshotError(
                f"snapshot has a base of class {base.kind}, which the config in use must name; "
                f"it names {', '.join(kinds) or 'none'}"
            )


def build_bases(settings: Sequence[BasePolicy], *, dimension: int) -> list[Policy]:
    """New policies that have learned nothing.

    Args:
        settings: of each.
        dimension: of the features.

    Raises:
        ConfigError: naming the base whose settings are refused, or if their caps differ.
    """
    # The registry knows mixtures, so it is imported when asked for.
    from matinee_policies.registry import build_policy

    bases = []
    for number, base in enumerate(settings):
        with _told_of(number, base.kind):
            bases.append(build_policy(base.kind, base.policy, dimension=dimension))
    caps = [getattr(base.config, "caps", Caps()) for base in bases]
    for cap in caps:
        # Else one base would leave a slot empty that another fills, and no law holds for both.
        if cap != caps[0]:
            raise ConfigError(f"caps of all bases must be equal, got {caps[0]} and {cap}")
    return bases


def nested_snapshots(
    settings: Sequence[BasePolicy], bases: Sequence[Policy]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The states of the bases as the arrays and the manifest of one state.

    Returns:
        Arrays by `base<number>/<name>`, and the kind, version and manifest of each base.
    """
    arrays: dict[str, Any] = {}
    documents = []
    for number, (base, policy) in enumerate(zip(settings, bases, strict=True)):
        with _told_of(number, base.kind):
            state = policy.snapshot()
        arrays.update({f"{_prefix(number)}{name}": part for name, part in state.arrays.items()})
        documents.append(
            {"kind": state.kind, "version": state.version, "manifest": dict(state.manifest)}
        )
    return arrays, documents


def restore_bases(snapshot: Snapshot, settings: Sequence[BasePolicy]) -> list[Policy]:
    """The policies whose states `nested_snapshots` put into a snapshot.

    Args:
        snapshot: of the mixture.
        settings: of each base, from that snapshot, after `check_named`.

    Raises:
        SnapshotError: naming the base that cannot be restored.
    """
    documents = snapshot.manifest.get("bases")
    if not isinstance(documents, list) or len(documents) != len(settings):
        raise SnapshotError(f"snapshot must hold {len(settings)} bases, got {documents!r}")
    bases = []
    for number, (base, document) in enumerate(zip(settings, documents, strict=True)):
        with _told_of(number, base.kind):
            bases.append(_restored(base, _nested(snapshot, document, number)))
    return bases


def learn_all(settings: Sequence[BasePolicy], bases: list[Policy], outcomes: OutcomeBatch) -> None:
    """Let every base learn, or none.

    Most policies of ours work out what they learn before they put any of it in, so nothing has to
    be undone if a later base refuses. The others (classes of the user's own, Vowpal Wabbit) learn
    at once, and those that have learned go back to a snapshot if a later one refuses.

    Args:
        settings: of each base.
        bases: the policies; replaced in place by their former states on a failure.
        outcomes: the same for all.

    Raises:
        ContextError: if a base refuses the outcomes.
    """
    changes: list[Change] = []
    at_once: list[int] = []
    for number, base in enumerate(bases):
        if is_plugin(settings[number].kind) or not isinstance(base, Prepares):
            at_once.append(number)
            continue
        with _told_of(number, settings[number].kind):
            changes.append(base.prepared(outcomes))
    before: dict[int, Snapshot] = {}
    try:
        for number in at_once:
            with _told_of(number, settings[number].kind):
                # The last one leaves its state alone by itself.
                if number != at_once[-1]:
                    before[number] = bases[number].snapshot()
                bases[number].learn(outcomes)
    except Exception:
        for number, state in before.items():
            bases[number] = _restored(settings[number], state)
        raise
    for change in changes:
        change.take()


@contextmanager
def _told_of(number: int, kind: str) -> Iterator[None]:
    """Say in every error which base it comes from."""
    try:
        yield
    except MatineeError as error:
        kinds = (ContextError, SnapshotError)
        known = next((known for known in kinds if isinstance(error, known)), ConfigError)
        raise known(f"base {number} ({kind}): {error}") from error


def _as_json(value: object) -> object:
    if isinstance(value, Config):
        return value.to_json()
    raise TypeError(f"got {value!r}")


def _base_of(setting: object, base_type: type[B], number: int) -> B:
    if isinstance(setting, base_type):
        return setting
    if not isinstance(setting, Mapping):
        raise ConfigError(f"base {number} must be a mapping with a kind, got {setting!r}")
    if "kind" not in setting:
        raise ConfigError(f"base {number} must have a kind, got {dict(setting)!r}")
    try:
        return base_type.from_json(setting)
    except ConfigError as error:
        raise ConfigError(f"base {number}: {error}") from None


def _prefix(number: int) -> str:
    return f"base{number}/"


def _nested(snapshot: Snapshot, document: object, number: int) -> Snapshot:
    if not isinstance(document, dict) or set(document) != {"kind", "version", "manifest"}:
        raise SnapshotError(f"it must have kind, version and manifest, got {document!r}")
    prefix = _prefix(number)
    arrays = {
        name.removeprefix(prefix): part
        for name, part in snapshot.arrays.items()
        if name.startswith(prefix)
    }
    return Snapshot(arrays=arrays, **document)


def _restored(base: BasePolicy, state: Snapshot) -> Policy:
    from matinee_policies.registry import restore_policy

    if not is_plugin(base.kind) and state.kind != base.kind:
        raise SnapshotError(f"its state must be of kind {base.kind!r}, got {state.kind!r}")
    policy = restore_policy(state, kind=base.kind)
    if policy.config != type(policy.config).from_json(base.policy):
        raise SnapshotError(f"its state must have the settings {base.policy}, got {policy.config}")
    return policy
