"""Leases of files and of PostgreSQL: one suite, and holders that are killed."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from matinee_platform.storage.errors import LogUnavailableError
from matinee_platform.storage.lease import FileLease, PostgresLease
from matinee_platform.storage.ports import Lease
from matinee_platform.storage.testing_leases import LeaseContract

HOLDER = """
import sys
from pathlib import Path
from matinee_platform.storage.lease import FileLease, PostgresLease
kind, place, name = sys.argv[1:]
lease = FileLease(Path(place)) if kind == "file" else PostgresLease(place)
print(lease.acquire(name), flush=True)
sys.stdin.read()
"""


def taken_over(lease: Lease, kind: str, place: str) -> None:
    """Another process takes the lease and is killed; then we get it."""
    command = [sys.executable, "-c", HOLDER, kind, place, "killed"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        assert not lease.acquire("killed")
        holder.kill()
        holder.wait(60)
    # PostgreSQL notices that a client is gone a moment after it is.
    until = time.monotonic() + 60
    while not lease.acquire("killed"):
        assert time.monotonic() < until
        time.sleep(0.01)
    assert lease.held("killed")
    lease.release("killed")


class TestFileLease(LeaseContract):
    @pytest.fixture
    def make_lease(self, tmp_path: Path) -> Callable[[], Lease]:
        return lambda: FileLease(tmp_path)

    def test_dies_with_its_holder(self, tmp_path: Path) -> None:
        taken_over(FileLease(tmp_path), "file", str(tmp_path))

    def test_a_removed_file_is_a_lost_lease(self, tmp_path: Path) -> None:
        first, second = FileLease(tmp_path), FileLease(tmp_path)
        assert first.acquire("learner")
        (tmp_path / "learner.lock").unlink()
        assert second.acquire("learner")
        assert not first.held("learner")
        assert not first.acquire("learner")


class TestPostgresLease(LeaseContract):
    @pytest.fixture
    def make_lease(self, postgres_address: str) -> Iterator[Callable[[], Lease]]:
        made: list[PostgresLease] = []

        def make() -> Lease:
            made.append(PostgresLease(postgres_address))
            return made[-1]

        yield make
        for lease in made:
            lease.close()

    def test_dies_with_its_holder(
        self, make_lease: Callable[[], Lease], postgres_address: str
    ) -> None:
        taken_over(make_lease(), "postgres", postgres_address)

    def test_a_lost_connection_is_a_lost_lease(
        self, make_lease: Callable[[], Lease], postgres_address: str
    ) -> None:
        first, second = make_lease(), make_lease()
        assert first.acquire("learner")
        with psycopg.connect(postgres_address, autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid, 60000) FROM pg_locks "
                "WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
            )
        assert not first.held("learner")
        assert second.acquire("learner")
        assert not first.acquire("learner")

    def test_a_server_that_is_away(self, tmp_path: Path) -> None:
        lease = PostgresLease(f"postgresql://ada@/none?host={tmp_path}")
        with pytest.raises(LogUnavailableError, match="away"):
            lease.acquire("learner")
        assert not lease.held("learner")
