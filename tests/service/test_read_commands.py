"""Commands that only read a service's data change nothing of it, its tables neither."""

import hashlib
import shutil
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from typer.testing import CliRunner

from matinee_platform.cli import app
from matinee_platform.clock import FakeClock
from matinee_platform.storage.control_database import (
    control_url,
    open_engine,
    open_to_read,
    upgrade,
)
from matinee_platform.storage.control_store import ControlStore
from matinee_platform.storage.errors import LogUnavailableError
from matinee_platform.storage.schema_version import NEWEST
from matinee_platform.storage.testing_control import example_experiment
from matinee_policies.errors import ConfigError

REFUSED = f"control tables must be of step {NEWEST['control']}, got 0001"


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    database = "sqlite"
    if request.param == "postgres":
        database = request.getfixturevalue("new_postgres_database")()
    return control_url(tmp_path, database)


def change(url: str, statement: str) -> None:
    engine = open_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()


def test_to_read_is_to_change_nothing(url: str) -> None:
    upgrade(url)
    engine = open_engine(url)
    stored = ControlStore(engine, clock=FakeClock()).create(example_experiment(), who="ada")
    engine.dispose()
    reading: Engine = open_to_read(url)
    key = stored.definition.key
    assert ControlStore(reading, clock=FakeClock()).experiment(key) == stored
    with pytest.raises(DBAPIError), reading.begin() as connection:
        connection.exec_driver_sql("DELETE FROM audit")
    reading.dispose()


@pytest.mark.parametrize(
    ("step", "way"),
    [("0001", "start the service once"), ("9999", "use the version that wrote them")],
)
def test_tables_of_another_version_are_refused(url: str, step: str, way: str) -> None:
    upgrade(url)
    change(url, f"UPDATE alembic_version_control SET version_num = '{step}'")  # noqa: S608
    for _ in range(2):
        with pytest.raises(ConfigError, match=f"got {step}: {way}"):
            open_to_read(url)


def test_no_tables_are_refused(url: str, tmp_path: Path) -> None:
    kind = LogUnavailableError if url.startswith("sqlite") else ConfigError
    with pytest.raises(kind):
        open_to_read(url)
    assert list(tmp_path.iterdir()) == [], "nothing is made"


@pytest.mark.parametrize(
    "arguments", [["analyze"], ["plan", "--metrics", "ctr", "--effect", "0.1"], ["aa"]]
)
def test_commands_refuse_older_tables(tmp_path: Path, arguments: list[str]) -> None:
    url = control_url(tmp_path, "sqlite")
    upgrade(url)
    change(url, "UPDATE alembic_version_control SET version_num = '0001'")
    before = digest(tmp_path / "control.sqlite")
    answer = CliRunner().invoke(app, [arguments[0], str(tmp_path), *arguments[1:], "--json"])
    assert answer.exit_code == 1
    assert REFUSED in str(answer.exception)
    assert digest(tmp_path / "control.sqlite") == before


@pytest.mark.parametrize("command", ["replay", "explain"])
def test_replay_and_explain_refuse_them_too(tmp_path: Path, command: str, deployed: Path) -> None:
    data = shutil.copytree(deployed, tmp_path / "data")
    url = control_url(data, "sqlite")
    upgrade(url)
    change(url, "UPDATE alembic_version_control SET version_num = '0001'")
    more = ["--verify", str(data)] if command == "replay" else [str(data), "--latest"]
    answer = CliRunner().invoke(app, [command, *more])
    assert answer.exit_code == 1
    assert REFUSED in str(answer.exception)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
