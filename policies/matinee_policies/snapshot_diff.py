"""What differs between two snapshots: settings and counters, arrays, coefficients."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from matinee_policies.arrays import AnyArray
from matinee_policies.snapshot import Snapshot
from matinee_policies.snapshot_coefficients import coefficients


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A field that differs.

    Attributes:
        name: path within the manifest, e.g. `config.alpha`; `kind` and `version` stand before it.
        before: value in the first snapshot; None if it is not there.
        after: value in the second.
    """

    name: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class ArrayChange:
    """An array that differs.

    Attributes:
        name: of the array.
        before: type and shape in the first snapshot; None if it is not there.
        after: type and shape in the second.
        entries: how many numbers differ in any bit; None if types or shapes do.
        absolute: largest absolute difference of two numbers; None as above, of bytes, or if none
            is finite.
        relative: largest difference over the larger of two magnitudes, in [0, 2]; None as above.
    """

    name: str
    before: str | None
    after: str | None
    entries: int | None = None
    absolute: float | None = None
    relative: float | None = None


@dataclass(frozen=True, slots=True)
class CoefficientChange:
    """A coefficient that differs; what is not there counts as 0.

    Attributes:
        owner: as `Coefficient.owner`.
        feature: name of the feature.
        before: value in the first snapshot.
        after: value in the second.
    """

    owner: str
    feature: str
    before: float
    after: float

    @property
    def size(self) -> float:
        """Absolute change."""
        return abs(self.after - self.before)


@dataclass(frozen=True, slots=True)
class SnapshotDiff:
    """What differs between two snapshots; all empty if their content is the same.

    Attributes:
        fields: of kind, version and manifest, by name.
        arrays: by name.
        coefficients: the largest changes first.
        more_coefficients: changed coefficients that are left out.
    """

    fields: tuple[FieldChange, ...]
    arrays: tuple[ArrayChange, ...]
    coefficients: tuple[CoefficientChange, ...]
    more_coefficients: int

    @property
    def equal(self) -> bool:
        """Whether the two have the same content, to the last bit."""
        return not self.fields and not self.arrays


def diff_snapshots(first: Snapshot, second: Snapshot, *, top: int = 10) -> SnapshotDiff:
    """Compare two snapshots.

    Args:
        first: the one before.
        second: the one after.
        top: how many coefficients to tell at most.

    Example:
        >>> before = Snapshot("a", 1, {"x": np.array([1.0, 2.0])}, {"config": {"rate": 0.1}})
        >>> after = Snapshot("a", 1, {"x": np.array([1.0, 2.5])}, {"config": {"rate": 0.2}})
        >>> found = diff_snapshots(before, after)
        >>> found.fields
        (FieldChange(name='config.rate', before=0.1, after=0.2),)
        >>> (found.arrays[0].entries, found.arrays[0].absolute, found.arrays[0].relative)
        (1, 0.5, 0.2)
    """
    changes = _coefficient_changes(first, second)
    return SnapshotDiff(
        fields=tuple(_field_changes(first, second)),
        arrays=tuple(_array_changes(first.arrays, second.arrays)),
        coefficients=tuple(changes[:top]),
        more_coefficients=len(changes[top:]),
    )


def _field_changes(first: Snapshot, second: Snapshot) -> Iterator[FieldChange]:
    before, after = (
        {"kind": one.kind, "version": one.version, **dict(_leaves(one.manifest, ""))}
        for one in (first, second)
    )
    for name in [*before, *(name for name in after if name not in before)]:
        if _text(before.get(name)) != _text(after.get(name)) or (name in before) != (name in after):
            yield FieldChange(name, before.get(name), after.get(name))


def _leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """What is in nested mappings and lists, by path; an empty one is a leaf."""
    inner: list[tuple[str, Any]] = []
    if isinstance(value, dict):
        inner = [(f"{name}.{key}" if name else key, part) for key, part in value.items()]
    elif isinstance(value, list):
        inner = [(f"{name}[{number}]", part) for number, part in enumerate(value)]
    if not inner and name:
        yield name, value
    for path, part in inner:
        yield from _leaves(part, path)


def _text(value: Any) -> str:
    """By which 1, 1.0 and true are told apart."""
    return json.dumps(value, sort_keys=True)


def _array_changes(
    first: Mapping[str, AnyArray], second: Mapping[str, AnyArray]
) -> Iterator[ArrayChange]:
    for name in sorted({*first, *second}):
        before, after = first.get(name), second.get(name)
        was = None if before is None else array_type(before)
        is_now = None if after is None else array_type(after)
        if before is None or after is None or was != is_now:
            yield ArrayChange(name, was, is_now)
        elif before.tobytes() != after.tobytes():
            entries, absolute, relative = _differences(before, after)
            yield ArrayChange(name, was, is_now, entries, absolute, relative)


def array_type(array: AnyArray) -> str:
    """Type and shape in words.

    Example:
        >>> array_type(np.zeros((2, 3)))
        'float64 [2, 3]'
    """
    return f"{array.dtype} {list(array.shape)}"


def _differences(first: AnyArray, second: AnyArray) -> tuple[int, float | None, float | None]:
    """Numbers of two arrays alike that differ in any bit, and the largest differences."""
    bits = [np.frombuffer(one.tobytes(), dtype=np.uint8) for one in (first, second)]
    changed = (bits[0] != bits[1]).reshape(first.size, first.itemsize).any(axis=1)
    before, after = (one.reshape(-1)[changed].astype(np.float64) for one in (first, second))
    finite = np.isfinite(before) & np.isfinite(after)
    # Bytes are no magnitudes: they are somebody else's file.
    if not finite.any() or first.dtype == np.uint8:
        return int(changed.sum()), None, None
    before, after = before[finite], after[finite]
    # Halves first: the difference of two large numbers may be beyond all of them.
    half = np.abs(before / 2 - after / 2)
    largest = np.maximum(np.abs(before), np.abs(after))
    relative = 2 * (half / np.where(largest > 0, largest, 1.0))
    absolute = 2 * float(half.max())
    return (
        int(changed.sum()),
        absolute if np.isfinite(absolute) else None,
        float(relative.max()),
    )


def _coefficient_changes(first: Snapshot, second: Snapshot) -> list[CoefficientChange]:
    before, after = coefficients(first), coefficients(second)
    changes = [
        CoefficientChange(
            owner,
            feature,
            before[owner, feature].value if (owner, feature) in before else 0.0,
            after[owner, feature].value if (owner, feature) in after else 0.0,
        )
        for owner, feature in [*before, *(name for name in after if name not in before)]
    ]
    return sorted((one for one in changes if one.size > 0.0), key=lambda one: -one.size)
