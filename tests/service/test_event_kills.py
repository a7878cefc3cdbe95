"""SIGKILL of a writing process loses nothing that was acknowledged."""

from pathlib import Path

from service.event_chaos import kill_writers


def test_sqlite(tmp_path: Path) -> None:
    found = kill_writers(tmp_path, database="sqlite", kills=3)
    assert found.wrong == []
    assert min(len(found.decisions), len(found.rewards)) > 0


def test_postgres(tmp_path: Path, postgres_address: str) -> None:
    found = kill_writers(tmp_path, database=postgres_address, kills=2)
    assert found.wrong == []
    assert min(len(found.decisions), len(found.rewards)) > 0
