"""The tests that every home of experiments, audit and barriers passes: subclass `ControlContract`.

    class TestSqliteControl(ControlContract):
        @pytest.fixture(scope="class")
        def engine(self, ...): ...

SQLite and PostgreSQL pass it. Its tests share their database and keep apart by names. Needs pytest.
"""

# ruff: noqa: D102, S101, S608 -- names say what tests promise; they assert; tables are ours

import itertools
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from matinee_platform.clock import FakeClock
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
from matinee_platform.storage.testing_control import (
    example_barrier,
    example_experiment,
    injection_strings,
)
from matinee_policies.errors import ConfigError, MatineeError

_number = itertools.count(1)


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
        for layer in texts[::50]:
            definition = example_experiment(layer=layer)
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
