"""The policy that is to be valued: a config in a file, an arm of a run, or a snapshot."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from matinee_platform.ope.inputs.policy_log import PolicyLog
from matinee_platform.run_settings import run_settings
from matinee_platform.verify import ArmSnapshots, policy_in_settings
from matinee_platform.warm_start import check_versions, versions_of_run, versions_of_snapshot
from matinee_policies.errors import ConfigError, DataError
from matinee_policies.policy import Policy
from matinee_policies.registry import build_policy, restore_policy
from matinee_policies.snapshot import Snapshot
from matinee_policies.snapshot_signature import SigningKeys

FORMS = "a YAML or JSON file with kind and settings, RUN:ARM, RUN:ARM@VERSION, or a snapshot .npz"


@dataclass(frozen=True, slots=True)
class TargetPolicy:
    """A policy with a name.

    Attributes:
        name: as it was asked for.
        policy: in the state in which it is valued.
        notes: what to say of it.
        in_sample: whether it learned from the very log that is to judge it.
    """

    name: str
    policy: Policy
    notes: tuple[str, ...] = ()
    in_sample: bool = False


def target_policy(
    wanted: "str | Path | Mapping[str, Any] | Policy", log: PolicyLog
) -> TargetPolicy:
    """Find the policy that is meant, fit for the contexts of a log.

    Args:
        wanted: one of `FORMS`; in Python also settings with `kind`, or a policy.
        log: whose contexts it is to see.

    Raises:
        ConfigError: if it names nothing, or a policy of other candidates or features.
        DataError: if a file cannot be read.
        SnapshotError: if a snapshot cannot be restored, or is over another catalogue.
    """
    found = _found(wanted, log)
    dimension = getattr(found.policy, "dimension", log.dimension)
    if dimension != log.dimension:
        raise ConfigError(
            f"policy {found.name} must be of {log.dimension} features like {log.name}, "
            f"got {dimension}"
        )
    check_length = getattr(found.policy, "check_length", None)
    if check_length is not None:
        check_length(log.slots)
    return found


def _found(wanted: "str | Path | Mapping[str, Any] | Policy", log: PolicyLog) -> TargetPolicy:
    if isinstance(wanted, Mapping):
        return _of_settings(wanted, f"{wanted.get('kind')}", log)
    if not isinstance(wanted, str | Path):
        return TargetPolicy(wanted.name, wanted)
    text, path = str(wanted), Path(wanted)
    if path.is_file():
        if path.suffix == ".npz":
            return _of_snapshot(path, log)
        return _of_settings(_read(path), text, log)
    folder, colon, arm = text.rpartition(":")
    if colon and (Path(folder) / "settings.json").is_file():
        return _of_run(Path(folder), arm, text, log)
    raise ConfigError(f"policy must be {FORMS}; there is none at {text!r}")


def _read(path: Path) -> Mapping[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(path, rule=f"must be YAML or JSON in UTF-8 ({error})") from None
    if not isinstance(values, dict):
        raise DataError(path, rule="must hold the settings of a policy by name")
    if "arms" in values:
        raise DataError(path, rule="must hold one policy, not an experiment; take RUN:ARM of a run")
    return values


def _of_settings(values: Mapping[str, Any], name: str, log: PolicyLog) -> TargetPolicy:
    kind = values.get("kind")
    if not isinstance(kind, str):
        raise ConfigError(f"policy {name} must name its kind, got {kind!r}")
    rest = {key: value for key, value in values.items() if key != "kind"}
    policy = build_policy(kind, rest, dimension=log.dimension)
    notes: tuple[str, ...] = ()
    if policy.learns:
        notes = (f"{name} is new and has learned nothing; RUN:ARM or a snapshot has",)
    return TargetPolicy(name, policy, notes)


def _of_snapshot(path: Path, log: PolicyLog) -> TargetPolicy:
    snapshot = Snapshot.load(path, keys=SigningKeys.configured())
    if log.catalogue is not None:
        found = versions_of_snapshot(snapshot, path)
        check_versions(found, log.catalogue, what=f"snapshot {path}")
    version = int(path.stem) if path.stem.isdigit() else 0
    target = TargetPolicy(str(path), restore_policy(snapshot))
    return _judged(target, log, snapshots=path.parent, version=version)


def _judged(found: TargetPolicy, log: PolicyLog, *, snapshots: Path, version: int) -> TargetPolicy:
    """The policy, noted if it learned from the log: a later version of the arm that logged."""
    own = None if log.snapshots is None else log.snapshots.resolve()
    if not (found.policy.learns and version and snapshots.resolve() == own):
        return found
    note = (
        f"caution: {found.name} learned from the log that judges it: its value here is in-sample, "
        "and optimistic"
    )
    return replace(found, notes=(*found.notes, note), in_sample=True)


def _of_run(run: Path, arm: str, name: str, log: PolicyLog) -> TargetPolicy:
    arm, at, version = arm.partition("@")
    settings = run_settings(run)
    names = [one.name for one in settings.arms]
    if arm not in names:
        raise ConfigError(f"arm of {run} must be one of {', '.join(names)}, got {arm!r}")
    own = settings.arm(arm)
    if own.reference:
        raise ConfigError(f"arm must not know the truth, {arm!r} of {run} is a reference arm")
    if log.catalogue is None:
        raise ConfigError(
            f"policy {name} is over the catalogue of {run}, and callers of {log.name} name items "
            "and features themselves"
        )
    check_versions(versions_of_run(run), log.catalogue, what=f"policy {name}")
    if log.source is not None and own.candidates != log.source:
        raise ConfigError(
            f"policy {name} takes its candidates from {own.candidates!r}, {log.name} logged those "
            f"of {log.source!r}: pages with other candidates are not in the log. Give its settings "
            "in a file to value how it would rank the logged candidates"
        )
    config = policy_in_settings(run, arm)
    snapshots = ArmSnapshots(run / "snapshots" / arm, config)
    if snapshots.last < 0:
        raise DataError(run / "snapshots" / arm, rule="must hold the snapshots of an arm")
    if at and not (version.isdigit() and int(version) <= snapshots.last):
        raise ConfigError(f"version of {name} must be within 0 and {snapshots.last}")
    number = int(version) if at else snapshots.last
    target = TargetPolicy(name, snapshots.policy(number))
    return _judged(target, log, snapshots=run / "snapshots" / arm, version=number)
