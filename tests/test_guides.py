"""The guides to code of one's own: their files and commands, run as they stand."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"```(python|yaml|bash)\n(.*?)```", re.DOTALL)
NAMED = re.compile(r"# (\S+\.(?:py|yaml))\n")


@pytest.mark.long
def test_the_guide_to_your_own_recommender_runs_as_written(tmp_path: Path) -> None:
    output = run_guide("your_own_recommender.md", tmp_path)
    assert len(output) == 5
    assert "shop:Boltzmann keeps all 18 rules." in output["matinee policy check shop:Boltzmann"]
    assert "recall@10" in output["matinee candidates evaluate"]
    assert "Source lists: 40 of 60 units have a list" in output["matinee simulate"]
    assert "20 fall back to popularity" in output["matinee simulate"]
    assert "newest: ok" in output["matinee verify runs/own"]


@pytest.mark.long
def test_the_guide_to_your_own_policy_runs_as_written(tmp_path: Path) -> None:
    output = run_guide("your_own_policy.md", tmp_path)
    assert (
        "optimist:Optimist keeps all 18 rules." in output["matinee policy check optimist:Optimist"]
    )
    assert "optimist: ok" in output["matinee verify runs/optimist"]
    done = subprocess.run(
        [sys.executable, "library.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "'caps__aspect': 2" in done.stdout


@pytest.mark.long
def test_the_guide_to_off_policy_values_runs_as_written(tmp_path: Path) -> None:
    output = run_guide("off_policy.md", tmp_path)
    values = output["matinee ope runs/small:explorer"]
    assert "propensities come out again" in values
    assert "cascade_dr" in values
    (found,) = json.loads(output["matinee ope runs/small:order"])
    (refused,) = found["policies"]
    assert refused["value"] is None
    assert refused["refused"]
    assert "Ramp to" in output["matinee promote runs/small:explorer"]
    done = subprocess.run(
        [sys.executable, "library.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Interval(low=" in done.stdout


def test_the_page_of_off_policy_values_names_every_estimator_and_interval() -> None:
    from matinee_platform.ope.estimator_list import ESTIMATORS
    from matinee_platform.ope.interval_kinds import INTERVALS
    from matinee_platform.ope.regression import MODEL_KINDS

    text = (ROOT / "docs" / "off_policy.md").read_text("utf-8")
    names = [*ESTIMATORS, *MODEL_KINDS, *INTERVALS[1:]]
    assert [name for name in names if f"`{name}" not in text and f" {name}`" not in text] == []


def test_a_policy_takes_thirty_lines() -> None:
    text = (ROOT / "docs" / "your_own_policy.md").read_text("utf-8")
    code = next(content for _, content in BLOCK.findall(text) if NAMED.match(content))
    lines = [line for line in code.splitlines() if line.strip() and not line.startswith("#")]
    imports = [line for line in lines if line.startswith(("import ", "from "))]
    assert len(lines) - len(imports) <= 30


def test_the_guide_names_every_command_that_imports_the_users_code() -> None:
    """Those whose modules build or restore policies, or fit sources, by name."""
    text = (ROOT / "docs" / "your_own_recommender.md").read_text("utf-8")
    trust = " ".join(text.partition("## Trust")[2].split())
    commands = ["simulate", "tradeoff", "policy check", "candidates evaluate"]
    commands += ["verify", "replay", "explain", "ope", "promote", "report"]
    assert [name for name in commands if f"`{name}`" not in trust] == []


def test_the_page_of_policies_names_every_kind() -> None:
    from matinee_policies import POLICY_KINDS

    text = (ROOT / "docs" / "policies.md").read_text("utf-8")
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == list(POLICY_KINDS)


def run_guide(name: str, folder: Path) -> dict[str, str]:
    """Write a guide's files, run its commands there; what each printed, by command."""
    commands = []
    for language, content in BLOCK.findall((ROOT / "docs" / name).read_text("utf-8")):
        if language == "bash":
            commands += content.splitlines()
        else:
            named = NAMED.match(content)
            assert named, content
            (folder / named[1]).write_text(content, encoding="utf-8")
    output = {}
    for command in commands:
        done = subprocess.run(
            shlex.split(command),
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            env=environment(),
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        output[command.split(" --")[0]] = done.stdout + done.stderr
    return output


def environment() -> dict[str, str]:
    """Ours without real data, and with `matinee` and `python` of this interpreter first."""
    own = {key: value for key, value in os.environ.items() if key != "MATINEE_DATA"}
    return {**own, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
