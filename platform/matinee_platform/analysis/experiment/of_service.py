"""Analyse a live experiment, from the event log of its service."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matinee_platform.analysis.experiment.analysis import analyse_experiment
from matinee_platform.analysis.experiment.plan import plan_of_live, with_metrics
from matinee_platform.analysis.experiment.removed_rows import refuse_removed_rows
from matinee_platform.analysis.unit_days.event_log import read_event_unit_days
from matinee_platform.analysis.unit_days.records import UnitDays
from matinee_platform.clock import SystemClock
from matinee_platform.experiments.definition import LiveExperiment
from matinee_platform.experiments.lifecycle import State, StoredExperiment
from matinee_platform.serving.bundle import MODEL, bundle_folder
from matinee_platform.serving.unit_fold import DAY_MS
from matinee_platform.storage.control_database import control_url, open_to_read
from matinee_platform.storage.control_store import ControlStore
from matinee_platform.storage.event_log import SQLITE_FILE
from matinee_platform.storage.learning_asks import SqlLearningAsks
from matinee_policies.catalogue import Catalogue
from matinee_policies.errors import ConfigError, DataError


def analyse_live(
    database: Path | str,
    experiment: LiveExperiment,
    *,
    running: bool,
    since_ms: int,
    since_seq: int | None = None,
    until_ms: int,
    metrics: Sequence[str] = (),
    genre_names: Sequence[str] = (),
) -> dict[str, Any]:
    """Analyse a live experiment since its present start; see `analyse_experiment`.

    Past its declared end it is told as it was then, whenever one asks.

    Args:
        database: as `event_database` gives it.
        experiment: as it stands now.
        running: whether it lets units in.
        since_ms: its present start, UTC milliseconds.
        since_seq: place of the log at that start, as `read_event_unit_days` takes it.
        until_ms: end of the data, or the declared end if that comes first.
        metrics: to look at besides those declared.
        genre_names: of the groups of taste; numbered if not given.

    Raises:
        ConfigError: on an end before the start, or the name of no metric.
        DataError: if the log breaks a rule, with counts and examples.
        LogUnavailableError: if the database cannot be read.
    """
    plan = with_metrics(plan_of_live(experiment, running=running), metrics)
    if plan.horizon_days is not None:
        until_ms = min(until_ms, since_ms + plan.horizon_days * DAY_MS)
    units = read_event_unit_days(
        database,
        experiment,
        since_ms=since_ms,
        since_seq=since_seq,
        until_ms=until_ms,
        growing=running,
        genre_names=genre_names,
    )
    source = {"kind": "service", "since_ms": since_ms, "until_ms": until_ms}
    return {**analyse_experiment(units, plan), "source": source}


def event_database(data_dir: Path, database: str) -> Path | str:
    """Where the events of a service are: a SQLite file, or the address of a PostgreSQL.

    Args:
        data_dir: `ServiceSettings.data_dir`.
        database: `ServiceSettings.database`.
    """
    return data_dir / SQLITE_FILE if database == "sqlite" else database


def analyse_service(
    data_dir: Path,
    database: str,
    *,
    key: str | None,
    until_ms: int,
    metrics: Sequence[str] = (),
) -> dict[str, Any]:
    """Analyse an experiment of a service that may be running or not.

    Args:
        data_dir: `ServiceSettings.data_dir`; not used for a PostgreSQL.
        database: `ServiceSettings.database`.
        key: of the experiment; None takes the only one there is.
        until_ms: end of the data, UTC milliseconds; the stop of an experiment that was stopped
            comes first.
        metrics: to look at besides those declared.

    Raises:
        ConfigError: without a key where there are several, if it never started, or if tables are of
            another version: nothing is changed of them here.
        DataError: also where retention removed rows since its start.
        UnknownExperimentError: there is none of this key.
    """
    found, lived_ms = _started(data_dir, database, key)
    return analyse_live(
        event_database(data_dir, database),
        found.definition,
        running=found.state is State.RUNNING,
        since_ms=found.started_at or 0,
        since_seq=found.started_seq,
        until_ms=_end(found, until_ms, lived_ms),
        metrics=metrics,
        genre_names=genre_names_of(data_dir, found.definition),
    )


def genre_names_of(data_dir: Path, experiment: LiveExperiment) -> tuple[str, ...]:
    """Names of the genres in the catalogue of an experiment's bundles.

    None where no bundle is at hand, as beside a database alone, or where they do not agree.
    """
    found: set[tuple[str, ...]] = set()
    for name in {arm.bundle for arm in experiment.arms}:
        path = bundle_folder(data_dir, name) / MODEL / "catalogue.npz"
        try:
            found.add(Catalogue.load(path).genre_names if path.is_file() else ())
        except DataError:
            # Names are for reading alone: what decides does not hang on them.
            return ()
    return found.pop() if len(found) == 1 else ()


def service_units(
    data_dir: Path, database: str, *, key: str | None, until_ms: int
) -> tuple[LiveExperiment, UnitDays]:
    """What the units of a live experiment did since its present start, and the experiment.

    Arguments and errors as `analyse_service`.
    """
    found, lived_ms = _started(data_dir, database, key)
    units = read_event_unit_days(
        event_database(data_dir, database),
        found.definition,
        since_ms=found.started_at or 0,
        since_seq=found.started_seq,
        until_ms=_end(found, until_ms, lived_ms),
    )
    return found.definition, units


def _end(found: StoredExperiment, until_ms: int, lived_ms: int | None) -> int:
    if found.definition.simulated is not None:
        # Their time is how far learning was asked for; no clock tells it.
        return found.definition.simulated.start_ms if lived_ms is None else lived_ms
    # Once it is stopped nobody can come back to it: that is no sign of leaving.
    return until_ms if found.state is State.RUNNING else min(until_ms, found.changed_at)


def _started(data_dir: Path, database: str, key: str | None) -> tuple[StoredExperiment, int | None]:
    """An experiment that has started, and how far its simulated users have lived.

    All of its rows are there.
    """
    engine = open_to_read(control_url(data_dir, database))
    try:
        store = ControlStore(engine, clock=SystemClock())
        found = store.experiment(_only(store) if key is None else key)
        if found.started_at is not None:
            refuse_removed_rows(engine, found.definition.key, since_ms=found.started_at)
        lived_ms = SqlLearningAsks(engine).now_ms(found.definition.key)
    finally:
        engine.dispose()
    if found.started_at is None:
        raise ConfigError(f"experiment {found.definition.key!r} has not started yet")
    return found, lived_ms


def _only(store: ControlStore) -> str:
    keys = [one.definition.key for one in store.experiments()]
    if len(keys) != 1:
        told = f"one of {', '.join(keys)}" if keys else "one, but there is none"
        raise ConfigError(f"--experiment must name {told}")
    return keys[0]
