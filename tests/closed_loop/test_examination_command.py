"""`matinee examination` and `matinee learn-from`, on a small run that explores."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from matinee_platform.analysis.examination_study import read_examination
from matinee_platform.cli import app
from matinee_platform.learn_from_log import learn_from_log
from matinee_policies.errors import ConfigError, MatineeError
from matinee_policies.features import FEATURE_NAMES, FEATURE_VERSION, ItemFeatures
from matinee_policies.registry import build_policy, restore_policy
from matinee_policies.snapshot import Snapshot
from matinee_simulator.parameters import Parameters


def _told(*words: str) -> Any:
    result = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert result.exit_code == 0
    return json.loads(result.stdout) if "--json" in words else result.stdout


def test_the_persistence_of_the_users_is_recovered(explored_run: Path) -> None:
    found = read_examination(explored_run).together
    truth = Parameters().examination_persistence
    assert found.persistence_error < 0.05
    assert abs(found.persistence - truth) < 4 * found.persistence_error
    # Below the first slot stands what resembles it, so its ratio is below the persistence.
    assert found.ratio[0] < truth + 4 * found.ratio_error[0]


def test_the_command_tells_and_draws_the_curve(explored_run: Path, tmp_path: Path) -> None:
    plot = tmp_path / "curve.svg"
    told = _told("examination", str(explored_run), "--json", "--plot", str(plot))
    found = read_examination(explored_run).together
    assert told["together"]["curve"] == found.curve.tolist()
    assert told["arms"]["soft"]["persistence_error"] == found.persistence_error
    assert "examined" in plot.read_text(encoding="utf-8")
    first = plot.read_bytes()
    text = _told("examination", str(explored_run), "--plot", str(plot))
    assert plot.read_bytes() == first
    assert f"{found.curve[1]:.4f}" in text


def test_a_sample_is_taken_where_asked_for(explored_run: Path) -> None:
    whole = read_examination(explored_run).together.pages
    part = read_examination(explored_run, ["soft"], sample=100).together.pages
    assert 50 <= part <= 150 < whole


def test_arms_that_do_not_explore_tell_nothing(tiny_run: Path) -> None:
    told = _told("examination", str(tiny_run), "--json", "--arm", "mf_order")
    assert told["together"]["curve"] == [1.0, None, None, None, None]
    text = _told("examination", str(tiny_run), "--arm", "mf_order", "--arm", "mf_explored")
    assert "mf_order: nothing: it does not explore" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--arm", "nobody"], "arm must be one of soft, got 'nobody'"),
        (["--plot", "curve.gif"], "must name a .png or .svg"),
    ],
)
def test_what_cannot_be_is_refused(explored_run: Path, words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _told("examination", str(explored_run), *words)


def test_a_policy_is_trained_from_the_command_line(explored_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "start.npz"
    source = f"{explored_run}:soft"
    words = ("--policy", "epsilon_greedy", "--set", "epsilon=0.2", "--estimator", "dr")
    told = _told("learn-from", source, *words, "--out", str(out), "--json")
    policy = build_policy("epsilon_greedy", {"epsilon": 0.2}, dimension=len(FEATURE_NAMES))
    learned = learn_from_log(policy, explored_run, "soft", estimator="dr")
    assert told["effective"] == learned.effective
    found = Snapshot.load(out)
    assert found.content_hash == told["content_hash"]
    items = ItemFeatures.load(explored_run / "model" / "item_features.npz")
    noted = {"feature_version": FEATURE_VERSION, "catalogue_version": items.version}
    assert found.manifest == {**policy.snapshot().manifest, **noted}
    assert restore_policy(found).snapshot().content_hash == policy.snapshot().content_hash
    text = _told("learn-from", source, "--out", str(tmp_path / "other.npz"))
    assert "lin_ucb learned" in text
    assert "clipped" in text


@pytest.mark.parametrize(
    ("source", "out", "message"),
    [
        ("runs/demo", "new.npz", "source must be RUN:ARM, got 'runs/demo'"),
        ("runs/demo:arm", "old.npz", "must name a new file"),
        ("runs/demo:arm", "no/folder.npz", "must name a new file"),
        ("runs/none:arm", "new.npz", "settings.json: must be there to read"),
    ],
)
def test_sources_and_files_that_cannot_be_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, out: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("old.npz").touch()
    with pytest.raises(MatineeError, match=message):
        _told("learn-from", source, "--out", out)
