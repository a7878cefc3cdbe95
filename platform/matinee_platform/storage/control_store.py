"""Experiments in the control database: every change follows `lifecycle`, and is audited with it."""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Engine
from sqlmodel import Session, col, select

from matinee_platform.clock import Clock
from matinee_platform.experiments import lifecycle
from matinee_platform.experiments.audit import AuditEntry
from matinee_platform.experiments.definition import STORED, LiveExperiment
from matinee_platform.experiments.errors import LifecycleError, UnknownExperimentError
from matinee_platform.experiments.lifecycle import State, StoredExperiment
from matinee_platform.storage.audit_log import AuditLog, add_entry
from matinee_platform.storage.checked_text import check_text
from matinee_platform.storage.control_database import reading, writing
from matinee_platform.storage.control_tables import ExperimentRow, UsedSaltRow

_LONGEST_NAME = 200
_Change = Callable[[Session, StoredExperiment], StoredExperiment]


class ControlStore:
    """Experiments and their history.

    Changes raise `UnknownExperimentError`, `LifecycleError`, `StaleVersionError`, `ConfigError` on
    a value out of its range, and `LogUnavailableError` while the database is away.

    Args:
        engine: of the control database.
        clock: tells when.
        last_seq: tells the last place of the log, which a start notes; None for a store that is
            only read, or has no log beside it.
    """

    def __init__(
        self, engine: Engine, *, clock: Clock, last_seq: Callable[[], int] | None = None
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._last_seq = last_seq
        self._audit = AuditLog(engine, clock=clock)

    def create(self, definition: LiveExperiment, *, who: str) -> StoredExperiment:
        """Add an experiment, which does not run yet."""
        with writing(self._engine) as session:
            return self._create(session, definition, who=who)

    def ensure(self, definition: LiveExperiment, *, who: str) -> StoredExperiment:
        """Add and start an experiment if its key is new; else it must be the one that is there.

        Salt and coverage of one that is there may have changed in its life, and one that was
        stopped stays so.
        """
        with writing(self._engine) as session:
            row = session.get(ExperimentRow, definition.key)
            if row is None:
                self._create(session, definition, who=who)
                return self._change(
                    session, definition.key, self._starting(None, None), version=1, who=who
                )
            found = _stored(row)
            if not lifecycle.same_but_for_its_life(definition, found.definition):
                raise LifecycleError(
                    f"experiment {definition.key!r} must be as it was created: "
                    f"{', '.join(_differing(definition, found.definition))} differ"
                )
            return found

    def start(
        self,
        key: str,
        *,
        who: str,
        version: int | None = None,
        salt: str | None = None,
        coverage: float | None = None,
    ) -> StoredExperiment:
        """Start an experiment, or start it anew with another salt.

        Args:
            key: of the experiment.
            who: who wants it.
            version: the one that was read; None takes any.
            salt: a new one.
            coverage: to begin with; the definition's if not given.
        """
        with writing(self._engine) as session:
            return self._change(
                session, key, self._starting(salt, coverage), version=version, who=who
            )

    def ramp(
        self, key: str, *, coverage: float, who: str, version: int | None = None
    ) -> StoredExperiment:
        """Let more units in."""

        def change(_: Session, found: StoredExperiment) -> StoredExperiment:
            return lifecycle.ramp(found, coverage=coverage, now_ms=self._clock.now_ms())

        with writing(self._engine) as session:
            return self._change(session, key, change, version=version, who=who, action="ramp")

    def stop(self, key: str, *, who: str, version: int | None = None) -> StoredExperiment:
        """Stop an experiment."""

        def change(_: Session, found: StoredExperiment) -> StoredExperiment:
            return lifecycle.stop(found, now_ms=self._clock.now_ms())

        with writing(self._engine) as session:
            return self._change(session, key, change, version=version, who=who, action="stop")

    def experiment(self, key: str) -> StoredExperiment:
        """One experiment as it stands now."""
        with reading(self._engine) as session:
            return _stored(_row(session, key))

    def experiments(self, *, state: State | None = None) -> list[StoredExperiment]:
        """All experiments, by key; of one state only, if given."""
        with reading(self._engine) as session:
            return _all(session, state=state)

    def history(self, key: str) -> list[AuditEntry]:
        """Every change of an experiment, the first one first.

        The details of each are `version`, `state` and `definition` after it.
        """
        with reading(self._engine) as session:
            _row(session, key)
        found: list[AuditEntry] = []
        while True:
            after = found[-1].number if found else 0
            more = self._audit.entries(subject=key, after=after)
            found.extend(one for one in more if one.action.startswith("experiment."))
            if not more:
                return found

    def audit(self, *, after: int = 0, limit: int = 1_000) -> list[AuditEntry]:
        """Changes of everything with numbers above `after`, the first one first."""
        return self._audit.entries(after=after, limit=limit)

    def _create(
        self, session: Session, definition: LiveExperiment, *, who: str
    ) -> StoredExperiment:
        check_text("layer", definition.layer, max_chars=_LONGEST_NAME)
        for arm in definition.arms:
            check_text(f"bundle of arm {arm.name!r}", arm.bundle, max_chars=_LONGEST_NAME)
        now_ms = self._clock.now_ms()
        created = lifecycle.create(
            definition,
            exists=session.get(ExperimentRow, definition.key) is not None,
            salts=_salts(session, [definition.salt]),
            now_ms=now_ms,
        )
        session.add(UsedSaltRow(salt=definition.salt, experiment=definition.key, used_at=now_ms))
        session.add(ExperimentRow(**_values(created)))
        _tell(session, created, action="create", who=who)
        session.flush()
        return created

    def _starting(self, salt: str | None, coverage: float | None) -> _Change:
        def change(session: Session, found: StoredExperiment) -> StoredExperiment:
            now_ms = self._clock.now_ms()
            started = lifecycle.start(
                found,
                running=[one.definition for one in _all(session, state=State.RUNNING)],
                salts={} if salt is None else _salts(session, [salt]),
                salt=salt,
                coverage=coverage,
                now_ms=now_ms,
                # Before anybody serves it: what it decides comes after this place.
                last_seq=None if self._last_seq is None else self._last_seq(),
            )
            if salt is not None:
                key = found.definition.key
                session.add(UsedSaltRow(salt=salt, experiment=key, used_at=now_ms))
            return started

        return change

    def _change(
        self,
        session: Session,
        key: str,
        change: _Change,
        *,
        version: int | None,
        who: str,
        action: str = "start",
    ) -> StoredExperiment:
        row = _row(session, key)
        before = _stored(row)
        lifecycle.expect_version(before, version)
        after = change(session, before)
        row.sqlmodel_update(_values(after))
        session.add(row)
        _tell(session, after, action=action, who=who)
        return after


def _row(session: Session, key: str) -> ExperimentRow:
    row = session.get(ExperimentRow, key)
    if row is None:
        raise UnknownExperimentError(f"there is no experiment {key!r}")
    return row


def _all(session: Session, *, state: State | None) -> list[StoredExperiment]:
    query = select(ExperimentRow).order_by(col(ExperimentRow.key))
    if state is not None:
        query = query.where(ExperimentRow.state == state.value)
    return [_stored(row) for row in session.exec(query)]


def _salts(session: Session, salts: Sequence[str]) -> dict[str, str]:
    rows = session.exec(select(UsedSaltRow).where(col(UsedSaltRow.salt).in_(salts)))
    return {row.salt: row.experiment for row in rows}


def _stored(row: ExperimentRow) -> StoredExperiment:
    return StoredExperiment(
        definition=LiveExperiment.model_validate_json(row.definition, context=STORED),
        state=State(row.state),
        version=row.version,
        created_at=row.created_at,
        changed_at=row.changed_at,
        started_at=row.started_at,
        started_seq=row.started_seq,
    )


def _values(experiment: StoredExperiment) -> dict[str, Any]:
    return {
        "key": experiment.definition.key,
        "state": experiment.state.value,
        "version": experiment.version,
        "definition": experiment.definition.model_dump_json(),
        "created_at": experiment.created_at,
        "changed_at": experiment.changed_at,
        "started_at": experiment.started_at,
        "started_seq": experiment.started_seq,
    }


def _tell(session: Session, experiment: StoredExperiment, *, action: str, who: str) -> None:
    add_entry(
        session,
        at=experiment.changed_at,
        who=who,
        action=f"experiment.{action}",
        subject=experiment.definition.key,
        details={
            "version": experiment.version,
            "state": experiment.state.value,
            "definition": experiment.definition.model_dump(mode="json"),
        },
    )


def _differing(first: LiveExperiment, second: LiveExperiment) -> list[str]:
    names = [name for name in type(first).model_fields if name not in ("salt", "coverage")]
    return [name for name in names if getattr(first, name) != getattr(second, name)]
