"""A bundle: what an arm of the live service starts from, as one folder that proves its content.

    bundles/NAME/bundle.json     manifest: policy, sizes, SHA-256 of every other file
    bundles/NAME/bundle.sig      signature of the manifest, if it is signed
    bundles/NAME/snapshot.npz    first state of the policy (and its own signature)
    bundles/NAME/model/          catalogue, item features, the arm's candidate model, its rules
    bundles/NAME/item_ids.json   the items as callers name them, by catalogue row
    bundles/NAME/past.npz        what simulated users rated before their first day (past_units.py)

A bundle without `model/` has no catalogue: callers name any items and give their features.

Loading trusts nothing but the keys: the folder must hold the manifest's files and no others, each
of its SHA-256, and nothing of it is executed. A policy class of the user's own is only named here;
what restores it must trust the name (`LoadedBundle.policy`).
"""

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator

from matinee_platform.plays import PlayScale
from matinee_platform.reward_settings import RewardSettings
from matinee_platform.serving.bundle_files import (
    DIGEST,
    BundleFile,
    file_facts,
    files_below,
    move_in,
    sync,
)
from matinee_platform.serving.bundle_name import NAME, RULE
from matinee_platform.serving.errors import BundleError
from matinee_platform.serving.past_units import PastUnits
from matinee_platform.serving_model import ServingModel, load_serving_model
from matinee_platform.storage.private_files import private_folder
from matinee_platform.strict_settings import StrictSettings
from matinee_policies.base_policies import base_kinds
from matinee_policies.errors import MatineeError, SnapshotError
from matinee_policies.plugins import is_plugin
from matinee_policies.policy import Policy
from matinee_policies.registry import restore_policy
from matinee_policies.snapshot import Snapshot
from matinee_policies.snapshot_signature import SigningKeys, trailing_signature

BUNDLES = "bundles"
"""Folder of the bundles within the data folder of a service."""

MANIFEST = "bundle.json"
SIGNATURE = "bundle.sig"
SNAPSHOT = "snapshot.npz"
ITEM_IDS = "item_ids.json"
MODEL = "model"
PAST = "past.npz"

FORMAT = "matinee-bundle-1"
_PURPOSE = b"matinee-bundle-1\n"
_LARGEST_MANIFEST = 2**22
_FILE = re.compile(r"(model/)?[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


class Plays(StrictSettings):
    """Scale on which a watched fraction becomes stars; see `plays.PlayScale`."""

    mean: float
    sd: Annotated[float, Field(ge=0)]
    low: float
    high: float

    def scale(self) -> PlayScale:
        """The scale itself."""
        return PlayScale(self.mean, self.sd, self.low, self.high)


class PastOf(StrictSettings):
    """Whose past a bundle holds: the simulated users of a run."""

    run: str
    seed: Annotated[int, Field(ge=0, lt=2**63)]


class Manifest(StrictSettings):
    """What a bundle is."""

    format: Literal["matinee-bundle-1"] = "matinee-bundle-1"
    name: str
    policy: dict[str, Any]
    """`kind` and the settings of the policy."""
    dimension: Annotated[int, Field(ge=1, le=10_000)]
    """Of the features; where callers give them, how many numbers they give for each item."""
    slots: Annotated[int, Field(ge=1, le=100)]
    candidates: Annotated[int, Field(ge=1, le=1_000)]
    rest: Annotated[int, Field(ge=0, le=10_000)]
    source: str | None
    """Candidate source of the catalogue; None where there is no catalogue."""
    arm: str | None
    """Arm of the run whose rules of pages the model holds; None where there is no catalogue."""
    plays: Plays | None
    reward: RewardSettings
    past: PastOf | None = None
    """Set if the bundle knows what simulated users rated before: it serves them alone."""
    snapshot_hash: Annotated[str, Field(pattern=DIGEST)]
    """Content hash of the first state."""
    origin: dict[str, Any]
    """Where it comes from, for people."""
    versions: dict[str, str]
    """What it was made with."""
    files: dict[str, BundleFile]

    @field_validator("policy")
    @classmethod
    def _has_kind(cls, policy: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(policy.get("kind"), str):
            raise ValueError(f"policy must name its kind, got {policy!r}")
        return policy

    @property
    def kind(self) -> str:
        """Kind of the policy."""
        return str(self.policy["kind"])

    @property
    def has_catalogue(self) -> bool:
        """Whether the bundle knows its items; else callers name them and give features."""
        return self.source is not None

    def user_classes(self) -> tuple[str, ...]:
        """The `module:Class` names of the user's own that the policy is made of."""
        return tuple(name for name in (self.kind, *base_kinds(self.policy)) if is_plugin(name))


@dataclass(frozen=True, slots=True)
class LoadedBundle:
    """A bundle in memory.

    Attributes:
        manifest: what it is.
        snapshot: first state of the policy.
        model: of the catalogue; None if it has none.
        item_ids: the items as callers name them, by catalogue row.
        digest: SHA-256 of the manifest: it names all content of the bundle.
        verified: whether a signature of it was verified.
        past: of simulated users; None without.
    """

    manifest: Manifest
    snapshot: Snapshot
    model: ServingModel | None
    item_ids: tuple[str, ...]
    digest: str
    verified: bool
    past: PastUnits | None = None

    def policy(self, snapshot: Snapshot | None = None) -> Policy:
        """The policy in its first state, or in another one of the same policy.

        A class of the user's own is imported only if the bundle's signature was verified.

        Raises:
            MatineeError: if the state is not of this policy, or the class may not be imported.
        """
        classes = self.manifest.user_classes()
        if classes and not self.verified:
            raise BundleError(
                f"bundle {self.manifest.name!r} must be signed, and its signature verified, to "
                f"import {classes[0]}"
            )
        state = self.snapshot if snapshot is None else snapshot
        return restore_policy(state, kind=self.manifest.kind, config=self.manifest.policy)


def bundle_folder(data_dir: Path, name: str) -> Path:
    """Folder of a bundle.

    Raises:
        BundleError: on a name that no bundle may have.
    """
    if not NAME.fullmatch(name):
        raise BundleError(f"{RULE}, got {name!r}")
    return data_dir / BUNDLES / name


def write_bundle(
    data_dir: Path,
    manifest: Manifest,
    *,
    snapshot: Snapshot,
    model: ServingModel | None,
    item_ids: tuple[str, ...],
    keys: SigningKeys | None,
    past: PastUnits | None = None,
    replace: bool = False,
) -> Manifest:
    """Write a bundle; it appears whole or not at all.

    Args:
        data_dir: data folder of the service.
        manifest: what it is; its `files` are filled in here.
        snapshot: first state of the policy.
        model: with the arm's source and rules alone; None for a bundle without a catalogue.
        item_ids: one per catalogue row.
        keys: the first of them signs.
        past: of the users that the manifest names, if it names any.
        replace: whether a bundle of the same name may go.

    Raises:
        BundleError: if the name is taken, or no name.
    """
    target = bundle_folder(data_dir, manifest.name)
    if target.exists() and not replace:
        raise BundleError(f"there is a bundle {manifest.name!r} already; --replace replaces it")
    private_folder(data_dir)
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        snapshot.save(draft / SNAPSHOT, keys=keys)
        if model is not None:
            model.save(draft / MODEL)
            text = json.dumps(list(item_ids), ensure_ascii=False)
            (draft / ITEM_IDS).write_text(text, encoding="utf-8")
        if past is not None:
            past.save(draft / PAST)
        files = {name: file_facts(draft / name) for name in files_below(draft)}
        manifest = manifest.model_copy(update={"files": files})
        content = (manifest.model_dump_json(indent=2) + "\n").encode()
        (draft / MANIFEST).write_bytes(content)
        if keys is not None:
            (draft / SIGNATURE).write_bytes(keys.sign(_PURPOSE + content))
        sync(draft)
        move_in(draft, target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return manifest


def load_bundle(data_dir: Path, name: str, *, keys: SigningKeys | None = None) -> LoadedBundle:
    """Read a bundle, and hold it to its manifest.

    Args:
        data_dir: data folder of the service.
        name: of the bundle.
        keys: one of them must have signed manifest and snapshot; without, signatures are not
            looked at.

    Raises:
        BundleError: if it is missing, damaged, foreign or not signed as it must be.
    """
    folder = bundle_folder(data_dir, name)
    try:
        return _loaded(folder, name, keys)
    except BundleError:
        raise
    except (MatineeError, OSError, ValueError, RecursionError) as error:
        raise BundleError(f"bundle {name!r} cannot be read: {error}") from None


def read_manifest(data_dir: Path, name: str, *, keys: SigningKeys | None = None) -> Manifest:
    """What a bundle says it is; its files are not looked at.

    Raises:
        BundleError: as `load_bundle`.
    """
    folder = bundle_folder(data_dir, name)
    try:
        return _manifest(folder, name, keys)[0]
    except OSError as error:
        raise BundleError(f"bundle {name!r} cannot be read: {error.strerror}") from None


def bundle_names(data_dir: Path) -> list[str]:
    """Names of the bundles of a service, rising."""
    folder = data_dir / BUNDLES
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if NAME.fullmatch(path.name))


def _loaded(folder: Path, name: str, keys: SigningKeys | None) -> LoadedBundle:
    manifest, digest = _manifest(folder, name, keys)
    own = {MANIFEST, SIGNATURE}
    found = set(files_below(folder)) - own
    if found != set(manifest.files):
        odd = sorted(found ^ set(manifest.files))[0]
        rule = "hold no other file than its manifest names" if odd in found else "hold every file"
        raise BundleError(f"bundle {name!r} must {rule}, got {odd!r}")
    for path, facts in manifest.files.items():
        if file_facts(folder / path) != facts:
            raise BundleError(f"bundle {name!r} is damaged: {path} is not what its manifest says")
    snapshot = Snapshot.load(folder / SNAPSHOT, keys=keys)
    if snapshot.content_hash != manifest.snapshot_hash:
        raise BundleError(f"bundle {name!r} holds another snapshot than its manifest names")
    if not manifest.has_catalogue:
        return LoadedBundle(manifest, snapshot, None, (), digest, keys is not None)
    model = load_serving_model(folder / MODEL)
    if set(model.sources) != {manifest.source}:
        raise BundleError(f"bundle {name!r} must hold the source {manifest.source!r} alone")
    item_ids = json.loads((folder / ITEM_IDS).read_text(encoding="utf-8"))
    if not isinstance(item_ids, list) or not all(isinstance(one, str) for one in item_ids):
        raise BundleError(f"bundle {name!r}: {ITEM_IDS} must be a list of texts")
    if len(item_ids) != len(model.catalogue) or len(set(item_ids)) != len(item_ids):
        raise BundleError(f"bundle {name!r}: {ITEM_IDS} must name each item of the catalogue once")
    past = None
    if manifest.past is not None:
        past = PastUnits.load(folder / PAST, items=len(model.catalogue))
    return LoadedBundle(
        manifest, snapshot, model, tuple(item_ids), digest, keys is not None, past=past
    )


def _manifest(folder: Path, name: str, keys: SigningKeys | None) -> tuple[Manifest, str]:
    path = folder / MANIFEST
    if not path.is_file() or path.is_symlink():
        raise BundleError(f"there is no bundle {name!r}")
    if path.stat().st_size > _LARGEST_MANIFEST:
        raise BundleError(
            f"bundle {name!r}: {MANIFEST} must have at most {_LARGEST_MANIFEST} bytes"
        )
    content = path.read_bytes()
    if keys is not None:
        _check_signature(folder, name, content, keys)
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BundleError(f"bundle {name!r}: {MANIFEST}: {where}: {first['msg']}") from None
    if manifest.name != name:
        raise BundleError(f"bundle {name!r} must have its own name, got {manifest.name!r}")
    for file in manifest.files:
        if not _FILE.fullmatch(file):
            raise BundleError(f"bundle {name!r} must hold files of plain names, got {file!r}")
    return manifest, hashlib.sha256(content).hexdigest()


def _check_signature(folder: Path, name: str, content: bytes, keys: SigningKeys) -> None:
    path = folder / SIGNATURE
    record = path.read_bytes()[:256] if path.is_file() and not path.is_symlink() else b""
    signature = trailing_signature(record)
    if signature is not None and signature.length != len(record):
        signature = None
    try:
        keys.check(signature, _PURPOSE + content, origin=path)
    except SnapshotError as error:
        raise BundleError(f"bundle {name!r}: {error}") from None


BundleLoader = Callable[[str], LoadedBundle]
"""Gives a bundle by its name."""
