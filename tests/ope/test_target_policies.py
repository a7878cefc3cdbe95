"""Policies that are named as targets: files, snapshots and arms, and those that are refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from matinee_platform.ope.inputs.run_log import run_log
from matinee_platform.ope.inputs.target_policy import target_policy
from matinee_policies.errors import ConfigError, MatineeError
from matinee_policies.registry import build_policy


@pytest.mark.parametrize(
    ("policy", "rule"),
    [
        ("RUN:popular", "takes its candidates from 'popularity'"),
        ("RUN:truth", "must not know the truth"),
        ("RUN:nobody", "must be one of soft, softer"),
        ("RUN:soft@99", "version of .* must be within 0 and"),
        ("nothing.yaml", "policy must be a YAML or JSON file"),
        ("FOLDER/experiment.yaml", "not an experiment"),
        ("FOLDER/kind.yaml", "policy must be one of uniform"),
        ("FOLDER/list.yaml", "must hold the settings of a policy by name"),
        ("FOLDER/caps.yaml", "has no setting 'cap'"),
        ("FOLDER/junk.npz", "snapshot|npz|zip"),
    ],
)
def test_policies_that_are_refused(explored: Path, tmp_path: Path, policy: str, rule: str) -> None:
    for name, text in (
        ("experiment.yaml", "{arms: [], kind: uniform}"),
        ("kind.yaml", "{kind: best}"),
        ("list.yaml", "[1, 2]"),
        ("caps.yaml", "{kind: uniform, cap: 3}"),
        ("junk.npz", "no archive"),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
    wanted = policy.replace("RUN", str(explored)).replace("FOLDER", str(tmp_path))
    with pytest.raises(MatineeError, match=rule):
        target_policy(wanted, run_log(explored, "soft"))


def test_policies_over_other_features_or_another_catalogue_are_refused(
    explored: Path, tmp_path: Path
) -> None:
    log = run_log(explored, "soft")
    with pytest.raises(ConfigError, match="must be of 11 features"):
        target_policy(build_policy("lin_ucb", {}, dimension=4), log)
    stranger = replace(log, catalogue="0" * 16)
    for wanted in (f"{explored}:soft", str(explored / "snapshots" / "soft" / "00000.npz")):
        with pytest.raises(MatineeError, match="must be over catalogue version 0000"):
            target_policy(wanted, stranger)
    given = replace(log, catalogue=None)
    with pytest.raises(ConfigError, match="callers of"):
        target_policy(f"{explored}:soft", given)


def test_snapshots_and_versions_are_targets(explored: Path) -> None:
    log = run_log(explored, "soft")
    folder = explored / "snapshots" / "learner"
    last = sorted(folder.glob("*.npz"))[-1]
    named = target_policy(f"{explored}:learner", log).policy
    for wanted in (str(last), f"{explored}:learner@{int(last.stem)}"):
        again = target_policy(wanted, log).policy
        assert again.snapshot().content_hash == named.snapshot().content_hash
    first = target_policy(f"{explored}:learner@0", log).policy
    assert first.snapshot().content_hash != named.snapshot().content_hash
    new = target_policy({"kind": "lin_ucb"}, log)
    assert "has learned nothing" in new.notes[0]
