"""The arms of an experiment without its analysis and report, for tests that compare logs."""

from dataclasses import replace
from pathlib import Path

from matinee_platform.offline.arm_process import compile_kernels, run_arms
from matinee_platform.offline.arm_state import first_snapshots
from matinee_platform.offline.prepare import prepare
from matinee_platform.settings import ExperimentSettings

Identities = dict[str, tuple[str, list[str]]]
"""Hashes of the log and of every snapshot, by arm."""


def played(settings: ExperimentSettings, folder: Path, *, workers: int = 1) -> Identities:
    """Play every arm in a new folder; hashes of its log and snapshots, as in `results.json`."""
    shared = prepare(settings)
    shared = replace(shared, initial=first_snapshots(settings, shared.model.items))
    folder.mkdir()
    shared.save(folder)
    if workers > 1:
        compile_kernels(settings, shared)
    arms = run_arms(settings, folder, workers=workers, report=lambda day: None)
    return {arm.arm: (arm.log_hash, list(arm.snapshots)) for arm in arms}
