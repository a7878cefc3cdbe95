"""The command group `matinee snapshot`."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from matinee_platform.cli import app
from matinee_policies import LinUCB, LinUCBConfig, SnapshotError
from matinee_policies.features import FEATURE_NAMES
from matinee_policies.snapshot_signature import KEYS_VARIABLE, SigningKeys
from matinee_policies.testing_data import example_outcomes

SECRET = "5ec2e7" * 12
KEYS = SigningKeys.parse(f"now:{SECRET}", origin="test")


def invoke(*words: object) -> Result:
    return CliRunner().invoke(app, ["snapshot", *map(str, words)])


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEYS_VARIABLE, raising=False)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A state, and a signed one of another price that has learned more."""
    dimension = len(FEATURE_NAMES)
    for name, alpha, slates, keys in (("a", 0.5, 20, None), ("b", 0.7, 40, KEYS)):
        policy = LinUCB(LinUCBConfig(alpha=alpha), dimension=dimension)
        policy.learn(example_outcomes(1, slates=slates, dimension=dimension))
        policy.snapshot().save(tmp_path / f"{name}.npz", keys=keys)
    (tmp_path / "keys").write_text(f"now:{SECRET}\n")
    return tmp_path / "a.npz", tmp_path / "b.npz"


def test_inspect_tells_what_is_in_a_file(files: tuple[Path, Path], tmp_path: Path) -> None:
    done = invoke("inspect", files[0])
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == f"{files[0]}: lin_ucb, version 1"
    assert "signature  unsigned" in lines
    assert "  dimension: 11" in lines
    assert any(line.startswith("  theta: float64 [11], ") for line in lines)
    report = json.loads(invoke("inspect", files[1], "--json").stdout)
    assert report["kind"] == "lin_ucb"
    assert report["manifest"]["config"]["alpha"] == 0.7
    assert report["arrays"]["gram"]["shape"] == [64, 11, 11]
    assert report["arrays"]["theta"]["low"] < report["arrays"]["theta"]["high"]
    assert report["signature"] == {"key": "now", "verified": False}
    assert len(report["content_hash"]) == 64
    signed = invoke("inspect", files[1], "--key", tmp_path / "keys").stdout
    assert "signature  signed by key now, verified" in signed
    assert "not verified: no key is set" in invoke("inspect", files[1]).stdout


def test_diff_tells_settings_arrays_and_coefficients(files: tuple[Path, Path]) -> None:
    lines = invoke("diff", *files, "--top", 2).stdout.splitlines()
    assert "config.alpha: 0.5 -> 0.7" in lines
    assert any(line.startswith("theta: float64 [11]: 11 entries differ, at most") for line in lines)
    start = lines.index("coefficients, the largest changes first")
    assert lines[start + 1].startswith("  theta ")
    assert lines[start + 3] == "  and 9 more"
    report = json.loads(invoke("diff", *files, "--json").stdout)
    assert not report["equal"]
    assert {change["feature"] for change in report["coefficients"]} <= set(FEATURE_NAMES)
    same = invoke("diff", files[0], files[0])
    assert (same.exit_code, same.stdout) == (0, "equal: the same content, to the last bit\n")
    assert json.loads(invoke("diff", files[0], files[0], "--json").stdout)["equal"]


def test_verify_tells_all_files_and_fails_for_one(files: tuple[Path, Path], tmp_path: Path) -> None:
    done = invoke("verify", *files)
    assert done.exit_code == 0, done.output
    bad = tmp_path / "bad.npz"
    bad.write_bytes(files[0].read_bytes()[:-1])
    done = invoke("verify", bad, *files, tmp_path / "none.npz")
    assert done.exit_code == 1
    words = [line.partition(": ")[2].partition(":")[0] for line in done.stdout.splitlines()]
    assert words == ["FAILED", "ok", "ok", "FAILED"]
    report = json.loads(invoke("verify", bad, files[0], "--json").stdout)
    assert [one["ok"] for one in report] == [False, True]
    assert "its end is missing" in report[0]["reason"]


def test_a_key_asks_for_signatures(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_file = invoke("verify", *files, "--key", tmp_path / "keys")
    monkeypatch.setenv(KEYS_VARIABLE, f"next:{'ab' * 32} now:{SECRET}")
    by_environment = invoke("verify", *files)
    for done in (by_file, by_environment):
        assert done.exit_code == 1
        told = done.stdout.splitlines()
        assert told[0].endswith("a.npz must be signed, got no signature")
        assert told[1].endswith("signed by key now, verified")
        assert "5ec2e7" not in done.output
    for words in (("inspect", files[0]), ("diff", *files)):
        done = invoke(*words)
        assert isinstance(done.exception, SnapshotError)
        assert "must be signed" in str(done.exception)
