"""Where keys are set, a run signs its snapshots, and nothing that reads them takes others."""

import shutil
from pathlib import Path

import pytest

from matinee_platform.offline.replay_run import replay_run
from matinee_platform.offline.run import run_experiment
from matinee_platform.settings import parse_settings
from matinee_platform.verify import check_run
from matinee_policies.errors import SnapshotError
from matinee_policies.snapshot import Snapshot
from matinee_policies.snapshot_file import read_signature
from matinee_policies.snapshot_signature import KEYS_VARIABLE

OLD, NEW = f"old:{'0d' * 32}", f"new:{'4e' * 32}"


class StopError(Exception):
    """Interrupts a run from within."""


def test_a_run_signs_and_asks_for_signatures(
    small_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = parse_settings(
        {
            "name": "signed",
            "users": 40,
            "days": 4,
            "slots": 4,
            "candidates": 15,
            "checkpoint_every": 1,
            "data": str(small_data),
            "world": {"arrival_days": 1},
            "arms": [{"name": "lin_ucb", "policy": {"kind": "lin_ucb"}}],
        }
    )
    run = tmp_path / "run"

    def stop(report: object) -> None:
        raise StopError

    monkeypatch.setenv(KEYS_VARIABLE, OLD)
    with pytest.raises(StopError):
        run_experiment(settings, run, workers=1, report=stop)
    # The key is replaced while the run is down.
    monkeypatch.setenv(KEYS_VARIABLE, f"{NEW} {OLD}")
    run_experiment(settings, run, workers=1, resume=True)
    signers = [
        signature and signature.key_id
        for signature in map(read_signature, sorted((run / "snapshots" / "lin_ucb").glob("*.npz")))
    ]
    assert signers == ["old", "old", "new", "new", "new"]
    assert [check.passed for check in check_run(run)] == [True]
    assert [replay.passed for replay in replay_run(run)] == [True]
    last = run / "snapshots" / "lin_ucb" / "00004.npz"
    unsigned = tmp_path / "unsigned"
    shutil.copytree(run, unsigned)
    Snapshot.load(last).save(unsigned / last.relative_to(run))
    with pytest.raises(SnapshotError, match=r"00004\.npz must be signed"):
        list(replay_run(unsigned))
    monkeypatch.setenv(KEYS_VARIABLE, NEW)
    for read in (check_run, lambda folder: list(replay_run(folder))):
        with pytest.raises(SnapshotError, match="one of the keys new, got 'old'"):
            read(run)
    monkeypatch.delenv(KEYS_VARIABLE)
    assert [replay.passed for replay in replay_run(run)] == [True]
