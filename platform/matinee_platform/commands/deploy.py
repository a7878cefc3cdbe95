"""`matinee deploy`: an arm of a run, or a policy without a catalogue, to the live service."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from matinee_platform.commands.service_options import Database

if TYPE_CHECKING:
    from matinee_platform.serving.bundle import Manifest
    from matinee_policies.snapshot_signature import SigningKeys


def deploy(
    source: Annotated[
        str | None, typer.Argument(metavar="RUN:ARM", help="Folder of a finished run, and its arm.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DATA_DIR", help="Data folder of the service.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="Name of the bundle; the arm's else.")
    ] = None,
    first_day: Annotated[
        bool,
        typer.Option(
            "--first-day",
            help="As before the run's first day, for its simulated users; all arms of RUN alone.",
        ),
    ] = False,
    policy: Annotated[
        str | None,
        typer.Option("--policy", metavar="KIND", help="Without a run: a new policy of this kind."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Setting of --policy; repeatable."),
    ] = None,
    features: Annotated[
        int | None,
        typer.Option("--features", metavar="N", help="With --policy: numbers given for each item."),
    ] = None,
    slots: Annotated[int, typer.Option("--slots", help="With --policy: items per slate.")] = 10,
    candidates: Annotated[
        int, typer.Option("--candidates", help="With --policy: most candidates of a decision.")
    ] = 100,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace", help="Replace a bundle of the same name that no experiment began with."
        ),
    ] = False,
    database: Database = "sqlite",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Ship an arm of a finished run to the live service: policy, snapshot, candidates, catalogue.

    Without a run, --policy ships a policy that has learned nothing and knows no items: callers
    name them and give N features each. Examples: matinee deploy runs/demo:lin_ucb --to service;
    matinee deploy --policy lin_ucb --set alpha=0.2 --features 8 --as shop --to service
    """
    if to is None:
        raise typer.BadParameter("--to DATA_DIR must be given")
    if first_day and source is None:
        raise typer.BadParameter("--first-day needs RUN:ARM")
    if (source is None) == (policy is None):
        raise typer.BadParameter("give either RUN:ARM or --policy KIND")
    keys = _keys(to)
    if replace:
        _check_replacement(source, name, to, database)
    if policy is not None:
        manifest = _deploy_policy(
            policy, settings, features, name, to, slots, candidates, replace, keys
        )
        manifests = [manifest]
    elif first_day and source is not None and Path(source).is_dir():
        if name is not None:
            raise typer.BadParameter("--as names one bundle: give RUN:ARM")
        manifests = _deploy_first_day(Path(source), to, replace, keys)
    else:
        manifests = [_deploy_arm(str(source), name, to, replace, keys, first_day)]
    if as_json:
        found = [manifest.model_dump(mode="json") for manifest in manifests]
        print(json.dumps(found[0] if len(found) == 1 else found, indent=2))
        return
    for manifest in manifests:
        _tell(manifest, keys)


def _check_replacement(source: str | None, name: str | None, to: Path, database: str) -> None:
    """Refuse it where experiments began with the bundle."""
    from matinee_platform.maintenance.bundle_users import refuse_replacement

    if name is not None:
        names = [name]
    elif source is None:
        names = []
    elif Path(source).is_dir():
        from matinee_platform.serving.deploy import finished_run

        names = [arm.name for arm in finished_run(Path(source))[1].arms]
    else:
        names = [source.rpartition(":")[2]]
    refuse_replacement(to, names, database=database)


def _tell(manifest: "Manifest", keys: "SigningKeys | None") -> None:
    size = sum(file.size for file in manifest.files.values())
    what = f"source {manifest.source}" if manifest.source else f"{manifest.dimension} features"
    signed = "" if keys is not None else "; not signed: no key is set"
    print(
        f"{manifest.name}: {manifest.kind} over {what}, {manifest.slots} slots, "
        f"{manifest.candidates} candidates; {len(manifest.files)} files, {size / 1e6:,.1f} MB"
        f"{signed}"
    )


def _deploy_arm(
    source: str,
    name: str | None,
    to: Path,
    replace: bool,
    keys: "SigningKeys | None",
    first_day: bool,
) -> "Manifest":
    from matinee_platform.serving.deploy import deploy_arm, finished_run
    from matinee_policies.snapshot_signature import SigningKeys

    run, colon, arm = source.rpartition(":")
    if not colon or not run or not arm:
        raise typer.BadParameter(f"must be RUN:ARM, got {source!r}")
    past = None
    if first_day:
        from matinee_platform.offline.first_day import first_day_units

        past = first_day_units(Path(run), finished_run(Path(run))[1])
    return deploy_arm(
        Path(run),
        arm,
        data_dir=to,
        name=name,
        keys=keys,
        run_keys=SigningKeys.configured(),
        past=past,
        replace_old=replace,
    )


def _deploy_first_day(
    run: Path, to: Path, replace: bool, keys: "SigningKeys | None"
) -> "list[Manifest]":
    """All arms of a run, as they were before its first day."""
    from matinee_platform.offline.first_day import first_day_units
    from matinee_platform.serving.deploy import deploy_arm, finished_run
    from matinee_policies.snapshot_signature import SigningKeys

    _, settings = finished_run(run)
    past, run_keys = first_day_units(run, settings), SigningKeys.configured()
    return [
        deploy_arm(
            run,
            arm.name,
            data_dir=to,
            keys=keys,
            run_keys=run_keys,
            past=past,
            replace_old=replace,
        )
        for arm in settings.arms
    ]


def _deploy_policy(
    kind: str,
    settings: list[str] | None,
    features: int | None,
    name: str | None,
    to: Path,
    slots: int,
    candidates: int,
    replace: bool,
    keys: "SigningKeys | None",
) -> "Manifest":
    from matinee_platform.serving.deploy import deploy_policy
    from matinee_platform.settings import key_values

    if features is None or name is None:
        raise typer.BadParameter("--policy needs --features N and --as NAME")
    return deploy_policy(
        kind,
        key_values(settings or []),
        features=features,
        name=name,
        data_dir=to,
        slots=slots,
        candidates=candidates,
        keys=keys,
        replace_old=replace,
    )


def _keys(data_dir: Path) -> "SigningKeys | None":
    """The keys that sign bundles for the service of this folder."""
    from matinee_platform.service.secrets import Secrets
    from matinee_platform.service.settings import ServiceSettings

    return Secrets.load(ServiceSettings.model_validate({"data_dir": data_dir})).signing
