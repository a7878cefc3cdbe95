"""docs/tutorial.md: files and commands run as they stand; of containers, what can be checked."""

import os
import re
import shlex
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from live_service import free_port

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
FILES = re.findall(r"```yaml\n# (\S+\.yaml)\n(.*?)```", TEXT, re.DOTALL)
END_OF_JOBS = ("kill $(jobs -p)", "wait")
COMMANDS = [
    line
    for block in re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL)
    for line in block.splitlines()
]


class Shell:
    """Does what the page says, in a folder of its own, on ports of its own."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack
        self._jobs: list[subprocess.Popen[bytes]] = []
        self._ports = {port: str(free_port()) for port in ("8400", "9091")}
        # `matinee` and `python` of this interpreter; no real data, for the shape is enough.
        own = {name: value for name, value in os.environ.items() if name != "MATINEE_DATA"}
        path = f"{Path(sys.executable).parent}{os.pathsep}{own['PATH']}"
        self._environment = {**own, "PATH": path}
        (folder / "dashboards").symlink_to(ROOT / "dashboards")
        for name, content in FILES:
            (folder / name).write_text(self._moved(content), encoding="utf-8")

    def port(self, told: str) -> str:
        """The port that stands for one of the page."""
        return self._ports[told]

    def run(self, line: str) -> str:
        """Run a line to its end, or leave it running if it ends in an ampersand."""
        if line.startswith("export "):
            given = dict(word.split("=", 1) for word in shlex.split(line)[1:])
            self._environment.update(given)
            return ""
        if line in END_OF_JOBS:
            for process in self._jobs:
                if line.startswith("kill"):
                    process.terminate()
                else:
                    process.wait(60)
            return ""
        if line.startswith("docker compose "):
            # There is no engine here: what would be started is read, with its variables.
            line = line.replace("docker compose", "docker-compose")
            line, folder = line.replace("up -d --build", "config -q"), ROOT
        else:
            folder = self._folder
        if line.endswith(" &"):
            self._background(line.removesuffix(" &"))
            return ""
        words = shlex.split(self._moved(line))
        done = subprocess.run(
            words,
            cwd=folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=280,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout

    def _background(self, line: str) -> None:
        with (self._folder / "background.log").open("ab") as log:
            process = subprocess.Popen(
                shlex.split(self._moved(line)),
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._jobs.append(process)
        self._stack.callback(process.wait, 60)
        self._stack.callback(process.terminate)

    def ports_are_free(self) -> bool:
        """Whether what was started has let go of its ports."""
        for port in self._ports.values():
            with socket.socket() as other:
                if other.connect_ex(("127.0.0.1", int(port))) == 0:
                    return False
        return True

    def _moved(self, text: str) -> str:
        for told, own in self._ports.items():
            text = text.replace(told, own)
        return text


def wait_for(address: str, *, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(address, timeout=5):  # noqa: S310
                return
        except OSError:
            assert time.monotonic() < end, address
            time.sleep(0.2)


def shown(run: Callable[[str], str], line: str, *, seconds: float = 60.0) -> dict[str, float]:
    """What a query prints, by arm or by nothing, once there is something."""
    end = time.monotonic() + seconds
    while True:
        found = {
            (re.findall(r'arm="(\w+)"', one) or [""])[0]: float(one.split("=> ")[1].split(" @")[0])
            for one in run(line).splitlines()
            if "=> " in one
        }
        if found or time.monotonic() > end:
            return found
        time.sleep(1.0)


@pytest.mark.services
@pytest.mark.timeout(900)
def test_every_command_runs_as_written(tmp_path: Path) -> None:
    with ExitStack() as stack:
        shell = Shell(tmp_path, stack)
        said: dict[str, str] = {}
        for line in COMMANDS:
            if line.startswith("docker compose"):
                assert shell.ports_are_free()
            if line.startswith("promtool query"):
                found = shown(shell.run, line)
                assert set(found) in ({"mf_order", "lin_ucb"}, {""}), (line, found)
                assert all(value > 0.0 for value in found.values()), (line, found)
                continue
            said[" ".join(line.split()[:2])] = shell.run(line)
            if line.startswith("matinee serve"):
                wait_for(f"http://127.0.0.1:{shell.port('8400')}/readyz")
            if line.startswith("prometheus"):
                wait_for(f"http://127.0.0.1:{shell.port('9091')}/-/ready")
        assert "mf_order" in said["matinee analyze"]
        assert "300" in said["matinee drive"]
    assert set(said) == {
        "matinee simulate",
        "matinee deploy",
        "matinee serve",
        "promtool check",
        "prometheus --config.file=tutorial_prometheus.yaml",
        "matinee drive",
        "matinee analyze",
        "export POSTGRES_PASSWORD=choose-one",
        "kill $(jobs",
        "wait",
        "docker compose",
    }


def test_every_block_is_a_file_or_commands() -> None:
    blocks = re.findall(r"```(\w*)\n(?:.*?)```", TEXT, re.DOTALL)
    assert len(blocks) == len(FILES) + blocks.count("bash")
    assert len(FILES) == 3


def test_what_runs_here_has_ended_before_containers_take_its_ports() -> None:
    (containers,) = [at for at, line in enumerate(COMMANDS) if line.startswith("docker compose ")]
    started = [at for at, line in enumerate(COMMANDS) if line.endswith(" &")]
    assert len(started) == 2
    ends = [COMMANDS.index(line) for line in END_OF_JOBS]
    assert [max(started), *ends, containers] == sorted([max(started), *ends, containers])


def test_no_port_is_that_of_a_prometheus_of_debian() -> None:
    """The package starts one on 9090: neither ours nor the composed one may ask for it."""
    assert not any("9090" in text for text in [*COMMANDS, *(content for _, content in FILES)])
    assert any("PROMETHEUS_PORT=9091" in line for line in COMMANDS)
