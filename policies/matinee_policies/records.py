"""The records that policies take and give: contexts, slates, outcomes.

All are batches of arrays with a leading dimension `B` (a live request is `B = 1`), frozen, and
refuse arrays that do not fit together. Dimensions: `B` decisions, `K` candidates, `L` slots,
`d` features, `M` items of the catalogue, `m` dimensions of an embedding, `G` aspects (genres).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from matinee_policies.arrays import (
    AnyArray,
    BoolArray,
    Float32Array,
    FloatArray,
    IndexArray,
    Int8Array,
    Int64Array,
    UInt8Array,
)
from matinee_policies.errors import ContextError

PAD = -1
"""Marks an empty place among candidates (right of the real ones) or in a slate."""

SHARDS = 64
"""Learners sum over this many fixed shards of units, added in shard order."""


_SHARE_TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class ItemTraits:
    """What caps and calibration know of every item of the catalogue.

    Attributes:
        aspects: share of each aspect (genre) in an item, `float32 [M, G]`, at least 0; rows sum to
            1, or to 0 for an item without any.
        creators: number of the item's creator (director, say), -1 if unknown, `int32 [M]`.
    """

    aspects: Float32Array
    creators: IndexArray

    def __post_init__(self) -> None:
        _check(self.aspects, "aspects", np.float32, 2)
        _check(self.creators, "creators", np.int32, 1)
        if len(self.creators) != len(self.aspects):
            raise ContextError(
                f"creators must have {len(self.aspects)} items like aspects, "
                f"got {len(self.creators)}"
            )
        _check_shares(self.aspects, "aspects")
        if self.creators.size and int(self.creators.min()) < -1:
            raise ContextError(f"creators must be at least -1, got {int(self.creators.min())}")

    def __len__(self) -> int:
        return int(self.aspects.shape[0])


@dataclass(frozen=True, slots=True)
class ContextBatch:
    """What a policy sees of `B` decisions.

    Attributes:
        candidates: catalogue rows, `int32 [B, K]`; `PAD` fills a row from the right.
        features: `float32 [B, K, d]`, finite; rows of padding are ignored.
        scores: score of the candidate source in (0, 1), `float32 [B, K]`.
        embeddings: similarity vector of every item of the catalogue, `float32 [M, m]`; rows have
            length one, or zero for an item about which nothing is known.
        traits: aspects and creators of the catalogue; `None` where nothing reads them.
        interests: share of each aspect in what the unit likes, `float32 [B, G]`, at least 0; rows
            sum to 1, or to 0 for a unit of which nothing is known. `None` means all such.
        eligible: candidates that may be shown, `bool [B, K]`; `None` means all.
        pinned: position among the candidates that slot `l` must show, `PAD` where it is free,
            `int32 [B, P]`; slots from `P` on are free. Distinct within a row; `None` means none.
    """

    candidates: IndexArray
    features: Float32Array
    scores: Float32Array
    embeddings: Float32Array
    traits: ItemTraits | None = None
    interests: Float32Array | None = None
    eligible: BoolArray | None = None
    pinned: IndexArray | None = None

    def __post_init__(self) -> None:
        _check(self.candidates, "candidates", np.int32, 2)
        _check(self.features, "features", np.float32, 3)
        _check(self.scores, "scores", np.float32, 2)
        _check(self.embeddings, "embeddings", np.float32, 2)
        if self.features.shape[:2] != self.candidates.shape:
            raise ContextError(
                f"features must be [B, K, d] with [B, K] = {self.candidates.shape}, "
                f"got {self.features.shape}"
            )
        if self.scores.shape != self.candidates.shape:
            raise ContextError(
                f"scores must have the shape of candidates {self.candidates.shape}, "
                f"got {self.scores.shape}"
            )
        self._check_options()

    def __len__(self) -> int:
        return int(self.candidates.shape[0])

    def rows(self, index: AnyArray) -> "ContextBatch":
        """Some of the decisions, by index or mask `[n]`; copies, but for the catalogue's tables."""
        parts = {
            name: part[index] for name in _CONTEXT_ROWS if (part := getattr(self, name)) is not None
        }
        return replace(self, **parts)

    @staticmethod
    def concatenate(parts: Sequence["ContextBatch"]) -> "ContextBatch":
        """All decisions of some batches, in turn; copies, but for the catalogue's tables.

        Args:
            parts: at least one, over one catalogue, with equal numbers of candidates and the same
                optional fields.

        Raises:
            ContextError: if they do not fit together.

        Example:
            >>> from matinee_policies.testing_data import example_contexts
            >>> batch = example_contexts(1, decisions=3, candidates=5, dimension=2)
            >>> len(ContextBatch.concatenate([batch, batch.rows(np.array([0]))]))
            4
        """
        if not parts:
            raise ContextError("parts must hold at least one batch, got none")
        first = parts[0]
        for number, part in enumerate(parts):
            if not _same_catalogue(first, part):
                raise ContextError(
                    f"parts must be over one catalogue, got another in part {number}"
                )
        rows: dict[str, Any] = {}
        for name in _CONTEXT_ROWS:
            arrays = [getattr(part, name) for part in parts]
            shapes = [None if array is None else array.shape[1:] for array in arrays]
            for number, shape in enumerate(shapes):
                if shape != shapes[0]:
                    raise ContextError(
                        f"{name} must have one shape in all parts, but for the decisions, got "
                        f"{shapes[0]} and, in part {number}, {shape}"
                    )
            if shapes[0] is not None:
                rows[name] = np.concatenate(arrays)
        return replace(first, **rows)

    def _check_options(self) -> None:
        B, K = self.candidates.shape
        if self.traits is not None and len(self.traits) != len(self.embeddings):
            raise ContextError(
                f"traits must have {len(self.embeddings)} items like embeddings, "
                f"got {len(self.traits)}"
            )
        if self.interests is not None:
            _check(self.interests, "interests", np.float32, 2)
            aspects = 0 if self.traits is None else self.traits.aspects.shape[1]
            if self.interests.shape != (B, aspects):
                raise ContextError(
                    f"interests must have shape {(B, aspects)}, got {self.interests.shape}"
                )
            _check_shares(self.interests, "interests")
        if self.eligible is not None:
            _check(self.eligible, "eligible", np.bool_, 2)
            if self.eligible.shape != (B, K):
                raise ContextError(f"eligible must have shape {(B, K)}, got {self.eligible.shape}")
        if self.pinned is not None:
            _check(self.pinned, "pinned", np.int32, 2)
            self._check_pins(self.pinned)

    def _check_pins(self, pinned: IndexArray) -> None:
        B, K = self.candidates.shape
        if len(pinned) != B:
            raise ContextError(f"pinned must have {B} rows, got {len(pinned)}")
        bad = (pinned < PAD) | (pinned >= K)
        if bad.any():
            raise ContextError(f"pinned must be positions below {K} or {PAD}, got {pinned[bad][0]}")
        ordered = np.sort(pinned, axis=1)
        twice = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != PAD)
        if twice.any():
            raise ContextError(f"pinned must not repeat a position, got {ordered[:, 1:][twice][0]}")
        row, slot = np.nonzero(pinned != PAD)
        places = pinned[row, slot]
        closed = self.candidates[row, places] == PAD
        if self.eligible is not None:
            closed |= ~self.eligible[row, places]
        if closed.any():
            raise ContextError(
                f"pinned positions must be eligible candidates, got position "
                f"{places[closed][0]} in decision {row[closed][0]}"
            )


_Record = TypeVar("_Record")


def unchecked(record: type[_Record], **fields: Any) -> _Record:
    """A frozen record of arrays that are known to keep its rules: nothing is looked at.

    For whoever makes thousands of records a second from its own arrays; checks of small batches
    cost more than the decisions.

    Args:
        record: a dataclass of this package.
        fields: all of its fields.
    """
    made = object.__new__(record)
    for name, value in fields.items():
        object.__setattr__(made, name, value)
    return made


def _same_catalogue(first: ContextBatch, other: ContextBatch) -> bool:
    """Whether two batches are over equal tables; the same ones, as a rule, are not read."""
    if (first.traits is None) != (other.traits is None):
        return False
    pairs: list[tuple[AnyArray, AnyArray]] = [(first.embeddings, other.embeddings)]
    if first.traits is not None and other.traits is not None:
        pairs.append((first.traits.aspects, other.traits.aspects))
        pairs.append((first.traits.creators, other.traits.creators))
    return all(a is b or np.array_equal(a, b) for a, b in pairs)


_CONTEXT_ROWS = ("candidates", "features", "scores", "interests", "eligible", "pinned")


@dataclass(frozen=True, slots=True)
class SlateBatch:
    """Slates chosen for `B` decisions, with the exact probability of each choice.

    Attributes:
        positions: index into the decision's candidates of the item at each slot, `int32 [B, L]`;
            `PAD` where candidates ran out.
        items: catalogue rows of the same items, `int32 [B, L]`.
        propensities: P(item at slot l | context, items at slots < l), `float64 [B, L]`, in (0, 1];
            1 where the slot is padding.
        base: which policy of a mixture drew the slate, `int8 [B]`; `None` if there is but one.
        base_propensity: probability of that draw, `float64 [B]`, in (0, 1]; comes with `base`.
    """

    positions: IndexArray
    items: IndexArray
    propensities: FloatArray
    base: Int8Array | None = None
    base_propensity: FloatArray | None = None

    def __len__(self) -> int:
        return int(self.positions.shape[0])


@dataclass(frozen=True, slots=True)
class OutcomeBatch:
    """One matured reward component of `n` slates, ready to be learned once.

    Attributes:
        component: name of the reward component, e.g. `"engagement"`.
        first: whether this is the first component of these slates to mature: it brings the
            features into the statistics; later components only add their reward.
        features: of the items shown, slot feature included, `float32 [n, L, d]`.
        rewards: weighted reward of each slot in value units, `float64 [n, L]`, finite where shown.
        shown: which slots held an item, `bool [n, L]`.
        propensities: as logged, `float64 [n, L]`.
        shards: shard of the unit, `uint8 [n]`, below `SHARDS`.
        items: catalogue rows of the items shown, `int32 [n, L]`; what learns one model per item
            needs them.
        days: day of each decision, `int64 [n]`, never falling; what forgets needs them.
        base: as `SlateBatch.base`.
        base_propensity: as `SlateBatch.base_propensity`.

    Rows must come in the canonical order of the log (day, page, unit), so that sums do not depend
    on how the slates were batched.
    """

    component: str
    first: bool
    features: Float32Array
    rewards: FloatArray
    shown: BoolArray
    propensities: FloatArray
    shards: UInt8Array
    items: IndexArray | None = None
    days: Int64Array | None = None
    base: Int8Array | None = None
    base_propensity: FloatArray | None = None

    def __post_init__(self) -> None:
        _check(self.features, "features", np.float32, 3)
        _check(self.rewards, "rewards", np.float64, 2)
        _check(self.shown, "shown", np.bool_, 2)
        _check(self.propensities, "propensities", np.float64, 2)
        _check(self.shards, "shards", np.uint8, 1)
        shape = self.features.shape[:2]
        for name in ("rewards", "shown", "propensities"):
            if getattr(self, name).shape != shape:
                raise ContextError(
                    f"{name} must have shape {shape} like features, got {getattr(self, name).shape}"
                )
        if self.shards.shape != shape[:1]:
            raise ContextError(f"shards must have shape {shape[:1]}, got {self.shards.shape}")
        if self.shards.size and int(self.shards.max()) >= SHARDS:
            raise ContextError(f"shards must be below {SHARDS}, got {int(self.shards.max())}")
        if not np.isfinite(self.rewards[self.shown]).all():
            raise ContextError("rewards of shown slots must be finite, got NaN or infinity")
        self._check_options()

    def __len__(self) -> int:
        return int(self.features.shape[0])

    def rows(self, index: AnyArray) -> "OutcomeBatch":
        """Some of the slates, by index or mask `[n]`; copies."""
        parts = {
            name: part[index] for name in _OUTCOME_ROWS if (part := getattr(self, name)) is not None
        }
        return replace(self, **parts)

    def _check_options(self) -> None:
        n, slots = self.features.shape[:2]
        for name, dtype, shape in (
            ("items", np.int32, (n, slots)),
            ("days", np.int64, (n,)),
            ("base", np.int8, (n,)),
            ("base_propensity", np.float64, (n,)),
        ):
            part = getattr(self, name)
            if part is None:
                continue
            _check(part, name, dtype, len(shape))
            if part.shape != shape:
                raise ContextError(f"{name} must have shape {shape}, got {part.shape}")
        if self.items is not None and bool((self.items[self.shown] < 0).any()):
            raise ContextError("items of shown slots must be rows of the catalogue, got -1")
        if self.days is not None and bool((np.diff(self.days) < 0).any()):
            raise ContextError("days must never fall from one slate to the next")
        if (self.base is None) != (self.base_propensity is None):
            raise ContextError("base and base_propensity must come together")


_OUTCOME_ROWS = (
    "features",
    "rewards",
    "shown",
    "propensities",
    "shards",
    "items",
    "days",
    "base",
    "base_propensity",
)


def _check(array: AnyArray, name: str, dtype: type, dimensions: int) -> None:
    if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != dimensions:
        got = (
            f"{array.dtype} with {array.ndim} dimensions"
            if isinstance(array, np.ndarray)
            else type(array).__name__
        )
        raise ContextError(
            f"{name} must be a {np.dtype(dtype).name} array with {dimensions} dimensions, got {got}"
        )


def _check_shares(shares: Float32Array, name: str) -> None:
    """Refuse rows that are no shares: below 0, or with a sum other than 1 or 0."""
    if not np.isfinite(shares).all() or bool((shares < 0).any()):
        bad = shares[~np.isfinite(shares) | (shares < 0)][0]
        raise ContextError(f"{name} must be finite and at least 0, got {bad}")
    total = shares.sum(axis=1, dtype=np.float64)
    wrong = (np.abs(total - 1.0) > _SHARE_TOLERANCE) & (total != 0.0)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ContextError(f"{name} must sum to 1 or 0 in a row, got {total[row]:g} in row {row}")
