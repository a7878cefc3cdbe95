"""The audit in the control database: entries go in with the change that they tell of."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Engine
from sqlmodel import Session, col, select

from matinee_platform.clock import Clock
from matinee_platform.experiments.audit import AuditEntry
from matinee_platform.storage.checked_text import check_text
from matinee_platform.storage.control_database import reading, writing
from matinee_platform.storage.control_tables import AuditRow

_LONGEST = 1_000


class AuditLog:
    """Reads the audit, and writes entries of changes that other stores do not know.

    Args:
        engine: of the control database.
        clock: tells when.
    """

    def __init__(self, engine: Engine, *, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def append(self, *, who: str, action: str, subject: str, details: Mapping[str, Any]) -> None:
        """Add an entry; the arguments are the fields of `AuditEntry`.

        Raises:
            ConfigError: on text that no database stores.
            LogUnavailableError: the database is away.
        """
        with writing(self._engine) as session:
            add_entry(
                session,
                at=self._clock.now_ms(),
                who=who,
                action=action,
                subject=subject,
                details=details,
            )

    def entries(
        self,
        *,
        subject: str | None = None,
        actions: Sequence[str] = (),
        after: int = 0,
        limit: int = 1_000,
    ) -> list[AuditEntry]:
        """Entries in their order, at most `limit`.

        Args:
            subject: of this subject only.
            actions: of these only, if any are given.
            after: with a larger number only.
            limit: most entries.
        """
        query = select(AuditRow).where(col(AuditRow.number) > after)
        if subject is not None:
            query = query.where(AuditRow.subject == subject)
        if actions:
            query = query.where(col(AuditRow.action).in_(actions))
        with reading(self._engine) as session:
            rows = session.exec(query.order_by(col(AuditRow.number)).limit(limit)).all()
            return [_entry(row) for row in rows]


def add_entry(
    session: Session, *, at: int, who: str, action: str, subject: str, details: Mapping[str, Any]
) -> None:
    """Add an entry to the transaction of the change that it tells of."""
    session.add(
        AuditRow(
            at=at,
            who=check_text("who", who, max_chars=_LONGEST),
            action=check_text("action", action, max_chars=_LONGEST),
            subject=check_text("subject", subject, max_chars=_LONGEST),
            details=json.dumps(dict(details), sort_keys=True, allow_nan=False),
        )
    )


def _entry(row: AuditRow) -> AuditEntry:
    return AuditEntry(
        number=row.number or 0,
        at=row.at,
        who=row.who,
        action=row.action,
        subject=row.subject,
        details=json.loads(row.details),
    )
