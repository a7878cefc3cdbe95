"""`evaluate_actions` and `matinee ope` on logs of others: values, notes, refusals, every form."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from matinee_platform.cli import app
from matinee_platform.ope import evaluate_actions
from matinee_platform.ope.action_evaluation import action_law, compare_actions
from matinee_platform.ope.evaluator import Method
from matinee_platform.ope.inputs.action_log import ActionLog
from matinee_platform.ope.inputs.dsjson_lines import write_dsjson
from matinee_platform.ope.inputs.obp_export import write_obp
from matinee_platform.ope.inputs.open_bandit import open_bandit_log
from matinee_platform.ope.inputs.parquet_export import write_parquet
from matinee_platform.ope.inputs.policy_table import policy_frequencies, write_policy_table
from matinee_platform.ope.inputs.table import table_log
from matinee_platform.ope.inputs.target_law import table_law
from matinee_platform.ope.interval import RewardRange
from matinee_policies.arrays import FloatArray
from matinee_policies.errors import ConfigError, ContextError

N, K = 4_000, 4
COLUMNS = {"action": "item", "reward": "click", "propensity": "p", "context": "x"}
TARGET = np.array([[0.5], [0.25], [0.25], [0.0]])
SMALL: dict[str, Any] = {"replicates": 100, "intervals": ("default",)}


def made_up_table() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    p = np.array([0.4, 0.3, 0.2, 0.1])
    item = rng.choice(K, N, p=p)
    return pd.DataFrame(
        {
            "item": [f"item {k}" for k in item],
            "click": (rng.random(N) < 0.1 + 0.1 * item).astype(float),
            "p": p[item],
            "new": TARGET[item, 0],
            "nothing": 0.0,
            "x": rng.normal(size=N),
        }
    )


def made_up_log() -> ActionLog:
    return table_log(made_up_table(), COLUMNS)


def ips(table: pd.DataFrame) -> float:
    return float((table["click"] * table["new"] / table["p"]).mean())


def test_a_value_is_the_weighted_mean_and_tells_its_diagnostics() -> None:
    found = evaluate_actions(
        made_up_log(), table_law(TARGET), estimators=["ips", "dr"], name="made up", **SMALL
    )
    assert found.headline.value == pytest.approx(ips(made_up_table()), rel=1e-12)
    truth = float(TARGET[:, 0] @ (0.1 + 0.1 * np.arange(K)))
    for one in found.values:
        assert one.interval is not None
        assert truth in one.interval
    assert (found.log, found.component, found.model) == ("made up", "reward", "ridge")
    (note,) = found.notes
    assert note.startswith("no units are named")


def test_estimated_propensities_are_told_with_every_value() -> None:
    columns = {use: name for use, name in COLUMNS.items() if use != "propensity"}
    log = table_log(made_up_table(), columns, propensities="empirical")
    found = evaluate_actions(log, table_law(TARGET), reward_model="none", **SMALL)
    notes = found.to_json()["notes"]
    assert "estimated (empirical)" in notes[0]
    compared = compare_actions(log, ["uniform"], Method(reward_model="none", replicates=100))
    assert compared.to_json()["policies"][0]["notes"] == notes


def test_a_column_of_probabilities_tells_a_value_if_its_reach_is_told() -> None:
    table = made_up_table()
    log = table_log(table, {**COLUMNS, "target": "new"})
    found = evaluate_actions(log, "column", **SMALL)
    assert found.headline.value is None
    assert any("an unknown share" in words for words in found.verdict.words())
    log = table_log(table, {**COLUMNS, "target": "new", "unreachable": "nothing"})
    found = evaluate_actions(log, None, estimators=["ips"], **SMALL)
    assert found.headline.value == pytest.approx(ips(table), rel=1e-12)


def test_rewards_are_held_to_the_range_that_is_declared() -> None:
    table = made_up_table()
    log = table_log(table.assign(click=table["click"] * 3), COLUMNS)
    with pytest.raises(ContextError, match="rewards must be within 0 and 1, got 3"):
        evaluate_actions(log, "uniform", **SMALL)
    found = evaluate_actions(
        log, table_law(TARGET), rewards=RewardRange(0, 3), estimators=["ips"], **SMALL
    )
    assert found.headline.value == pytest.approx(3 * ips(table), rel=1e-12)


def test_what_is_no_policy_is_refused(tmp_path: Path) -> None:
    log = made_up_log()
    with pytest.raises(ConfigError, match="policy must be a table of item, position"):
        action_law("best", log)
    for made in (TARGET, pd.DataFrame(TARGET), {"0": 1.0}):
        with pytest.raises(ConfigError, match=f"or a function .*, got {type(made).__name__}$"):
            evaluate_actions(log, made)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="policies must be given, each once, got 'uniform' twice"):
        compare_actions(log, ["uniform", "uniform"], Method())
    with pytest.raises(ConfigError, match="policies must be given, each once, got none"):
        compare_actions(log, [], Method())


def written(folder: Path, form: str) -> list[str]:
    """A log in a form, as arguments of the command."""
    log = made_up_log()
    if form == "obp":
        write_obp(folder / "log.npz", log)
        return [str(folder / "log.npz")]
    if form == "dsjson":
        write_dsjson(folder / "log.json", log)
        return [str(folder / "log.json")]
    if form == "exported":
        write_parquet(folder / "log.parquet", log)
        return [str(folder / "log.parquet")]
    made_up_table().to_csv(folder / "log.csv", index=False)
    columns = [word for use, name in COLUMNS.items() for word in ("--column", f"{use}={name}")]
    return [str(folder / "log.csv"), *columns]


def run(*words: str) -> Any:
    done = CliRunner().invoke(app, ["ope", *words, "--json"])
    assert done.exit_code == 0, (done.output, done.exception)
    (found,) = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("form", ["table", "obp", "dsjson", "exported"])
def test_the_command_reads_every_form(tmp_path: Path, form: str) -> None:
    policy = tmp_path / "policy.csv"
    write_policy_table(policy, made_up_log(), TARGET)
    method = ("--estimators", "ips", "--reward-model", "none")
    found = run(*written(tmp_path, form), "--policy", str(policy), *method)
    (told,) = found["policies"]
    assert told["value"] == pytest.approx(ips(made_up_table()), rel=1e-12)
    assert told["refused"] == []


def test_obp_policies_are_arrays(tmp_path: Path) -> None:
    dist: FloatArray = np.repeat(TARGET[None], N, axis=0)
    np.save(tmp_path / "dist.npy", dist)
    method = ("--estimators", "ips", "--reward-model", "none")
    found = run(*written(tmp_path, "obp"), "--policy", str(tmp_path / "dist.npy"), *method)
    assert found["policies"][0]["value"] == pytest.approx(ips(made_up_table()), rel=1e-12)


def test_pages_that_are_distinct_can_be_said_to_be(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    shown = np.argsort(rng.random((2_000, 4)), axis=1)[:, :2]
    clicks = (rng.random((2_000, 2)) < 0.3) * 1.0
    table = pd.DataFrame({"a1": shown[:, 0], "a2": shown[:, 1], "p1": 1 / 4, "p2": 1 / 3})
    table[["r1", "r2"]] = clicks
    table.to_csv(tmp_path / "pages.csv", index=False)
    columns = [f"--column={use}" for use in ("action=a1,a2", "reward=r1,r2", "propensity=p1,p2")]
    words = [str(tmp_path / "pages.csv"), *columns, "--policy", "uniform", "--estimators", "rips"]
    assert run(*words)["policies"][0]["value"] is None
    found = run(*words, "--distinct")["policies"][0]
    # All weights are 1.
    assert found["value"] == pytest.approx(clicks.sum(axis=1).mean(), rel=1e-12)
    done = CliRunner().invoke(app, ["ope", *written(tmp_path, "dsjson"), "--distinct"])
    assert "a log of form dsjson takes no options, got distinct" in str(done.exception)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--metric", "d28"], "component must be one of value"),
        (["--column", "action"], "--column must be USE=COLUMN"),
        (["--rewards", "high"], "--rewards must be LOW,HIGH"),
        (["--format", "obp"], "a log of form obp takes propensities, distinct, got columns"),
        (["--propensities", "uniform"], "propensities are in column p"),
        (["--clusters", "genre"], "clusters of a log of others are a table of item and cluster"),
        (["--arm", "home"], "--arm is not for logs of others"),
        (["--experiment", "home"], "--experiment is not for logs of others"),
        (["--rewards", "0,0.5"], "rewards must be within 0 and 0.5, got 1; say what a slot can"),
    ],
)
def test_the_command_refuses(tmp_path: Path, words: list[str], told: str) -> None:
    arguments = ["ope", *written(tmp_path, "table"), "--policy", "uniform", *words]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code != 0
    assert told in done.output + str(done.exception)


def test_a_file_of_no_known_form_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "log.words").write_text("")
    done = CliRunner().invoke(app, ["ope", str(tmp_path / "log.words"), "--policy", "uniform"])
    assert done.exit_code != 0
    assert "must be a log of a form that is known: open-bandit" in str(done.exception)
    done = CliRunner().invoke(app, ["ope", str(tmp_path / "none.npz"), "--rewards", "0,1"])
    assert "or folder of a log of others), got" in str(done.exception)


def test_what_an_estimator_asks_for_itself_is_told(tmp_path: Path) -> None:
    arguments = [*written(tmp_path, "table"), "--policy", "uniform", "--estimators", "replay"]
    (told,) = run(*arguments)["policies"]
    assert told["value"] is None
    (reason,) = told["refused"]
    assert reason["rule"] == "estimator"
    assert "it needs a uniform log" in reason["words"]
    done = CliRunner().invoke(app, ["ope", *arguments])
    assert "refused: replay: it needs a uniform log" in done.output


@pytest.mark.parametrize("gap", [-5e-6, -2e-7, 0.0, 2e-7, 5e-6])
def test_rounded_propensities_make_no_policy_better_or_worse(tmp_path: Path, gap: float) -> None:
    rng = np.random.default_rng(4)
    path = tmp_path / "log.csv"
    table = pd.DataFrame({"item": rng.integers(0, 7, 2_000), "click": rng.random(2_000) < 0.3})
    table.astype({"click": float}).assign(p=(1 + gap) / 7).to_csv(path, index=False)
    columns = [f"--column={use}" for use in ("action=item", "reward=click", "propensity=p")]
    words = ["ope", str(path), *columns, "--policy", "uniform", "--estimators", "ips"]
    done = CliRunner().invoke(app, words)
    assert "by ips: the log cannot tell it from what was logged" in done.output
    assert "caution" not in done.output


@pytest.mark.real_data
def test_open_bandit_from_the_command_line(tmp_path: Path) -> None:
    folder = Path(os.environ.get("MATINEE_DATA", "none")) / "open-bandit-small"
    if not folder.is_dir():
        pytest.skip("MATINEE_DATA names no folder with open-bandit-small")
    bts = open_bandit_log(folder, behaviour="bts", campaign="men")
    policy = tmp_path / "bts.csv"
    write_policy_table(policy, bts, policy_frequencies(bts))
    found = run(
        str(folder),
        *("--format", "open-bandit", "--behaviour", "random", "--campaign", "men"),
        *("--policy", str(policy), "--policy", "uniform", "--estimators", "snips,ips,dr,replay"),
        *("--reward-model", "empirical"),
    )
    told, uniform = found["policies"]
    for row in told["estimates"]:
        if row["interval"] is not None:
            # Its own clicks: 69 of 10,000.
            assert row["interval"]["low"] < 0.0069 < row["interval"]["high"]
    assert told["refused"] == []
    assert uniform["estimates"][1]["value"] == pytest.approx(0.0046, rel=1e-12)
    random = ("--behaviour", "bts", "--campaign", "women", "--policy", "uniform")
    blind = run(str(folder), *random, "--reward-model", "none")["policies"][0]
    assert blind["value"] is None
    assert {reason["rule"] for reason in blind["refused"]} == {
        "effective sample size",
        "effective share",
    }
