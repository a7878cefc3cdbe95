"""A start loads what it uses: no library of fits, files and figures, and no migrations again."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from matinee_platform.cli import app

FITS = ["implicit", "matplotlib", "pandas", "pyarrow", "river", "statsmodels", "vowpalwabbit"]
NEVER = [*FITS, "alembic", "cmaes", "duckdb", "httpx", "jinja2", "matinee_simulator"]
# The first kernel has numba look for BLAS in scipy.linalg: that one comes with it.
SCIPY = ["scipy.optimize", "scipy.sparse", "scipy.special", "scipy.stats"]
SERVER = ["fastapi", "matinee_platform.service.app", "uvicorn"]
LEARNER = ["matinee_platform.learning.live_learner", "matinee_policies.explain"]

SERVE = """
import asyncio, json, sys
from pathlib import Path
from matinee_platform.cli import app as commands
from matinee_platform.clock import SystemClock
from matinee_platform.service.app import create_app
from matinee_platform.service.settings_file import load_service_settings
import matinee_platform.service.process

async def start() -> None:
    app = create_app(load_service_settings(Path(sys.argv[1])), clock=SystemClock())
    async with app.router.lifespan_context(app):
        pass

asyncio.run(start())
print(json.dumps(sorted(sys.modules)))
"""

LEARN = """
import json, sys
from matinee_platform.cli import app
app(["learn", "--once", "--config", sys.argv[1]], standalone_mode=False)
print(json.dumps(sorted(sys.modules)))
"""

HELP = """
import json, sys
import matinee_platform.cli
print(json.dumps(sorted(sys.modules)))
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Settings of a service that has started before."""
    folder = tmp_path_factory.mktemp("service")
    words = ["deploy", "--policy", "lin_ucb", "--features", "2", "--slots", "2"]
    done = CliRunner().invoke(app, [*words, "--as", "shop", "--to", str(folder / "data")])
    assert done.exit_code == 0, done.output
    arms = [{"name": "only", "bundle": "shop"}]
    settings = {
        "data_dir": str(folder / "data"),
        "supervise_learner": False,
        "experiments": [{"key": "shop", "salt": "shop-1", "slots": 2, "arms": arms}],
    }
    path = folder / "serve.yaml"
    path.write_text(yaml.safe_dump(settings))
    _modules(SERVE, path)
    return path


def test_the_service_loads_what_it_serves_with(config: Path) -> None:
    loaded = _modules(SERVE, config)
    assert "matinee_policies.lin_ucb" in loaded
    assert loaded.intersection([*NEVER, *SCIPY, *LEARNER]) == set()
    assert (
        loaded.intersection(["matinee_policies.corral_policy", "matinee_policies.thompson"])
        == set()
    )


def test_the_learner_loads_what_it_learns_with(config: Path) -> None:
    loaded = _modules(LEARN, config)
    assert "matinee_policies.lin_ucb" in loaded
    assert loaded.intersection([*NEVER, *SCIPY, *SERVER]) == set()


def test_the_command_line_loads_no_arrays() -> None:
    loaded = _modules(HELP)
    assert loaded.intersection([*NEVER, *SCIPY, *SERVER, *LEARNER]) == set()
    assert loaded.intersection(["numba", "numpy", "pydantic", "sqlalchemy", "yaml"]) == set()


def _modules(program: str, *words: Path) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, words)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))
