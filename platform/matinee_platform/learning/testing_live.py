"""A small live arm with made-up traffic, and stores in memory, for tests of learning and replay."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from matinee_platform.clock import Clock
from matinee_platform.context_builder import ContextBuilder
from matinee_platform.decision_keys import decision_keys
from matinee_platform.learning.learning_arm import LearningArm
from matinee_platform.learning.live_contexts import CatalogueContexts
from matinee_platform.learning.live_rows import live_rows
from matinee_platform.log_rows import COMPONENTS, WHOLE_PAGE, pack_state
from matinee_platform.reward_settings import RewardSettings
from matinee_platform.storage.errors import LeaseLostError
from matinee_platform.storage.records import (
    Barrier,
    DecisionRecord,
    LoggedDecision,
    RewardRecord,
    ServedBy,
)
from matinee_policies.errors import SnapshotError
from matinee_policies.features import FEATURE_NAMES, FEATURE_VERSION, ItemFeatures, UnitStateBatch
from matinee_policies.policy import Policy, reads_features
from matinee_policies.records import PAD, ItemTraits
from matinee_policies.registry import build_policy
from matinee_policies.snapshot import Snapshot

ITEMS, GENRES = 40, 5
CANDIDATES, SLOTS = 12, 4
SECRET = bytes(range(16))
WINDOWS_MS = (30_000, 30_000, 120_000, 300_000)
REWARDS = RewardSettings.model_validate(
    {"rating": {"weight": 0.2}, "return_visit": {"weight": 0.1}, "engagement": {"weight": 0.7}}
)


def example_builder(seed: int = 0) -> ContextBuilder:
    """Contexts over a made-up catalogue of `ITEMS` items."""
    rng = np.random.default_rng(seed)

    def unit_rows(columns: int) -> Any:
        rows = rng.random((ITEMS, columns))
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    aspects = rng.random((ITEMS, GENRES))
    return ContextBuilder(
        ItemFeatures(
            popularity=rng.random(ITEMS).astype(np.float32),
            popularity_residual=rng.uniform(-1, 1, ITEMS).astype(np.float32),
            novelty=rng.random(ITEMS).astype(np.float32),
            genres=unit_rows(GENRES),
            embeddings=unit_rows(6),
        ),
        ItemTraits(
            (aspects / aspects.sum(axis=1, keepdims=True)).astype(np.float32),
            rng.integers(-1, 6, ITEMS).astype(np.int32),
        ),
    )


def example_arm(
    kind: str = "lin_ucb", config: Mapping[str, Any] | None = None, **changes: Any
) -> LearningArm:
    """An arm of `kind` that has learned nothing; `changes` replace fields of it."""
    settings = dict(config or {})
    policy = build_policy(kind, settings, dimension=len(FEATURE_NAMES))
    fields: dict[str, Any] = {
        "experiment": "home",
        "name": "new",
        "policy": {"kind": kind, **settings},
        "genesis": policy.snapshot(),
        "contexts": CatalogueContexts(example_builder()),
        "slots": SLOTS,
        "rewards": REWARDS,
        "windows_ms": WINDOWS_MS,
        "secret": SECRET,
    }
    return LearningArm(**(fields | changes))


class ExampleTraffic:
    """Makes decisions of an arm, and rewards of them, from a seed.

    Args:
        arm: whose policy decides, over a catalogue.
        clock: tells the server's time.
        seed: any integer.
    """

    def __init__(self, arm: LearningArm, *, clock: Clock, seed: int = 0) -> None:
        self.arm, self.clock = arm, clock
        self.rng = np.random.default_rng(seed)
        self.version = 0
        self.policy: Policy = arm.restored(arm.genesis)
        self.made: list[DecisionRecord] = []
        self._rewards = 0

    def swap(self, version: int, snapshot: Snapshot) -> None:
        """Decide in another state from now on."""
        self.version, self.policy = version, self.arm.restored(snapshot)

    def decide(self, n: int) -> list[DecisionRecord]:
        """Decide `n` slates together; some have fewer candidates, a few are a fallback's."""
        drafts = [self._draft() for _ in range(n)]
        rows = live_rows([LoggedDecision(0, draft) for draft in drafts])
        # All of one width, as a service decides them that has one for its arm.
        contexts = self.arm.contexts.contexts(rows, with_features=reads_features(self.policy))
        slates = self.policy.decide(
            contexts, slots=self.arm.slots, keys=decision_keys(self.arm.secret, rows.ids)
        )
        full = contexts.features
        if not full.shape[2]:
            full = self.arm.contexts.contexts(rows).features
        at = slates.positions
        items = np.take_along_axis(rows.candidates, np.maximum(at, 0), axis=1)
        items[at == PAD] = PAD
        records = []
        for row, draft in enumerate(drafts):
            chosen: dict[str, Any] = {
                "slate": items[row].tobytes(),
                "propensities": slates.propensities[row].tobytes(),
            }
            if slates.base is not None and slates.base_propensity is not None:
                chosen["base"] = int(slates.base[row])
                chosen["base_propensity"] = float(slates.base_propensity[row])
            if draft.features is None and draft.decision_id % 10 == 0:
                chosen["features"] = full[row, : len(draft.candidates) // 4].tobytes()
            if self.arm.learning == "apprentice" or self.rng.random() < 0.05:
                apprentice = self.arm.learning == "apprentice"
                chosen = {
                    "slate": draft.candidates[: 4 * self.arm.slots],
                    "propensities": np.ones(self.arm.slots).tobytes(),
                    "served_by": ServedBy.DEFAULT if apprentice else ServedBy.FALLBACK,
                }
            records.append(replace(draft, **chosen))
        self.made += records
        return records

    def rewards(self, n: int) -> list[RewardRecord]:
        """Rewards of `n` decisions: of old and new ones, doubled, of empty slots, of none."""
        records = []
        for _ in range(n):
            old = int(self.rng.integers(max(1, len(self.made))))
            recent = max(0, len(self.made) - 1 - int(self.rng.integers(20)))
            place = old if self.rng.random() < 0.3 else recent
            known = bool(self.made) and self.rng.random() < 0.95
            decision_id = self.made[place].decision_id if known else int(self.rng.integers(2**62))
            component = int(self.rng.integers(len(COMPONENTS)))
            whole = COMPONENTS[component] == "return_visit"
            slot = WHOLE_PAGE if whole else int(self.rng.integers(SLOTS + 1))
            records.append(self.reward(decision_id, component=component, slot=slot))
        return records

    def reward(self, decision_id: int, *, component: int, slot: int) -> RewardRecord:
        """One reward that the server receives now."""
        self._rewards += 1
        value = {"watch": float(self.rng.random()), "rating": float(self.rng.integers(1, 6))}
        return RewardRecord(
            reward_key=self._rewards.to_bytes(16, "little"),
            body_digest=bytes(16),
            decision_id=decision_id,
            component=component,
            slot=slot,
            value=value.get(COMPONENTS[component], 1.0),
            received_at=self.clock.now_ms(),
        )

    def _draft(self) -> DecisionRecord:
        rng = self.rng
        size = CANDIDATES if rng.random() < 0.8 else int(rng.integers(SLOTS, CANDIDATES))
        state = UnitStateBatch(
            genre_history=rng.random((1, GENRES)).astype(np.float32),
            genre_exposure=rng.random((1, GENRES)).astype(np.float32),
            last_watched=rng.integers(-1, ITEMS, 1).astype(np.int32),
            activity=rng.integers(0, 9, 1).astype(np.float32),
            days_since_visit=rng.integers(-1, 9, 1).astype(np.float32),
        )
        candidates = rng.permutation(ITEMS)[:size].astype(np.int32)
        given = not isinstance(self.arm.contexts, CatalogueContexts)
        features = rng.normal(size=(size, self.arm.contexts.dimension)).astype(np.float32)
        return DecisionRecord(
            decision_id=int(rng.integers(2**64, dtype=np.uint64)),
            body_digest=bytes(16),
            experiment=self.arm.experiment,
            arm=self.arm.name,
            unit=int(rng.integers(2**64, dtype=np.uint64)),
            bucket=int(rng.integers(10_000)),
            decided_at=self.clock.now_ms(),
            page=0,
            snapshot=self.version,
            feature_version=0 if given else FEATURE_VERSION,
            catalogue_version=_catalogue(self.arm),
            served_by=ServedBy.POLICY,
            last_watched=-1 if given else int(state.last_watched[0]),
            unit_state=b"" if given else pack_state(state)[0].tobytes(),
            candidates=candidates.tobytes(),
            scores=rng.uniform(0.01, 0.99, size).astype(np.float32).tobytes(),
            slate=np.full(self.arm.slots, -1, dtype=np.int32).tobytes(),
            propensities=np.ones(self.arm.slots).tobytes(),
            features=features.tobytes() if given else None,
        )


class MemoryBarriers:
    """Barriers in memory.

    Attributes:
        due: arms whose next barrier must be a genesis, as (experiment, arm).
    """

    def __init__(self) -> None:
        self.due: set[tuple[str, str]] = set()
        self._made: dict[tuple[str, str], list[Barrier]] = {}

    def last(self, experiment: str, arm: str) -> Barrier | None:
        """The newest barrier of an arm."""
        made = self._made.get((experiment, arm), [])
        return made[-1] if made else None

    def all(self, experiment: str, arm: str) -> list[Barrier]:
        """Every barrier of an arm."""
        return list(self._made.get((experiment, arm), []))

    def named(self, experiment: str, arm: str, versions: Sequence[int]) -> list[Barrier]:
        """The barriers of some versions."""
        wanted = set(versions)
        return [one for one in self.all(experiment, arm) if one.version in wanted]

    def append(self, barrier: Barrier) -> None:
        """Add the next barrier."""
        made = self._made.setdefault((barrier.experiment, barrier.arm), [])
        if barrier.version != len(made):
            raise LeaseLostError(f"version {barrier.version} is there already")
        made.append(barrier)
        if barrier.genesis:
            self.due.discard((barrier.experiment, barrier.arm))

    def genesis_due(self, experiment: str, arm: str) -> bool:
        """Whether the next barrier must be a genesis."""
        return (experiment, arm) in self.due


class MemorySnapshots:
    """Snapshots in memory."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str, int], Snapshot] = {}

    def save(self, experiment: str, arm: str, version: int, snapshot: Snapshot) -> None:
        """Keep a snapshot."""
        self.kept[experiment, arm, version] = snapshot

    def load(self, experiment: str, arm: str, version: int) -> Snapshot:
        """Give one back."""
        if (experiment, arm, version) not in self.kept:
            raise SnapshotError(f"snapshot {version} of {experiment}/{arm} is not there")
        return self.kept[experiment, arm, version]

    def versions(self, experiment: str, arm: str) -> list[int]:
        """Kept versions."""
        return sorted(key[2] for key in self.kept if key[:2] == (experiment, arm))

    def delete(self, experiment: str, arm: str, versions: Iterable[int]) -> None:
        """Drop versions."""
        for version in versions:
            self.kept.pop((experiment, arm, version), None)


class MemoryLeases:
    """Leases of many processes in memory; `of` gives what one process sees."""

    def __init__(self) -> None:
        self.holder: dict[str, object] = {}

    def of(self) -> "MemoryLease":
        """The leases as a new process sees them."""
        return MemoryLease(self)


class MemoryLease:
    """What one process sees of leases.

    Args:
        leases: of all processes.
    """

    def __init__(self, leases: MemoryLeases) -> None:
        self._leases = leases

    def acquire(self, name: str) -> bool:
        """Try to take it."""
        return self._leases.holder.setdefault(name, self) is self

    def held(self, name: str) -> bool:
        """Whether this process holds it."""
        return self._leases.holder.get(name) is self

    def release(self, name: str) -> None:
        """Give it back."""
        if self.held(name):
            del self._leases.holder[name]


def events_added_up(counts: Sequence[Any]) -> int:
    """Events that counts tell of; an early one is counted under its end as well."""
    return sum(one.joined + one.late + one.duplicate + one.orphan for one in counts)


def _catalogue(arm: LearningArm) -> int:
    contexts = arm.contexts
    if not isinstance(contexts, CatalogueContexts):
        return 0
    return int(contexts.builder.items.version, 16)
