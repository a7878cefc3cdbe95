"""The tests that every home of control data passes; subclass a suite and give what it asks for.

    class TestSqliteControl(ControlContract):
        @pytest.fixture(scope="class")
        def engine(self, ...): ...

SQLite and PostgreSQL pass `ControlContract` and `LeaseContract`, folder and table pass
`SnapshotStoreContract`. Tests of a suite share their database and keep apart by names. Needs
pytest.
"""

# ruff: noqa: D102, S101, S608 -- names say what tests promise; they assert; tables are ours

import itertools
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from matinee_platform.clock import FakeClock
from matinee_platform.experiments.definition import LiveExperiment
from matinee_platform.experiments.errors import (
    LifecycleError,
    StaleVersionError,
    UnknownExperimentError,
)
from matinee_platform.experiments.lifecycle import State
from matinee_platform.storage.audit_log import AuditLog, add_entry
from matinee_platform.storage.barrier_store import SqlBarrierStore
from matinee_platform.storage.control_database import writing
from matinee_platform.storage.control_store import ControlStore
from matinee_platform.storage.errors import LeaseLostError
from matinee_platform.storage.forgotten_units import ForgottenUnits
from matinee_platform.storage.ports import Lease, SnapshotStore
from matinee_platform.storage.records import Barrier
from matinee_policies.errors import ConfigError, MatineeError, SnapshotError
from matinee_policies.snapshot import Snapshot

_number = itertools.count(1)


def example_experiment(**changes: Any) -> LiveExperiment:
    """A definition of two arms under a key and a salt of its own."""
    name = f"example_{next(_number)}"
    arms = [{"name": "old", "bundle": "old"}, {"name": "new", "bundle": "new"}]
    return LiveExperiment.model_validate({"key": name, "salt": name, "arms": arms, **changes})


def injection_strings() -> list[str]:
    """200 texts that break programs which put text into SQL, pages, formats, shells or sheets."""
    seeds = [
        "'; DROP TABLE audit; --",
        "' OR '1'='1",
        '" OR ""="',
        "1); DELETE FROM experiments; --",
        "\\'; SELECT pg_sleep(1); --",
        "$$; DROP TABLE audit; $$",
        "%s %(x)s %d %%",
        ":name :1 ? @p1",
        "{0} {x!r} {{}}",
        "<script>alert(1)</script>",
        "</textarea><img src=x onerror=alert(1)>",
        "=HYPERLINK(1)",
        "+1+1",
        "-1",
        "@SUM(A1)",
        "$(reboot) `reboot` ; reboot &",
        "../../etc/passwd",
        "line\r\nSet-Cookie: a=b",
        "tab\tbell\x07escape\x1b[31m",
        "right\u202eto left\u200b\ufeff",
        "e\u0301 \u00e9 \ufb01 \U0001f600 \U0010ffff",
        "NULL",
        "true",
        "\\x41 \\u0041 \\",
        "/* */ --",
    ]
    ends = ["", "'", '"', "\\", ";--", "%", " ", "\n"]
    return [seed + end for seed in seeds for end in ends]


class ControlContract:
    """What experiments, audit and barriers promise; needs the fixture `engine`, migrated."""

    def test_an_experiment_lives(self, engine: Engine) -> None:
        clock = FakeClock()
        store = ControlStore(engine, clock=clock)
        definition = example_experiment(coverage=0.1)
        created = store.create(definition, who="ada")
        assert (created.state, created.version) == (State.CREATED, 1)
        clock.advance(seconds=1)
        started = store.start(definition.key, who="bo", version=1)
        ramped = store.ramp(definition.key, coverage=0.5, who="bo", version=2)
        stopped = store.stop(definition.key, who="cy", version=3)
        again = store.start(definition.key, who="cy", salt=f"{definition.salt}-b", coverage=0.2)
        assert [one.state for one in (started, ramped, stopped, again)] == [
            State.RUNNING,
            State.RUNNING,
            State.STOPPED,
            State.RUNNING,
        ]
        assert store.experiment(definition.key) == again
        assert again.version == 5
        assert again.changed_at == again.created_at + 1_000
        assert (again.definition.salt, again.definition.coverage) == (f"{definition.salt}-b", 0.2)
        assert again in store.experiments(state=State.RUNNING)
        assert again not in store.experiments(state=State.STOPPED)

    def test_history_is_whole(self, engine: Engine) -> None:
        store = ControlStore(engine, clock=FakeClock(77))
        definition = example_experiment(coverage=0.1)
        store.create(definition, who="ada")
        store.start(definition.key, who="bo")
        store.ramp(definition.key, coverage=0.3, who="cy")
        store.stop(definition.key, who="di")
        history = store.history(definition.key)
        assert [(one.at, one.who, one.action) for one in history] == [
            (77, "ada", "experiment.create"),
            (77, "bo", "experiment.start"),
            (77, "cy", "experiment.ramp"),
            (77, "di", "experiment.stop"),
        ]
        assert [one.details["version"] for one in history] == [1, 2, 3, 4]
        assert [one.details["definition"]["coverage"] for one in history] == [0.1, 0.1, 0.3, 0.3]
        numbers = [one.number for one in history]
        assert numbers == sorted(set(numbers))

    def test_a_refused_change_leaves_nothing(self, engine: Engine) -> None:
        store = ControlStore(engine, clock=FakeClock())
        definition = example_experiment(coverage=0.5)
        store.create(definition, who="ada")
        before = store.start(definition.key, who="ada")
        with pytest.raises(LifecycleError, match=r"above 0\.5, got 0\.4"):
            store.ramp(definition.key, coverage=0.4, who="ada")
        with pytest.raises(StaleVersionError, match="in version 2, got 1"):
            store.ramp(definition.key, coverage=0.6, who="ada", version=1)
        with pytest.raises(ConfigError):
            store.ramp(definition.key, coverage=float("nan"), who="ada")
        with pytest.raises(ConfigError):
            store.ramp(definition.key, coverage=0.7, who="")
        assert store.experiment(definition.key) == before
        assert len(store.history(definition.key)) == 2

    def test_keys_and_salts_are_used_once(self, engine: Engine) -> None:
        store = ControlStore(engine, clock=FakeClock())
        first, second = example_experiment(), example_experiment()
        store.create(first, who="ada")
        with pytest.raises(LifecycleError, match="key must be new"):
            store.create(first.model_copy(update={"salt": second.salt}), who="ada")
        with pytest.raises(LifecycleError, match=f"which experiment '{first.key}' used"):
            store.create(second.model_copy(update={"salt": first.salt}), who="ada")
        store.create(second, who="ada")
        store.start(second.key, who="ada")
        store.stop(second.key, who="ada")
        for salt in (None, first.salt, second.salt):
            with pytest.raises(LifecycleError, match="salt"):
                store.start(second.key, who="ada", salt=salt)
        with pytest.raises(LifecycleError):
            store.start(second.key, who="ada", salt="no salt!")

    def test_running_slices_do_not_overlap(self, engine: Engine) -> None:
        store = ControlStore(engine, clock=FakeClock())
        layer = f"layer_{next(_number)}"
        low = example_experiment(layer=layer, layer_slice=(0.0, 0.5))
        high = example_experiment(layer=layer, layer_slice=(0.5, 1.0))
        middle = example_experiment(layer=layer, layer_slice=(0.4, 0.6))
        for one in (low, high, middle):
            store.create(one, who="ada")
        store.start(low.key, who="ada")
        store.start(high.key, who="ada")
        with pytest.raises(LifecycleError, match=f"'{middle.key}' wants 0.4 to 0.6"):
            store.start(middle.key, who="ada")
        store.stop(low.key, who="ada")
        store.stop(high.key, who="ada")
        assert store.start(middle.key, who="ada").state is State.RUNNING

    def test_one_of_many_at_once_wins(self, engine: Engine) -> None:
        store = ControlStore(engine, clock=FakeClock())
        layer = f"layer_{next(_number)}"
        rivals = [example_experiment(layer=layer) for _ in range(4)]
        for one in rivals:
            store.create(one, who="ada")
        outcomes = _at_once([partial(store.start, one.key, who="ada") for one in rivals])
        assert sorted(isinstance(one, MatineeError) for one in outcomes) == [
            False,
            True,
            True,
            True,
        ]
        winner = rivals[[isinstance(one, MatineeError) for one in outcomes].index(False)]
        store.stop(winner.key, who="ada")
        store.start(winner.key, who="ada", salt=f"{winner.salt}-b", coverage=0.1)
        ramps = [
            lambda: store.ramp(winner.key, coverage=0.5, who="ada", version=4) for _ in range(4)
        ]
        outcomes = _at_once(ramps)
        assert sum(isinstance(one, StaleVersionError) for one in outcomes) == 3

    def test_ensure_creates_once_and_compares(self, engine: Engine) -> None:
        store = ControlStore(engine, clock=FakeClock())
        definition = example_experiment(coverage=0.1)
        assert store.ensure(definition, who="file").state is State.RUNNING
        ramped = store.ramp(definition.key, coverage=0.2, who="ada")
        assert store.ensure(definition, who="file") == ramped
        with pytest.raises(LifecycleError, match="slots differ"):
            store.ensure(definition.model_copy(update={"slots": 5}), who="file")
        assert len(store.history(definition.key)) == 3

    def test_unknown_experiments(self, engine: Engine) -> None:
        store = ControlStore(engine, clock=FakeClock())
        asked: list[Callable[[], Any]] = [
            lambda: store.experiment("nobody"),
            lambda: store.history("nobody"),
            lambda: store.start("nobody", who="ada"),
            lambda: store.ramp("nobody", coverage=0.5, who="ada"),
            lambda: store.stop("nobody", who="ada"),
        ]
        for ask in asked:
            with pytest.raises(UnknownExperimentError, match="'nobody'"):
                ask()

    def test_append_only_tables_refuse_changes(self, engine: Engine) -> None:
        store = ControlStore(engine, clock=FakeClock())
        store.create(example_experiment(), who="ada")
        barriers = SqlBarrierStore(engine, clock=FakeClock())
        barriers.append(example_barrier("append_only", version=0))
        barriers.mark_genesis("append_only", "new", reason="test")
        ForgottenUnits(engine, clock=FakeClock()).add(2**63, seq=5)
        columns = {"audit": "who", "used_salts": "experiment", "barriers": "arm"}
        for table, column in {**columns, "genesis_marks": "reason", "forgotten": "seq"}.items():
            verbs = [f"UPDATE {table} SET {column} = '7'", f"DELETE FROM {table}"]
            if engine.dialect.name == "postgresql":
                verbs.append(f"TRUNCATE {table}")
            before = _rows(engine, table)
            for statement in verbs:
                with (
                    pytest.raises(DBAPIError, match=f"{table} is append-only"),
                    engine.begin() as connection,
                ):
                    connection.execute(text(statement))
            assert _rows(engine, table) == before != []

    def test_injections_are_text(self, engine: Engine) -> None:
        clock = FakeClock()
        store, audit = ControlStore(engine, clock=clock), AuditLog(engine, clock=clock)
        texts = injection_strings()
        assert len(set(texts)) == 200
        with writing(engine) as session:
            for one in texts:
                add_entry(session, at=1, who=one, action=one, subject=one, details={one: one})
        for one in texts[::10]:
            (entry,) = audit.entries(subject=one)
            assert entry.subject == one
            with pytest.raises(UnknownExperimentError):
                store.experiment(one)
        entries = [one for one in audit.entries(limit=10_000) if one.subject in texts]
        for entry, one in zip(entries, texts, strict=True):
            assert (entry.who, entry.action, entry.subject) == (one, one, one)
            assert entry.details == {one: one}
        arms = [
            {"name": f"arm{number}", "bundle": bundle, "weight": 0.01}
            for number, bundle in enumerate(texts[:100])
        ]
        for layer in texts[::50]:
            definition = example_experiment(arms=arms, layer=layer)
            store.create(definition, who=layer)
            assert store.experiment(definition.key).definition == definition
        barriers = SqlBarrierStore(engine, clock=clock)
        for one in texts[::10]:
            assert barriers.last(one, one) is None
            assert not barriers.genesis_due(one, one)

    def test_text_that_no_database_stores_is_refused(self, engine: Engine) -> None:
        audit = AuditLog(engine, clock=FakeClock())
        for wrong in ("nul\0", "half \ud800", "", "x" * 1_001):
            with pytest.raises(ConfigError):
                audit.append(who=wrong, action="a", subject="s", details={})

    def test_barriers_follow_each_other(self, engine: Engine) -> None:
        store = SqlBarrierStore(engine, clock=FakeClock())
        key = f"barriers_{next(_number)}"
        assert store.last(key, "new") is None
        assert store.all(key, "new") == []
        made = [example_barrier(key, version=version) for version in range(3)]
        for one in made:
            store.append(one)
        store.append(example_barrier(key, version=0, arm="old"))
        assert store.all(key, "new") == made
        assert store.last(key, "new") == made[-1]
        assert store.named(key, "new", [2, 9, 0, 2]) == [made[0], made[2]]
        assert store.named(key, "new", []) == []
        newest = [one for one in store.newest() if one.experiment == key]
        assert newest == [made[-1], example_barrier(key, version=0, arm="old")]
        with pytest.raises(LeaseLostError, match="another learner made 2"):
            store.append(made[2])
        with pytest.raises(ConfigError, match="version 3, got 4"):
            store.append(example_barrier(key, version=4))
        with pytest.raises(ConfigError, match="not go back"):
            store.append(example_barrier(key, version=3, seq=1))
        assert store.all(key, "new") == made

    def test_one_of_two_learners_appends(self, engine: Engine) -> None:
        store = SqlBarrierStore(engine, clock=FakeClock())
        key = f"barriers_{next(_number)}"
        first = example_barrier(key, version=0)
        outcomes = _at_once([lambda: store.append(first) for _ in range(4)])
        assert sum(isinstance(one, LeaseLostError) for one in outcomes) == 3
        assert store.all(key, "new") == [first]

    def test_a_mark_asks_for_one_genesis(self, engine: Engine) -> None:
        store = SqlBarrierStore(engine, clock=FakeClock())
        key = f"barriers_{next(_number)}"
        store.append(example_barrier(key, version=0, genesis=True))
        assert not store.genesis_due(key, "new")
        store.mark_genesis(key, "new", reason="forget")
        assert store.genesis_due(key, "new")
        assert not store.genesis_due(key, "old")
        # A learner that had asked before the mark.
        store.append(example_barrier(key, version=1))
        assert store.genesis_due(key, "new")
        store.append(example_barrier(key, version=2, genesis=True))
        assert not store.genesis_due(key, "new")
        store.mark_genesis(key, "new", reason="forget")
        store.mark_genesis(key, "new", reason="forget")
        assert store.genesis_due(key, "new")
        store.append(example_barrier(key, version=3, genesis=True))
        assert not store.genesis_due(key, "new")


class SnapshotStoreContract:
    """What `SnapshotStore` promises; needs the fixtures `store`, empty, and `stranger`.

    `stranger` is a store of the same place whose keys are others.
    """

    def test_round_trip(self, store: SnapshotStore) -> None:
        snapshot = example_snapshot(3.0)
        store.save("home", "new", 7, snapshot)
        back = store.load("home", "new", 7)
        assert back.content_hash == snapshot.content_hash
        assert back.manifest == snapshot.manifest
        assert np.array_equal(back.arrays["theta"], snapshot.arrays["theta"])

    def test_versions_rise_and_go(self, store: SnapshotStore) -> None:
        assert store.versions("home", "old") == []
        for version in (10, 2, 0, 123_456_789):
            store.save("home", "old", version, example_snapshot(version))
        store.save("home", "other", 5, example_snapshot(0.0))
        assert store.versions("home", "old") == [0, 2, 10, 123_456_789]
        store.delete("home", "old", [2, 3, 10])
        store.delete("home", "old", [2])
        assert store.versions("home", "old") == [0, 123_456_789]
        assert store.versions("home", "other") == [5]

    def test_a_version_without_barrier_may_be_replaced(self, store: SnapshotStore) -> None:
        store.save("home", "twice", 1, example_snapshot(1.0))
        store.save("home", "twice", 1, example_snapshot(2.0))
        assert store.load("home", "twice", 1).content_hash == example_snapshot(2.0).content_hash

    def test_missing_and_misnamed(self, store: SnapshotStore) -> None:
        with pytest.raises(SnapshotError):
            store.load("home", "new", 99)
        for experiment, arm, version in (("../home", "a", 0), ("home", "", 0), ("home", "a", -1)):
            with pytest.raises(ConfigError):
                store.save(experiment, arm, version, example_snapshot(0.0))

    def test_signed_by_another_is_refused(
        self, store: SnapshotStore, stranger: SnapshotStore
    ) -> None:
        stranger.save("home", "forged", 0, example_snapshot(0.0))
        with pytest.raises(SnapshotError, match="home/forged/00000000"):
            store.load("home", "forged", 0)

    def test_any_damage_is_refused(self, store: SnapshotStore) -> None:
        store.save("home", "damaged", 0, example_snapshot(0.0))
        content = self.content(store, "home", "damaged", 0)
        rng = np.random.default_rng(5)
        for bit in rng.choice(8 * len(content), size=60, replace=False).tolist():
            damaged = bytearray(content)
            damaged[bit // 8] ^= 1 << bit % 8
            self.replace(store, "home", "damaged", 0, bytes(damaged))
            with pytest.raises(SnapshotError):
                store.load("home", "damaged", 0)
        self.replace(store, "home", "damaged", 0, content)
        assert store.load("home", "damaged", 0).content_hash == example_snapshot(0.0).content_hash

    def content(self, store: SnapshotStore, experiment: str, arm: str, version: int) -> bytes:
        """The stored bytes, read past the store."""
        raise NotImplementedError

    def replace(
        self, store: SnapshotStore, experiment: str, arm: str, version: int, content: bytes
    ) -> None:
        """Store other bytes, past the store."""
        raise NotImplementedError


class LeaseContract:
    """What `Lease` promises; needs the fixture `make_lease`: each call gives another holder.

    A holder that is killed is a test of each implementation's own, with a real process.
    """

    def test_one_holder_at_a_time(self, make_lease: Callable[[], Lease]) -> None:
        first, second = make_lease(), make_lease()
        name = f"lease-{next(_number)}"
        assert not first.held(name)
        assert first.acquire(name)
        assert first.acquire(name)
        assert first.held(name)
        assert not second.acquire(name)
        assert not second.held(name)
        assert second.acquire(f"{name}-other")
        first.release(name)
        first.release(name)
        assert not first.held(name)
        assert second.acquire(name)
        assert not first.acquire(name)
        second.release(name)

    def test_names_are_plain(self, make_lease: Callable[[], Lease]) -> None:
        for name in ("", "a/b", "../a", "a\0", "x" * 129):
            with pytest.raises(ConfigError):
                make_lease().acquire(name)


def example_barrier(
    experiment: str,
    *,
    version: int,
    arm: str = "new",
    seq: int | None = None,
    genesis: bool = False,
) -> Barrier:
    """A barrier that can follow the one of the version before."""
    return Barrier(
        experiment=experiment,
        arm=arm,
        version=version,
        seq=2**40 + 100 * version if seq is None else seq,
        time_ms=1_767_225_600_000 + version,
        snapshot_hash=f"{version:064x}",
        created_at=1_767_225_600_000,
        genesis=genesis,
    )


def example_snapshot(value: float) -> Snapshot:
    """A small state that depends on `value`."""
    return Snapshot("example", 1, {"theta": np.array([value, 2.0])}, {"config": {"alpha": 0.1}})


def _at_once(calls: "list[Callable[[], Any]]") -> list[Any]:
    """What calls in threads of their own gave or raised."""
    outcomes: list[Any] = [None] * len(calls)
    gate = threading.Barrier(len(calls))

    def run(place: int) -> None:
        gate.wait(60)
        try:
            outcomes[place] = calls[place]()
        except MatineeError as error:
            outcomes[place] = error

    threads = [threading.Thread(target=run, args=[place]) for place in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return outcomes


def _rows(engine: Engine, table: str) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(text(f"SELECT * FROM {table}")))
