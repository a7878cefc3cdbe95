"""The processes of the stack are those of docker-compose.yml, in places of this machine."""

import sys
from pathlib import Path

import pytest

from stack.composed import ROOT, Places, process_of

OURS = ("prepare", "service", "learner", "drive")


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(
        folder=tmp_path,
        stack=ROOT / "examples" / "stack",
        database="postgresql://matinee@127.0.0.1:5433/matinee",
        port=8999,
    )


@pytest.mark.parametrize("name", OURS)
def test_no_place_of_a_container_is_left(places: Places, name: str) -> None:
    process = process_of(name, places)
    ours = {key: value for key, value in process.environment.items() if key.startswith("MATINEE_")}
    told = " ".join([*process.command, *ours.values()])
    for place in ("/var/lib/matinee", "/opt/matinee", "/run/matinee", "${", "0.0.0.0", "8400"):  # noqa: S104
        assert place not in told, told
    # The simulated users know no database.
    assert ours.get("MATINEE_SERVICE_DATABASE") == (None if name == "drive" else places.database)
    assert "${" not in process.environment.get("POSTGRES_PASSWORD", "")
    assert Path(ours["MATINEE_SERVICE_DATA_DIR"]).is_dir()


def test_commands_are_those_of_the_file_with_this_python(places: Places) -> None:
    python = [sys.executable, "-m", "matinee_platform.cli"]
    config = str(ROOT / "examples" / "stack" / "serve.yaml")
    serve = ["serve", "--config", config, "--host", "127.0.0.1", "--port", "8999"]
    assert process_of("service", places).command == [*python, *serve]
    assert process_of("learner", places).command == [*python, "learn", "--config", config]
    script = ROOT / "examples" / "stack" / "drive.sh"
    assert process_of("drive", places).command == ["/bin/sh", str(script)]
    assert process_of("drive", places).environment["MATINEE_URL"] == "http://127.0.0.1:8999"


def test_what_may_be_set_is_set_by_the_same_name(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MATINEE_DAYS_PER_SECOND", raising=False)
    assert process_of("drive", places).environment["MATINEE_DAYS_PER_SECOND"] == "0.2"
    monkeypatch.setenv("MATINEE_DAYS_PER_SECOND", "100")
    assert process_of("drive", places).environment["MATINEE_DAYS_PER_SECOND"] == "100"
