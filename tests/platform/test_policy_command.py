"""`matinee policy list` and `matinee policy check`, as typed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from matinee_platform.commands.policy import app
from matinee_policies.errors import ConfigError
from matinee_policies.policy_check import IGNORES_LATER, notes_on, rule_tests
from matinee_policies.registry import POLICY_KINDS, build_policy

ROOT = Path(__file__).parents[2]
EXAMPLE = "examples.custom_policy:NoveltyBoltzmann"


def policy(*words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "matinee_platform.cli", "policy", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
    )


def test_the_example_keeps_every_rule() -> None:
    done = policy("check", EXAMPLE, "--set", "novelty=0.2", "--set", "diversity=0.1", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["passed"] is True
    assert report["settings"] == {"novelty": 0.2, "diversity": 0.1}
    assert len(report["rules"]) == len(rule_tests()) == 18
    assert report["notes"] == []


def test_a_broken_class_in_the_current_folder_is_named_with_its_rule(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        "from matinee_policies import Uniform, UniformConfig\n"
        "class Greedy(Uniform):\n"
        "    config_type = UniformConfig\n"
        "    def decide(self, contexts, *, slots, keys):\n"
        "        return super().decide(contexts, slots=slots, keys=keys * 0)\n",
        encoding="utf-8",
    )
    done = policy("check", "shop:Greedy", cwd=tmp_path)
    assert done.returncode == 1
    assert "FAILED  draws follow the law" in done.stdout
    assert "shop:Greedy breaks 1 of 18 rules." in done.stdout


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["no_such:Class"], "no module 'no_such'"),
        ([EXAMPLE, "--set", "colour=1"], "no setting 'colour'; it has novelty"),
        ([EXAMPLE, "--set", "novelty"], "--set takes key=value, got 'novelty'"),
        (["lin_usb"], "policy must be one of"),
    ],
)
def test_a_mistake_is_a_config_error(
    words: list[str], complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ROOT)
    done = CliRunner().invoke(app, ["check", *words])
    assert isinstance(done.exception, ConfigError)
    assert complaint in str(done.exception)
    assert done.stdout == ""


FORGETFUL = (
    "from matinee_policies import LinUCB, LinUCBConfig\n"
    "class Forgetful(LinUCB):\n"
    "    config_type = LinUCBConfig\n"
    "    def learn(self, outcomes):\n"
    "        if outcomes.first:\n"
    "            super().learn(outcomes)\n"
)


def test_a_learner_that_drops_later_rewards_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "forgetful_shop.py").write_text(FORGETFUL, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "forgetful_shop", raising=False)
    name = "forgetful_shop:Forgetful"
    assert notes_on(lambda: build_policy(name, {}, dimension=3), dimension=3) == [IGNORES_LATER]
    done = CliRunner().invoke(app, ["check", name])
    assert "Note: this policy ignores rewards that come later (return visits)." in done.stdout


IGNORE_LATER = {"logistic", "new_items", "vowpal_wabbit", "vowpal_wabbit_per_slot"}


@pytest.mark.parametrize("kind", POLICY_KINDS)
def test_those_that_learn_row_by_row_ignore_later_rewards(kind: str) -> None:
    notes = notes_on(lambda: build_policy(kind, {}, dimension=3), dimension=3)
    assert notes == ([IGNORES_LATER] if kind in IGNORE_LATER else [])


def test_list_shows_kinds_with_defaults() -> None:
    listed = json.loads(CliRunner().invoke(app, ["list", "--json"]).stdout)
    assert listed["uniform"] == {"caps": {"aspect": 0, "creator": 0}}
    assert listed["lin_ucb"]["alpha"] == 0.5
    lines = CliRunner().invoke(app, ["list"]).stdout.splitlines()
    assert "lin_ucb: Best upper bound first, under a floor." in lines
    assert [line.split(":")[0] for line in lines[: len(POLICY_KINDS)]] == list(POLICY_KINDS)


@pytest.mark.parametrize("kind", POLICY_KINDS)
def test_show_explains_every_setting(kind: str) -> None:
    shown = CliRunner().invoke(app, ["show", kind])
    assert shown.exit_code == 0, shown.output
    report = json.loads(CliRunner().invoke(app, ["show", kind, "--json"]).stdout)
    for name, setting in report["settings"].items():
        assert f"  {name}={json.dumps(setting['default'])}  " in shown.stdout
        assert setting["meaning"]


def test_show_explains_a_setting_in_words() -> None:
    shown = CliRunner().invoke(app, ["show", "lin_ucb"]).stdout
    assert "  alpha=0.5  Widths to add to the prediction, at least 0." in shown
