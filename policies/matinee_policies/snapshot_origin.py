"""What a platform notes in a snapshot about where it comes from."""

from collections.abc import Mapping
from typing import Any

from matinee_policies.snapshot import Snapshot

ORIGIN = "origin"
"""Key of a manifest that says what a first state was made from; no policy reads it."""


def without_origin(snapshot: Snapshot) -> Snapshot:
    """The snapshot as its policy gave it, without what a platform noted about where it comes from.

    Example:
        >>> noted = Snapshot("uniform", 1, {}, {"config": {}, "origin": {"kind": "log"}})
        >>> without_origin(noted).manifest
        {'config': {}}
    """
    if ORIGIN not in snapshot.manifest:
        return snapshot
    return _replaced(snapshot, manifest=_without(snapshot.manifest))


def with_origin(snapshot: Snapshot, origin: Mapping[str, Any]) -> Snapshot:
    """The snapshot with a note of where it comes from: JSON values."""
    return _replaced(snapshot, manifest={**snapshot.manifest, ORIGIN: dict(origin)})


def _without(manifest: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in manifest.items() if name != ORIGIN}


def _replaced(snapshot: Snapshot, *, manifest: Mapping[str, Any]) -> Snapshot:
    return Snapshot(snapshot.kind, snapshot.version, snapshot.arrays, manifest)
