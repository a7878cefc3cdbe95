"""`matinee index`: tune, table and hindsight on a small folder of ratings."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from matinee_platform.cli import app
from matinee_policies.errors import ConfigError
from matinee_simulator.long_run import TABLE_RANKERS, FrozenIndex

SMALL = ["--set", "slots=5", "--set", "candidates=20", "--quiet"]


def matinee(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=True)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_index_is_tuned_and_written(tmp_path: Path, small_data: Path) -> None:
    out = tmp_path / "index.json"
    arguments = ["index", "tune", "--data", str(small_data), "--out", str(out), "--quick", *SMALL]
    text = matinee(*arguments, "--json")
    assert text == out.read_text(encoding="utf-8")
    found = FrozenIndex.parse(text, origin=str(out))
    assert len(found.generations) == 2
    assert found.days == 28
    # What is done already is taken from the search beside it.
    assert matinee(*arguments, "--json") == text


def test_references_are_set_side_by_side(small_data: Path) -> None:
    options = ["--data", str(small_data), "--quick", *SMALL]
    found = json.loads(matinee("index", "table", *options, "--json"))
    assert len(found["rows"]) == len(TABLE_RANKERS) + 1
    click, index = found["rows"]["click oracle"], found["rows"]["index (frozen)"]
    difference = index["CTR"]["value"] - click["CTR"]["value"]
    assert found["tests"]["CTR"]["value"] == pytest.approx(difference)
    assert click["CTR"]["value"] > found["rows"]["random"]["CTR"]["value"]


def test_hindsight_bounds(small_data: Path) -> None:
    options = ["--data", str(small_data), "--users", "3", "--days", "10", *SMALL]
    sessions = json.loads(matinee("index", "hindsight", *options, "--json"))["sessions_per_user"]
    values = [figure["value"] for figure in sessions.values()]
    assert max(values[:4]) <= values[4]


def test_what_makes_no_sense_is_refused(small_data: Path, tmp_path: Path) -> None:
    data = ["--data", str(small_data), *SMALL]
    with pytest.raises(ConfigError, match="users must be at most 50, got 51"):
        matinee("index", "hindsight", "--users", "51", *data)
    with pytest.raises(ConfigError, match="days must be >= 28, got 20"):
        matinee("index", "tune", "--days", "20", "--out", str(tmp_path / "x.json"), *data)
    with pytest.raises(ConfigError, match="--out must name a file"):
        matinee("index", "tune", "--out", str(tmp_path / "none" / "x.json"), *data)
    with pytest.raises(ConfigError, match="days must be >= 37, got 30"):
        matinee("index", "table", "--days", "30", *data)
    with pytest.raises(ConfigError, match="candidates must be at most"):
        matinee("index", "hindsight", "--data", str(small_data), "--set", "candidates=1000")
