"""What a platform notes in a snapshot: where it comes from, and what its policy refused."""

from collections.abc import Mapping
from typing import Any

from matinee_policies.snapshot import Snapshot

ORIGIN = "origin"
"""Key of a manifest that says what a first state was made from; no policy reads it."""

REFUSED = "refused"
"""Key of a manifest that lists decisions which a policy refused to learn; no policy reads it."""


def without_notes(snapshot: Snapshot) -> Snapshot:
    """The snapshot as its policy gave it, without what a platform noted in it."""
    return without_refused(without_origin(snapshot))


def without_origin(snapshot: Snapshot) -> Snapshot:
    """The snapshot without what a platform noted about where it comes from.

    Example:
        >>> noted = Snapshot("uniform", 1, {}, {"config": {}, "origin": {"kind": "log"}})
        >>> without_origin(noted).manifest
        {'config': {}}
    """
    return _without(snapshot, ORIGIN)


def without_refused(snapshot: Snapshot) -> Snapshot:
    """The snapshot without the list of refused decisions."""
    return _without(snapshot, REFUSED)


def with_origin(snapshot: Snapshot, origin: Mapping[str, Any]) -> Snapshot:
    """The snapshot with a note of where it comes from: JSON values."""
    return _with(snapshot, ORIGIN, origin)


def with_refused(snapshot: Snapshot, refused: Mapping[str, Any]) -> Snapshot:
    """The snapshot with a list of refused decisions: JSON values."""
    return _with(snapshot, REFUSED, refused)


def _with(snapshot: Snapshot, name: str, note: Mapping[str, Any]) -> Snapshot:
    return _replaced(snapshot, manifest={**snapshot.manifest, name: dict(note)})


def _without(snapshot: Snapshot, name: str) -> Snapshot:
    if name not in snapshot.manifest:
        return snapshot
    kept = {key: value for key, value in snapshot.manifest.items() if key != name}
    return _replaced(snapshot, manifest=kept)


def _replaced(snapshot: Snapshot, *, manifest: Mapping[str, Any]) -> Snapshot:
    return Snapshot(snapshot.kind, snapshot.version, snapshot.arrays, manifest)
