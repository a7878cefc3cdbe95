"""`matinee serve`: a real process over the real log, and what it refuses in one line."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from matinee_platform.cli import app
from matinee_platform.client import Client, ContradictionError
from matinee_platform.service.answers import ResultsAnswer
from matinee_platform.service.settings_file import load_service_settings
from matinee_policies.errors import ConfigError

RUNNER = CliRunner()
FEATURES = [[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]


def settings_file(folder: Path, **more: Any) -> Path:
    values = {
        "data_dir": str(folder / "data"),
        "port": 0,
        "supervise_learner": False,
        "experiments": [
            {
                "key": "shop",
                "salt": "shop-1",
                "slots": 2,
                "arms": [{"name": "only", "bundle": "shop"}],
            }
        ],
        **more,
    }
    path = folder / "serve.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def deploy(folder: Path) -> None:
    words = ["deploy", "--policy", "epsilon_greedy", "--features", "2", "--slots", "2"]
    done = RUNNER.invoke(app, [*words, "--as", "shop", "--to", str(folder / "data")])
    assert done.exit_code == 0, done.output


def start(config: Path, log: Path) -> tuple[subprocess.Popen[str], dict[str, Any]]:
    with log.open("w") as errors:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "matinee_platform.cli",
                "serve",
                "--config",
                str(config),
                "--json",
            ],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, log.read_text()
    return process, json.loads(line)


def stop(process: subprocess.Popen[str]) -> int:
    process.send_signal(signal.SIGTERM)
    try:
        return process.wait(60)
    finally:
        process.kill()
        assert process.stdout is not None
        process.stdout.close()


def analysed(client: Client) -> ResultsAnswer:
    """Results with their analysis, which a busy machine takes longer for than the route waits."""
    end = time.monotonic() + 200
    while (found := client.results("shop")).statistics == "pending" and time.monotonic() < end:
        time.sleep(1.0)
    return found


def test_a_real_process_answers_and_remembers(tmp_path: Path) -> None:
    deploy(tmp_path)
    config, log = settings_file(tmp_path), tmp_path / "lines"
    process, told = start(config, log)
    try:
        assert (told["workers"], told["keys"], told["learner"]) == (1, False, False)
        with Client(told["address"], timeout=60.0) as client:
            first = client.decide(
                "shop", "ada", decision_id="d", candidates=["a", "b", "c"], features=FEATURES
            )
            assert len(first.items) == 2
            assert client.reward("d", "click", slot=0, event_id="c").state == "joined"
            assert client.replay("d").equal
            assert client.explain("d").explanation["follows"]
            results = analysed(client)
            (arm,) = results.arms
            assert (arm.exposed_units, arm.rewards) == (1, {"click": 1})
            assert results.statistics == "analysis", results.note
            assert results.analysis is not None
            assert results.analysis["arms"]["only"]["clicks"] == 1
            assert "Smallest arm only has 1 units" in results.analysis["verdict"]["headline"]
            assert client.ready().state == "ready"
            # A second process on the same file is refused with the reason.
            second = subprocess.run(
                [sys.executable, "-m", "matinee_platform.cli", "serve", "--config", str(config)],
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert second.returncode == 1
            assert "Traceback" not in second.stderr
            assert "LogHeldError" in second.stderr
    finally:
        assert stop(process) == 0, log.read_text()
    process, told = start(config, log)
    try:
        with Client(told["address"], timeout=60.0) as client:
            ask: dict[str, Any] = {"decision_id": "d", "candidates": ["a", "b", "c"]}
            assert client.decide("shop", "ada", features=FEATURES, **ask) == first
            with pytest.raises(ContradictionError):
                client.decide("shop", "bo", features=FEATURES, **ask)
            assert client.reward("d", "click", slot=0, event_id="c").outcome == "repeated"
            assert client.forget("ada").decisions == 1
    finally:
        assert stop(process) == 0, log.read_text()
    assert "ada" not in log.read_text()
    assert os.stat(tmp_path / "data" / "secret").st_mode & 0o777 == 0o600  # noqa: PTH116


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"workers": 2}, "workers must be 1 with SQLite"),
        ({"host": "0.0.0.0"}, "MATINEE_SECRET_FILE"),  # noqa: S104
        ({"host": "no.such.host.invalid"}, "MATINEE_SECRET_FILE"),
        ({"port": 70_000}, "port"),
        ({"colour": "red"}, "colour"),
        ({"database": "mysql://x"}, "database"),
    ],
)
def test_what_cannot_be_served_is_one_line(
    more: dict[str, Any], words: str, tmp_path: Path
) -> None:
    done = RUNNER.invoke(app, ["serve", "--config", str(settings_file(tmp_path, **more))])
    assert isinstance(done.exception, ConfigError)
    assert words in str(done.exception)


def test_without_keys_other_machines_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("ab" * 32)
    monkeypatch.setenv("MATINEE_SECRET_FILE", str(secret))
    config = settings_file(tmp_path, host="0.0.0.0")  # noqa: S104
    done = RUNNER.invoke(app, ["serve", "--config", str(config)])
    assert isinstance(done.exception, ConfigError)
    assert "matinee keys create" in str(done.exception)


def test_a_port_that_is_taken_is_refused(tmp_path: Path) -> None:
    import socket

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = RUNNER.invoke(app, ["serve", "--config", str(settings_file(tmp_path, port=port))])
    assert isinstance(done.exception, ConfigError)
    assert "cannot listen" in str(done.exception)


def test_the_environment_replaces_the_file_and_options_replace_both(tmp_path: Path) -> None:
    path = settings_file(tmp_path, port=1, workers=2)
    found = load_service_settings(
        path,
        changes={"workers": 3, "host": None},
        environment={
            "MATINEE_SERVICE_PORT": "9000",
            "MATINEE_SERVICE_WORKERS": "9",
            "MATINEE_SERVICE_LIMITS__BURST": "7",
            "MATINEE_SERVICE_ON_DATABASE_LOSS": "strict",
            "OTHER": "1",
        },
    )
    assert (found.port, found.workers, found.host) == (9_000, 3, "127.0.0.1")
    assert (found.limits.burst, found.on_database_loss) == (7, "strict")


@pytest.mark.parametrize("name", ["PORT", "LIMITS__BURST", "NO_SUCH_SETTING"])
def test_what_the_environment_gets_wrong_is_told_of_the_variable(name: str, tmp_path: Path) -> None:
    path, variable = settings_file(tmp_path), f"MATINEE_SERVICE_{name}"
    with pytest.raises(ConfigError, match=f"^{variable}: {name.lower().replace('__', '.')}: "):
        load_service_settings(path, environment={variable: "many"})
    with pytest.raises(ConfigError, match=r"^.*serve.*\.yaml: port: "):
        load_service_settings(path, changes={"port": -1}, environment={"MATINEE_SERVICE_PORT": "1"})


def test_what_kubernetes_sets_for_a_service_named_matinee_is_no_setting(tmp_path: Path) -> None:
    path = settings_file(tmp_path, port=1)
    link = {"MATINEE_PORT": "tcp://10.0.0.1:80", "MATINEE_PORT_80_TCP_ADDR": "10.0.0.1"}
    host = {"MATINEE_SERVICE_HOST": "10.0.0.1", "MATINEE_SERVICE_PORT": "80"}
    found = load_service_settings(
        path, environment={**link, **host, "MATINEE_SERVICE_PORT_HTTP": "80"}
    )
    assert (found.host, found.port) == ("127.0.0.1", 1)
    # One named matinee-service, and what somebody set.
    link = {"MATINEE_SERVICE_PORT": "tcp://[fd00::1]:80", "MATINEE_SERVICE_PORT_80_TCP_PORT": "80"}
    more = {"MATINEE_SERVICE_SERVICE_HOST": "fd00::1", "MATINEE_SERVICE_SERVICE_PORT": "80"}
    found = load_service_settings(
        path, environment={**link, **more, "MATINEE_SERVICE_WORKERS": "3"}
    )
    assert (found.host, found.port, found.workers) == ("127.0.0.1", 1, 3)
    own = {"MATINEE_PORT": "tcp://10.0.0.1:80", "MATINEE_SERVICE_HOST": "10.9.9.9"}
    found = load_service_settings(path, environment={**own, "MATINEE_SERVICE_PORT": "9000"})
    assert (found.host, found.port) == ("10.9.9.9", 9_000)
    with pytest.raises(ConfigError, match=r"^MATINEE_SERVICE_PORT_HTTP: "):
        load_service_settings(path, environment={"MATINEE_SERVICE_PORT_HTTP": "80"})


@pytest.mark.parametrize(
    "text", ["", "- 1", "a: [", "\x00", "data_dir: x\nport: secret-value", "data_dir: [1]"]
)
def test_broken_files_are_refused_without_their_values(text: str, tmp_path: Path) -> None:
    path = tmp_path / "serve.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        load_service_settings(path, environment={})
    assert "secret-value" not in str(refused.value)


def test_a_file_with_a_bundle_that_no_folder_can_be_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "serve.yaml"
    arm = "{name: only, bundle: ../../etc}"
    path.write_text(f"data_dir: x\nexperiments: [{{key: home, salt: a, arms: [{arm}]}}]\n")
    with pytest.raises(ConfigError, match=r"arms\.0\.bundle: .* 1-80 .*, got '\.\./\.\./etc'"):
        load_service_settings(path, environment={})


def test_the_example_is_valid() -> None:
    path = Path(__file__).parents[2] / "examples" / "serve.yaml"
    assert load_service_settings(path, environment={}).experiments[0].key == "home"
