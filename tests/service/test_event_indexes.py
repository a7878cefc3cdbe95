"""Every question to the log is answered by an index, whatever the log's length."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from matinee_platform.storage import sqlite_statements
from matinee_platform.storage.event_migrations import sqlite_url, upgrade
from matinee_platform.storage.event_rows import Row
from matinee_platform.storage.sqlite_reader import SqliteReader, dialect

_FREE = ("SCAN json_each", "SCAN (subquery")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("log") / "events.sqlite"
    upgrade(sqlite_url(path))
    return path


class AskedReader(SqliteReader):
    """Keeps the statements that it was asked."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.asked: list[str] = []

    def _rows(self, statement: str, values: dict[str, Any]) -> list[Row]:
        self.asked.append(dialect(statement))
        rows = super()._rows(statement, values)
        # decided_within asks for rows once it has found places.
        return [(5,)] if statement.startswith("SELECT seq FROM") else rows


def questions(path: Path) -> Iterator[str]:
    with closing(AskedReader(path)) as reader:
        reader.last_seq()
        reader.decision(1)
        reader.rewards_of([1, 2])
        reader.rewards_of([1, 2], upto=5)
        reader.decisions(upto=5)
        reader.decisions(upto=5, experiment="home", arm="new")
        reader.rewards(upto=5)
        list(reader.decided_within("home", "new", after_ms=0, upto_ms=5, upto=5))
        reader.unit_decisions("home", "new", 1, upto=5, limit=3)
        reader.decisions_of_units("home", "new", [1, 2], upto=5, limit=3)
        with pytest.raises(KeyError):
            reader.items([1])
        yield from reader.asked
    for name, statement in vars(sqlite_statements).items():
        if name.isupper() and isinstance(statement, str):
            yield f"{statement} (?, ?)" if statement.endswith("IN ") else statement


def plan(path: Path, question: str) -> list[str]:
    named = dict.fromkeys(re.findall(r":(\w+)", question), 1)
    values: Any = named or [1] * question.count("?")
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(f"EXPLAIN QUERY PLAN {question}", values).fetchall()
    return [row[3] for row in rows]


def test_no_question_scans_or_sorts_the_log(path: Path) -> None:
    asked = list(questions(path))
    assert len(asked) >= 15
    for question in asked:
        for step in plan(path, question):
            scans = step.startswith("SCAN") and not step.startswith(_FREE)
            assert not scans or step == "SCAN seq", (question, step)
            assert "TEMP B-TREE FOR ORDER" not in step, (question, step)


def test_a_question_without_an_index_would_be_seen(path: Path) -> None:
    assert plan(path, "SELECT * FROM decisions WHERE page = ?") == ["SCAN decisions"]
