"""`matinee replay`: from the log of a run, or of a service, to the snapshots it led to."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from matinee_policies.errors import ConfigError

if TYPE_CHECKING:
    from matinee_platform.learning.replay_arm import LiveReplay
    from matinee_platform.replay import ArmReplay


def replay(
    run: Annotated[
        Path | None,
        typer.Argument(
            metavar="FOLDER", help="Folder of a finished run, or data folder of a service."
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Settings of a service, in YAML."),
    ] = None,
    arms: Annotated[
        list[str] | None,
        typer.Option("--arm", metavar="ARM", help="Only this arm; repeatable."),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare; replay does so with and without it.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Learn every arm anew from its log alone: each snapshot must be the one that was kept.

    Of a service, which may be running, every decision of a policy is taken again as well, from the
    last genesis of its arm on.
    Exit status 1 if any snapshot or decision differs, an arm cannot be replayed, or the log is not
    whole; all arms are told.
    Examples: matinee replay runs/demo; matinee replay --verify DATA_DIR
    """
    found = []
    for one in _found(run, config, arms or []):
        found.append(one)
        if not as_json:
            print(_line(one), flush=True)
    if as_json:
        print(json.dumps([{**asdict(one), "passed": one.passed} for one in found], indent=2))
    if not all(one.passed for one in found):
        raise typer.Exit(1)


def _found(
    folder: Path | None, config: Path | None, arms: list[str]
) -> "Iterator[ArmReplay | LiveReplay]":
    if (folder is None) == (config is None):
        raise ConfigError("replay needs a folder, or the settings of a service: --config FILE")
    from matinee_platform.service.settings_file import is_service_folder

    if folder is not None and not is_service_folder(folder):
        from matinee_platform.offline.replay_run import replay_run

        yield from replay_run(folder, arms)
        return
    from matinee_platform.learning.replay_service import replay_service
    from matinee_platform.service.settings_file import load_service_settings, settings_of_folder

    if folder is not None:
        settings = settings_of_folder(folder)
    elif config is not None:
        settings = load_service_settings(config)
    yield from replay_service(settings, arms)


def _line(found: "ArmReplay | LiveReplay") -> str:
    from matinee_platform.replay import ArmReplay

    return _run_line(found) if isinstance(found, ArmReplay) else service_line(found)


def _run_line(found: "ArmReplay") -> str:
    words = [
        f"{found.arm}: {'ok' if found.passed else 'FAILED'}: "
        f"{found.equal} of {found.snapshots} snapshots equal",
        f"{found.decisions:,} decisions replayed, {found.unequal_decisions:,} unequal",
    ]
    if not found.complete:
        words.append("the log is not the one whose length and content hash the results name")
    if found.unmatched_events:
        words.append(f"{found.unmatched_events:,} events of no decision within its window")
    if found.first_unequal is not None:
        words.append(f"first unequal: version {found.first_unequal} ({found.reason})")
    return "; ".join(words)


def service_line(found: "LiveReplay") -> str:
    """What replaying an arm of a service found, for people."""
    if found.failure:
        return f"{found.experiment}/{found.arm}: FAILED: {found.failure}"
    words = [
        f"{found.experiment}/{found.arm}: {'ok' if found.passed else 'FAILED'}: "
        f"{found.equal:,} of {found.barriers:,} barriers equal, from version {found.genesis} on",
        f"{found.equal_decisions:,} of {found.decisions:,} decisions of the policy came out again",
    ]
    if found.unknown_states:
        words.append(f"{found.unknown_states:,} of versions from before it, which are gone")
    if found.other_decisions:
        words.append(f"{found.other_decisions:,} of a fallback or the default order")
    if found.features_unequal:
        words.append(
            f"{found.features_unequal:,} of {found.features_compared:,} feature tables unequal"
        )
    if found.first_unequal is not None:
        words.append(f"first unequal: version {found.first_unequal} ({found.reason})")
    if found.first_unequal_decision is not None:
        words.append(f"first unequal decision: {found.first_unequal_decision}")
    if found.rows_removed and not found.passed:
        words.append(
            "rows that it learned from were removed since (forget, retention), so this cannot be "
            "told from damage: run it again after the arm's next barrier, from which replay begins"
        )
    return "; ".join(words)
