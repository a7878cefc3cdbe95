"""The processes of docker-compose.yml as they run without containers: same words, other places.

Command lines, environment and settings are those of the file. Paths of volumes and of the image
become folders here, names of hosts and their ports addresses on loopback.
"""

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
COMPOSE_FILE = ROOT / "docker-compose.yml"
_SETTABLE = re.compile(r"\$\{(\w+):-([^}]*)\}")
_PASSWORD = "${POSTGRES_PASSWORD:?choose one of A-Z a-z 0-9 - . _ ~}"  # noqa: S105 - what is asked


@dataclass(frozen=True, slots=True)
class Places:
    """Where things are that the file names.

    Attributes:
        folder: in place of the volumes.
        stack: in place of the image's folder of that name: settings and scripts.
        database: address of PostgreSQL.
        port: of the service, on loopback.
    """

    folder: Path
    stack: Path
    database: str
    port: int

    def __post_init__(self) -> None:
        for part in ("data", "secret", "scrape", "drive"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)

    @property
    def data(self) -> Path:
        """The data folder of the service."""
        return self.folder / "data"

    def key(self, name: str) -> Path:
        """File of an API key that `prepare` made: `scrape` or `drive`."""
        return self.folder / name / "key"

    @property
    def replaced(self) -> dict[str, str]:
        """Words of the file, and what stands for them here; longer ones first."""
        return {
            f"postgresql://matinee:{_PASSWORD}@postgres/matinee": self.database,
            _PASSWORD: "none",
            "/opt/matinee/stack": str(self.stack),
            "/run/matinee/secret": str(self.folder / "secret"),
            "/run/matinee/scrape": str(self.folder / "scrape"),
            "/run/matinee/drive": str(self.folder / "drive"),
            "/var/lib/matinee": str(self.data),
            "http://service:8400": f"http://127.0.0.1:{self.port}",
            "0.0.0.0": "127.0.0.1",  # noqa: S104 - what is replaced, not where anybody listens
            "8400": str(self.port),
        }


@dataclass(frozen=True, slots=True)
class Process:
    """How one of our services is started.

    Attributes:
        command: words of its command line.
        environment: all its variables.
    """

    command: list[str]
    environment: dict[str, str]


def process_of(name: str, places: Places) -> Process:
    """One service of ours, as it runs here.

    Args:
        name: of the service in the file.
        places: where things are.
    """
    whole = yaml.safe_load(COMPOSE_FILE.read_text(encoding="utf-8"))
    service: dict[str, Any] = whole["services"][name]
    told = [str(word) for word in (*service.get("entrypoint", ["matinee"]), *service["command"])]
    words = [_here(word, places.replaced) for word in told]
    # The command `matinee` of this very environment.
    if words[0] == "matinee":
        words = [sys.executable, "-m", "matinee_platform.cli", *words[1:]]
    environment = {
        key: _here(str(value), places.replaced)
        for key, value in service.get("environment", {}).items()
    }
    return Process(words, {**os.environ, **_own_commands(), **environment})


def _here(word: str, replaced: Mapping[str, str]) -> str:
    for told, here in replaced.items():
        word = word.replace(told, here)
    return _SETTABLE.sub(lambda found: os.environ.get(found[1]) or found[2], word)


def _own_commands() -> dict[str, str]:
    """`python` and `matinee` of this environment first, one BLAS thread."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {"PATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
