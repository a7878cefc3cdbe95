"""Ship an arm of an offline run, or a new policy without a catalogue, to the live service."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from matinee_platform.data_source import open_data
from matinee_platform.json_file import read_json
from matinee_platform.reward_settings import RewardSettings
from matinee_platform.serving.bundle import Manifest, PastOf, Plays, write_bundle
from matinee_platform.serving.given_features import given_contexts
from matinee_platform.serving.past_units import PastUnits
from matinee_platform.serving_model import ServingModel, load_serving_model
from matinee_platform.settings import ArmSettings, ExperimentSettings, parse_settings
from matinee_platform.versions import versions
from matinee_policies.catalogue import Catalogue
from matinee_policies.errors import ConfigError, DataError, SnapshotError
from matinee_policies.features import FEATURE_NAMES
from matinee_policies.registry import build_policy, restore_policy
from matinee_policies.snapshot import Snapshot
from matinee_policies.snapshot_signature import SigningKeys


def deploy_arm(
    run: Path,
    arm: str,
    *,
    data_dir: Path,
    name: str | None = None,
    keys: SigningKeys | None = None,
    run_keys: SigningKeys | None = None,
    past: PastUnits | None = None,
    replace_old: bool = False,
) -> Manifest:
    """Ship an arm of a finished run as it was at the run's end, or before its first day.

    Candidates that the run had for single simulated users stay behind: no live unit is one of them,
    and all are served by the source's model.

    Args:
        run: folder of the run.
        arm: name of the arm.
        data_dir: data folder of the service.
        name: of the bundle; the arm's if not given.
        keys: that sign the bundle.
        run_keys: one of them must have signed the run's snapshots, if given.
        past: what the users of the run rated before its first day: given to ship the arm as it was
            then, for an experiment with those simulated users.
        replace_old: whether a bundle of this name may go.

    Returns:
        The manifest of the bundle.

    Raises:
        MatineeError: if the run is not finished or damaged, has no such arm, or the arm knows the
            simulator's truth; or if the name is taken.
    """
    results, settings = finished_run(run)
    found = _arm(settings, arm)
    hashes = results["arm_runs"][arm]["snapshots"]
    version = len(hashes) - 1 if past is None else 0
    path = run / "snapshots" / arm / f"{version:05d}.npz"
    snapshot = Snapshot.load(path, keys=run_keys)
    if snapshot.content_hash != hashes[version]:
        raise SnapshotError(
            f"snapshot {path} must hold the state {hashes[version]} that the results of the run "
            f"name, got {snapshot.content_hash}"
        )
    # Refuses here what the service could not restore.
    restore_policy(snapshot, kind=found.policy["kind"], config=found.policy)
    whole = load_serving_model(run / "model")
    model = _own_part(whole, found)
    plays = read_json(run / "prepared.json")["plays"]
    manifest = Manifest(
        name=name or arm,
        policy=found.policy,
        dimension=len(FEATURE_NAMES),
        slots=settings.slots,
        candidates=settings.candidates,
        rest=settings.rest,
        source=found.candidates,
        arm=arm,
        plays=Plays.model_validate(plays),
        reward=settings.reward,
        past=None if past is None else PastOf(run=settings.name, seed=settings.seed),
        snapshot_hash=snapshot.content_hash,
        origin={
            "run": settings.name,
            "arm": arm,
            "snapshot": version,
            "log_hash": results["arm_runs"][arm]["log_hash"],
            "catalogue_version": model.items.version,
        },
        versions=versions(_classes(found)),
        files={},
    )
    return write_bundle(
        data_dir,
        manifest,
        snapshot=snapshot,
        model=model,
        item_ids=item_names(settings, model.catalogue),
        keys=keys,
        past=past,
        replace=replace_old,
    )


def deploy_policy(
    kind: str,
    config: Mapping[str, Any],
    *,
    features: int,
    name: str,
    data_dir: Path,
    slots: int = 10,
    candidates: int = 100,
    reward: RewardSettings | None = None,
    keys: SigningKeys | None = None,
    replace_old: bool = False,
) -> Manifest:
    """Ship a policy that has learned nothing and has no catalogue: callers give the features.

    Args:
        kind: as `registry.build_policy`.
        config: settings of that kind.
        features: numbers that callers give for each item.
        name: of the bundle.
        data_dir: data folder of the service.
        slots: items per slate.
        candidates: most candidates of a decision.
        reward: what to learn from; the defaults if not given.
        keys: that sign the bundle.
        replace_old: whether a bundle of this name may go.

    Raises:
        MatineeError: on bad settings, or a policy that needs a catalogue; or if the name is taken.
    """
    if not 1 <= features <= 10_000:
        raise ConfigError(f"features must be within 1 and 10000, got {features}")
    if not 1 <= slots <= 100 or not slots <= candidates <= 1_000:
        raise ConfigError(
            f"slots must be within 1 and 100 and candidates within slots and 1000, got {slots} and "
            f"{candidates}"
        )
    policy = build_policy(kind, config, dimension=features)
    contexts = given_contexts(policy, dimension=features)
    # One page of nothing known: a policy that cannot serve any is refused here.
    policy.decide(
        contexts.build(
            np.arange(candidates, dtype=np.int32)[None],
            np.full((1, candidates), 0.5, dtype=np.float32),
            np.zeros((1, candidates, features), dtype=np.float32),
        ),
        slots=slots,
        keys=np.zeros(1, dtype=np.uint64),
    )
    snapshot = policy.snapshot()
    settings = {"kind": kind, **config}
    manifest = Manifest(
        name=name,
        policy=settings,
        dimension=features,
        slots=slots,
        candidates=candidates,
        rest=0,
        source=None,
        arm=None,
        plays=None,
        reward=reward or RewardSettings(),
        snapshot_hash=snapshot.content_hash,
        origin={"policy": kind},
        versions=versions([kind]),
        files={},
    )
    return write_bundle(
        data_dir,
        manifest,
        snapshot=snapshot,
        model=None,
        item_ids=(),
        keys=keys,
        replace=replace_old,
    )


def finished_run(run: Path) -> tuple[dict[str, Any], ExperimentSettings]:
    """Results and settings of a finished run.

    Raises:
        DataError: it is none.
    """
    path = run / "settings.json"
    if not path.is_file():
        raise DataError(run, rule="must be the folder of a run")
    if not (run / "results.json").is_file():
        raise DataError(run, rule="must hold a finished run; matinee simulate --resume ends it")
    results = read_json(run / "results.json")
    if not isinstance(results, dict) or "arm_runs" not in results:
        raise DataError(run / "results.json", rule="must hold the results of a run")
    return results, parse_settings(read_json(path), origin=str(path))


def _arm(settings: ExperimentSettings, name: str) -> ArmSettings:
    names = [arm.name for arm in settings.arms]
    if name not in names:
        raise ConfigError(f"arm must be one of {', '.join(names)}, got {name!r}")
    found = settings.arm(name)
    if found.reference:
        raise ConfigError(
            f"arm {name!r} ranks by the simulator's truth ({found.policy['kind']}), which no "
            "service has"
        )
    return found


def _own_part(model: ServingModel, arm: ArmSettings) -> ServingModel:
    """The model with what this arm needs alone."""
    rules = {arm.name: model.rules[arm.name]} if arm.name in model.rules else {}
    source = {arm.candidates: model.sources[arm.candidates]}
    return replace(model, sources=source, own={}, notes=(), rules=rules)


def item_names(settings: ExperimentSettings, catalogue: Catalogue) -> tuple[str, ...]:
    """The items as the data name them, by catalogue row.

    Args:
        settings: of the run.
        catalogue: of the run.
    """
    numbers = catalogue.ids.tolist()
    if settings.data is None or not settings.data.is_table:
        return tuple(map(str, numbers))
    dataset = open_data(settings.data)
    if not dataset.item_labels:
        return tuple(map(str, numbers))
    labels = dict(zip(dataset.catalogue.ids.tolist(), dataset.item_labels, strict=True))
    return tuple(labels[number] for number in numbers)


def _classes(arm: ArmSettings) -> list[str]:
    return [kind for kind in arm.kinds() if ":" in kind]
