"""Barriers of every arm in the control database, and marks that ask for a new genesis."""

from collections.abc import Sequence

from sqlalchemy import Engine, func
from sqlmodel import Session, col, select

from matinee_platform.clock import Clock
from matinee_platform.storage.control_database import reading, writing
from matinee_platform.storage.control_tables import BarrierRow, GenesisMarkRow, SnapshotRow
from matinee_platform.storage.errors import LeaseLostError
from matinee_platform.storage.records import Barrier
from matinee_policies.errors import ConfigError
from matinee_policies.snapshot import Snapshot

_AT_ONCE = 500


class SqlBarrierStore:
    """Append-only barriers; a `BarrierStore`.

    Args:
        engine: of the control database.
        clock: tells when a mark was made.
    """

    def __init__(self, engine: Engine, *, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def last(self, experiment: str, arm: str) -> Barrier | None:
        """The newest barrier of an arm."""
        with reading(self._engine) as session:
            row = _last(session, experiment, arm)
            return None if row is None else _barrier(row)

    def all(self, experiment: str, arm: str) -> list[Barrier]:
        """Every barrier of an arm, by version."""
        query = select(BarrierRow).where(BarrierRow.experiment == experiment, BarrierRow.arm == arm)
        with reading(self._engine) as session:
            rows = session.exec(query.order_by(col(BarrierRow.version)))
            return [_barrier(row) for row in rows]

    def named(self, experiment: str, arm: str, versions: Sequence[int]) -> list[Barrier]:
        """The barriers of some versions, by version; those that are not there are left out."""
        found: list[Barrier] = []
        wanted = sorted(set(versions))
        with reading(self._engine) as session:
            for at in range(0, len(wanted), _AT_ONCE):
                query = select(BarrierRow).where(
                    BarrierRow.experiment == experiment,
                    BarrierRow.arm == arm,
                    col(BarrierRow.version).in_(wanted[at : at + _AT_ONCE]),
                )
                found += map(_barrier, session.exec(query.order_by(col(BarrierRow.version))))
        return found

    def newest(self) -> list[Barrier]:
        """The newest barrier of every arm, by experiment and arm."""
        found: list[Barrier] = []
        with reading(self._engine) as session:
            # From arm to arm by the index: barriers grow with time, arms do not.
            row = _next_arm(session, "", "")
            while row is not None:
                newest = _last(session, row.experiment, row.arm)
                found.append(_barrier(row if newest is None else newest))
                row = _next_arm(session, row.experiment, row.arm)
        return found

    def append(self, barrier: Barrier) -> None:
        """Add the next barrier.

        Raises:
            LeaseLostError: its version is there already, or the snapshot of its version in this
                database is another one: another learner was faster.
            ConfigError: it leaves versions out, or goes back in the log or in time.
            LogUnavailableError: the database is away.
        """
        with writing(self._engine) as session:
            last = _last(session, barrier.experiment, barrier.arm)
            _check_next(barrier, None if last is None else _barrier(last))
            _check_snapshot(session, barrier)
            session.add(
                BarrierRow(
                    experiment=barrier.experiment,
                    arm=barrier.arm,
                    version=barrier.version,
                    seq=barrier.seq,
                    time_ms=barrier.time_ms,
                    snapshot_hash=barrier.snapshot_hash,
                    created_at=barrier.created_at,
                    genesis=barrier.genesis,
                )
            )

    def mark_genesis(self, experiment: str, arm: str, *, reason: str) -> None:
        """Ask that the next barrier of an arm be one where replay starts: rows were removed."""
        with writing(self._engine) as session:
            last = _last(session, experiment, arm)
            session.add(
                GenesisMarkRow(
                    experiment=experiment,
                    arm=arm,
                    after_version=-1 if last is None else last.version,
                    marked_at=self._clock.now_ms(),
                    reason=reason,
                )
            )

    def genesis_due(self, experiment: str, arm: str) -> bool:
        """Whether the next barrier must be a genesis; ask before reading what it learns from."""
        marked = select(func.max(GenesisMarkRow.after_version)).where(
            GenesisMarkRow.experiment == experiment, GenesisMarkRow.arm == arm
        )
        with reading(self._engine) as session:
            after: int | None = session.exec(marked).one()
            if after is None:
                return False
            # The first one after the mark, which is near: no walk over all barriers.
            begun = (
                select(BarrierRow.version)
                .where(
                    BarrierRow.experiment == experiment,
                    BarrierRow.arm == arm,
                    col(BarrierRow.version) > after,
                    col(BarrierRow.genesis).is_(True),
                )
                .order_by(col(BarrierRow.version))
            )
            return session.exec(begun.limit(1)).first() is None


def _last(session: Session, experiment: str, arm: str) -> BarrierRow | None:
    query = select(BarrierRow).where(BarrierRow.experiment == experiment, BarrierRow.arm == arm)
    return session.exec(query.order_by(col(BarrierRow.version).desc()).limit(1)).first()


def _next_arm(session: Session, experiment: str, arm: str) -> BarrierRow | None:
    """A barrier of the arm that follows another one by name."""
    same = (col(BarrierRow.experiment) == experiment, col(BarrierRow.arm) > arm)
    later = (col(BarrierRow.experiment) > experiment,)
    # Two questions: SQLite walks the whole arm for one about the pair.
    for place in (same, later):
        query = select(BarrierRow).where(*place)
        order = col(BarrierRow.experiment), col(BarrierRow.arm), col(BarrierRow.version)
        row = session.exec(query.order_by(*order).limit(1)).first()
        if row is not None:
            return row
    return None


def _check_snapshot(session: Session, barrier: Barrier) -> None:
    """What a barrier names must be what is stored, where both are in one database.

    A learner that was paused past its lease may have replaced the snapshot of another one. What is
    compared is the content; who loads it checks the signature.
    """
    key = barrier.experiment, barrier.arm, barrier.version
    row = session.get(SnapshotRow, key)
    if row is None:
        return
    name = f"{key[0]}/{key[1]}/{key[2]:08d}"
    if Snapshot.from_bytes(row.content, origin=name).content_hash != barrier.snapshot_hash:
        raise LeaseLostError(f"snapshot {name} is that of another learner")


def _check_next(barrier: Barrier, last: Barrier | None) -> None:
    name = f"barrier of {barrier.experiment}/{barrier.arm}"
    if last is not None and barrier.version <= last.version:
        raise LeaseLostError(
            f"{name} must have a new version, got {barrier.version}, "
            f"and another learner made {last.version} already"
        )
    wanted = 0 if last is None else last.version + 1
    if barrier.version != wanted:
        raise ConfigError(f"{name} must have version {wanted}, got {barrier.version}")
    if last is not None and (barrier.seq < last.seq or barrier.time_ms < last.time_ms):
        raise ConfigError(
            f"{name} must not go back: after seq {last.seq} and time {last.time_ms}, "
            f"got {barrier.seq} and {barrier.time_ms}"
        )


def _barrier(row: BarrierRow) -> Barrier:
    return Barrier(
        experiment=row.experiment,
        arm=row.arm,
        version=row.version,
        seq=row.seq,
        time_ms=row.time_ms,
        snapshot_hash=row.snapshot_hash,
        created_at=row.created_at,
        genesis=row.genesis,
    )
