"""Control data on SQLite and PostgreSQL: one suite, the real servers."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, text

from matinee_platform.clock import FakeClock
from matinee_platform.storage.barrier_store import SqlBarrierStore
from matinee_platform.storage.control_database import control_url, open_engine, upgrade
from matinee_platform.storage.control_store import ControlStore
from matinee_platform.storage.control_tables import ControlTable, SnapshotRow
from matinee_platform.storage.errors import LeaseLostError, LogUnavailableError
from matinee_platform.storage.migrate import script_of
from matinee_platform.storage.ports import SnapshotStore
from matinee_platform.storage.records import Barrier
from matinee_platform.storage.schema_version import NEWEST, VERSION_TABLES
from matinee_platform.storage.snapshot_store import FolderSnapshotStore, SqlSnapshotStore
from matinee_platform.storage.testing_control import (
    example_barrier,
    example_experiment,
    example_snapshot,
)
from matinee_platform.storage.testing_control_data import ControlContract
from matinee_platform.storage.testing_snapshots import SnapshotStoreContract
from matinee_policies.errors import ConfigError
from matinee_policies.snapshot import Snapshot
from matinee_policies.snapshot_signature import SigningKeys

OURS = SigningKeys({"ours": bytes(range(32))})
THEIRS = SigningKeys({"ours": bytes(range(1, 33))})
_number = count(1)


def opened(url: str) -> Iterator[Engine]:
    upgrade(url)
    engine = open_engine(url)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    yield from opened(control_url(tmp_path_factory.mktemp("control"), "sqlite"))


@pytest.fixture(scope="module")
def postgres(postgres_address: str) -> Iterator[Engine]:
    yield from opened(control_url(Path(), postgres_address))


class TestSqliteControl(ControlContract):
    @pytest.fixture
    def engine(self, sqlite: Engine) -> Engine:
        return sqlite


class TestPostgresControl(ControlContract):
    @pytest.fixture
    def engine(self, postgres: Engine) -> Engine:
        return postgres


class TestFolderSnapshots(SnapshotStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> SnapshotStore:
        return FolderSnapshotStore(tmp_path / "snapshots", keys=OURS)

    @pytest.fixture
    def stranger(self, tmp_path: Path) -> SnapshotStore:
        return FolderSnapshotStore(tmp_path / "snapshots", keys=THEIRS)

    def content(self, store: SnapshotStore, experiment: str, arm: str, version: int) -> bytes:
        assert isinstance(store, FolderSnapshotStore)
        return store.path(experiment, arm, version).read_bytes()

    def replace(
        self, store: SnapshotStore, experiment: str, arm: str, version: int, content: bytes
    ) -> None:
        assert isinstance(store, FolderSnapshotStore)
        store.path(experiment, arm, version).write_bytes(content)

    def test_names_are_those_of_the_layout(self, tmp_path: Path) -> None:
        store = FolderSnapshotStore(tmp_path, keys=OURS)
        assert store.path("home", "new", 7) == tmp_path / "home" / "new" / "00000007.npz"


@pytest.mark.parametrize("engine", ["sqlite", "postgres"], indirect=True)
class TestSqlSnapshots(SnapshotStoreContract):
    @pytest.fixture
    def engine(self, request: pytest.FixtureRequest) -> Engine:
        engine: Engine = request.getfixturevalue(request.param)
        return engine

    @pytest.fixture
    def store(self, engine: Engine) -> SnapshotStore:
        with engine.begin() as connection:
            connection.execute(text("DELETE FROM snapshots"))
        self.opened = engine
        return SqlSnapshotStore(engine, keys=OURS)

    @pytest.fixture
    def stranger(self, engine: Engine) -> SnapshotStore:
        return SqlSnapshotStore(engine, keys=THEIRS)

    def content(self, store: SnapshotStore, experiment: str, arm: str, version: int) -> bytes:
        table = SnapshotRow.metadata.tables["snapshots"]
        query = table.select().with_only_columns(table.c.content).where(table.c.arm == arm)
        with self.opened.connect() as connection:
            return bytes(connection.execute(query).scalar_one())

    def replace(
        self, store: SnapshotStore, experiment: str, arm: str, version: int, content: bytes
    ) -> None:
        table = SnapshotRow.metadata.tables["snapshots"]
        with self.opened.begin() as connection:
            connection.execute(table.update().where(table.c.arm == arm).values(content=content))


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
class TestOneOfTwoLearners:
    """Snapshots in the database: whoever was paused past its lease spoils nothing."""

    @pytest.fixture
    def engine(self, database: str, request: pytest.FixtureRequest) -> Engine:
        engine: Engine = request.getfixturevalue(database)
        return engine

    def test_the_snapshot_of_a_barrier_stays(self, engine: Engine) -> None:
        snapshots, barriers = _stores(engine)
        key = f"stays_{next(_number)}"
        snapshots.save(key, "new", 0, example_snapshot(1.0))
        barriers.append(_barrier_of(key, example_snapshot(1.0)))
        with pytest.raises(LeaseLostError):
            snapshots.save(key, "new", 0, example_snapshot(2.0))
        assert snapshots.load(key, "new", 0).content_hash == example_snapshot(1.0).content_hash

    def test_a_barrier_names_the_snapshot_that_is_there(self, engine: Engine) -> None:
        snapshots, barriers = _stores(engine)
        key = f"names_{next(_number)}"
        snapshots.save(key, "new", 0, example_snapshot(1.0))
        snapshots.save(key, "new", 0, example_snapshot(2.0))
        with pytest.raises(LeaseLostError):
            barriers.append(_barrier_of(key, example_snapshot(1.0)))
        assert barriers.last(key, "new") is None
        barriers.append(_barrier_of(key, example_snapshot(2.0)))


def _stores(engine: Engine) -> tuple[SqlSnapshotStore, SqlBarrierStore]:
    return SqlSnapshotStore(engine, keys=OURS), SqlBarrierStore(engine, clock=FakeClock())


def _barrier_of(key: str, snapshot: Snapshot) -> Barrier:
    barrier = example_barrier(key, version=0, genesis=True)
    return replace(barrier, snapshot_hash=snapshot.content_hash)


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_steps_make_the_tables_of_the_code(database: str, request: pytest.FixtureRequest) -> None:
    engine: Engine = request.getfixturevalue(database)
    with engine.connect() as connection:
        options = {"version_table": VERSION_TABLES["control"], "compare_type": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, ControlTable.metadata) == []


def test_the_newest_step_is_the_last_one() -> None:
    assert NEWEST["control"] == script_of("control").get_current_head()


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_upgrading_again_changes_nothing(database: str, request: pytest.FixtureRequest) -> None:
    engine: Engine = request.getfixturevalue(database)
    upgrade(engine.url.render_as_string(hide_password=False))
    with engine.connect() as connection:
        version = text(f"SELECT version_num FROM {VERSION_TABLES['control']}")  # noqa: S608
        assert connection.execute(version).scalars().all() == [NEWEST["control"]]


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_many_upgrade_at_once(
    database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = control_url(tmp_path, "sqlite")
    if database == "postgres":
        engine: Engine = request.getfixturevalue("postgres")
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("CREATE DATABASE at_once"))
        address = engine.url.set(database="at_once")
        url = address.render_as_string(hide_password=False)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(upgrade, [url] * 4))
    engine = open_engine(url)
    assert ControlStore(engine, clock=FakeClock()).experiments() == []
    engine.dispose()


def test_many_open_a_new_file_at_once(tmp_path: Path) -> None:
    # Without waiting for the change to WAL, about one round in fifteen fails.
    def look(url: str) -> None:
        engine = open_engine(url)
        with engine.connect() as connection:
            connection.exec_driver_sql("SELECT 1")
        engine.dispose()

    with ThreadPoolExecutor(8) as threads:
        for attempt in range(100):
            folder = tmp_path / str(attempt)
            folder.mkdir()
            list(threads.map(look, [control_url(folder, "sqlite")] * 8))


def test_sqlite_is_durable(sqlite: Engine) -> None:
    with sqlite.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2


@pytest.mark.parametrize("database", ["mysql://a:secret@b/c", "postgresql://", "SQLITE", ""])
def test_other_databases_are_refused(database: str) -> None:
    with pytest.raises(ConfigError, match="database must be") as caught:
        control_url(Path(), database)
    assert "secret" not in str(caught.value)


def test_experiments_of_before_names_of_bundles_were_checked_are_read(sqlite: Engine) -> None:
    store = ControlStore(sqlite, clock=FakeClock())
    key = store.create(example_experiment(), who="ada").definition.key
    with sqlite.begin() as connection:
        connection.execute(
            text("UPDATE experiments SET definition = replace(definition, :new, :odd)"),
            {"new": '"bundle":"new"', "odd": '"bundle":"../../etc"'},
        )
    assert store.experiment(key).definition.arm("new").bundle == "../../etc"


def test_a_database_that_is_away(tmp_path: Path) -> None:
    for url in (
        control_url(tmp_path / "nowhere", "sqlite"),
        control_url(tmp_path, f"postgresql://ada:secret@/none?host={tmp_path}"),
    ):
        engine = open_engine(url)
        store = ControlStore(engine, clock=FakeClock())
        with pytest.raises(LogUnavailableError, match="away") as caught:
            store.experiments()
        assert "secret" not in str(caught.value)
        with pytest.raises(LogUnavailableError, match="away"):
            store.stop("home", who="ada")
        engine.dispose()
