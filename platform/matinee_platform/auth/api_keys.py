r"""API keys: made, listed, replaced and revoked in the control database, checked in memory.

    mtn_0123456789abcdef_<64 hex digits>
        \_ id, no secret  \_ the secret, 256 random bits

Only a keyed hash of the secret is stored: neither the database nor a copy of it opens anything, and
not even a guess can be tried without the service's own secret. The text of a key is shown once.
"""

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Engine
from sqlmodel import Session, col, select

from matinee_platform.clock import Clock
from matinee_platform.storage.audit_log import add_entry
from matinee_platform.storage.checked_text import check_text
from matinee_platform.storage.control_database import reading, writing
from matinee_platform.storage.control_tables import ApiKeyRow, AuditRow
from matinee_policies.errors import ConfigError, MatineeError

_LONGEST_NAME = 200
_DAY_MS = 86_400_000
_LONGEST_DAYS = 36_500
_TEXT = re.compile(r"mtn_([0-9a-f]{16})_([0-9a-f]{64})")


class Scope(StrEnum):
    """What a key may do; none contains another."""

    DECIDE = "decide"
    REWARD = "reward"
    READ = "read"
    ADMIN = "admin"


class UnknownKeyError(MatineeError):
    """There is no key of this id, or it is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key without its secret.

    Attributes:
        key_id: 16 hex digits; may be shown and logged.
        name: what it is for.
        scopes: what it may do.
        created_at: UTC milliseconds.
        expires_at: first millisecond at which it is over; None for never.
        revoked_at: when it was revoked; None if it was not.
    """

    key_id: str
    name: str
    scopes: frozenset[Scope]
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None

    def holds(self, now_ms: int) -> bool:
        """Whether it opens anything now."""
        return self.revoked_at is None and (self.expires_at is None or now_ms < self.expires_at)


class KeyRing:
    """The keys of one moment, in memory: what a request is checked against.

    Args:
        keys: each with the keyed hash of its secret.
        pepper: key of those hashes.
    """

    def __init__(self, keys: Iterable[tuple[ApiKey, bytes]], *, pepper: bytes) -> None:
        self._keys = {key.key_id: (key, digest) for key, digest in keys}
        self._pepper = pepper

    @property
    def empty(self) -> bool:
        """Whether no key was ever made: then the service is for this machine alone.

        Keys that are over count: when the last one expires, the service must not open to everyone.
        """
        return not self._keys

    def identify(self, presented: str, *, now_ms: int) -> ApiKey | None:
        """Whose key this is, compared in constant time; None for one that is unknown or over.

        Args:
            presented: any text.
            now_ms: UTC milliseconds.
        """
        found = _TEXT.fullmatch(presented)
        if found is None:
            return None
        key_id, secret = found.groups()
        # An unknown id costs the same as a known one.
        key, digest = self._keys.get(key_id, (None, bytes(32)))
        equal = hmac.compare_digest(_digest(key_id, secret, self._pepper), digest)
        return key if equal and key is not None and key.holds(now_ms) else None


class ApiKeys:
    """The keys in the control database; every change is in the audit.

    Args:
        engine: of the control database.
        pepper: key of the hashes, at least 32 bytes.
        clock: tells when.

    Raises:
        ConfigError: on a short pepper.
    """

    def __init__(self, engine: Engine, *, pepper: bytes, clock: Clock) -> None:
        if len(pepper) < 32:
            raise ConfigError(f"the pepper of API keys must have 32 bytes, got {len(pepper)}")
        self._engine = engine
        self._pepper = pepper
        self._clock = clock

    def create(
        self, name: str, scopes: Collection[str], *, who: str, days: float | None = None
    ) -> tuple[ApiKey, str]:
        """Make a key.

        Args:
            name: what it is for.
            scopes: at least one of `Scope`.
            who: who wants it.
            days: after which it is over; None for never.

        Returns:
            The key, and its text, which cannot be had again.

        Raises:
            ConfigError: on a bad name, scope or number of days.
        """
        check_text("name of a key", name, max_chars=_LONGEST_NAME)
        wanted = _checked_scopes(scopes)
        now_ms = self._clock.now_ms()
        expires_at = None if days is None else now_ms + _checked_ms(days)
        with writing(self._engine) as session:
            return self._add(session, name, wanted, now_ms=now_ms, expires_at=expires_at, who=who)

    def rotate(self, key_id: str, *, who: str, overlap_days: float = 1.0) -> tuple[ApiKey, str]:
        """Make a key of the same name and scopes, for as long as the old one was made for.

        The old one goes on for a while.

        Args:
            key_id: of the old one.
            who: who wants it.
            overlap_days: after which the old one is over, if it is not so before.

        Raises:
            UnknownKeyError: there is none of this id that holds.
            ConfigError: on a bad number of days.
        """
        now_ms = self._clock.now_ms()
        until = now_ms + _checked_ms(overlap_days)
        with writing(self._engine) as session:
            row = _holding(session, key_id, now_ms)
            lasts_ms = _lasts_ms(session, row)
            row.expires_at = until if row.expires_at is None else min(until, row.expires_at)
            session.add(row)
            return self._add(
                session,
                row.name,
                _key(row).scopes,
                now_ms=now_ms,
                expires_at=None if lasts_ms is None else now_ms + lasts_ms,
                who=who,
                replaces=key_id,
            )

    def revoke(self, key_id: str, *, who: str) -> ApiKey:
        """End a key at once.

        Raises:
            UnknownKeyError: there is none of this id that holds.
        """
        now_ms = self._clock.now_ms()
        with writing(self._engine) as session:
            row = _holding(session, key_id, now_ms)
            row.revoked_at = now_ms
            session.add(row)
            add_entry(
                session, at=now_ms, who=who, action="api_key.revoke", subject=key_id, details={}
            )
            return _key(row)

    def all(self) -> list[ApiKey]:
        """Every key that was ever made, the first one first."""
        with reading(self._engine) as session:
            return [_key(row) for row in _rows(session)]

    def ring(self) -> KeyRing:
        """All keys as they are now, to check requests against."""
        with reading(self._engine) as session:
            keys = [(_key(row), row.digest) for row in _rows(session)]
        return KeyRing(keys, pepper=self._pepper)

    def _add(
        self,
        session: Session,
        name: str,
        scopes: frozenset[Scope],
        *,
        now_ms: int,
        expires_at: int | None,
        who: str,
        replaces: str | None = None,
    ) -> tuple[ApiKey, str]:
        key_id, secret = secrets.token_hex(8), secrets.token_hex(32)
        row = ApiKeyRow(
            key_id=key_id,
            name=name,
            scopes=" ".join(sorted(scopes)),
            digest=_digest(key_id, secret, self._pepper),
            created_at=now_ms,
            expires_at=expires_at,
        )
        session.add(row)
        add_entry(
            session,
            at=now_ms,
            who=who,
            action="api_key.create" if replaces is None else "api_key.rotate",
            subject=key_id,
            details={
                "name": name,
                "scopes": sorted(scopes),
                "expires_at": expires_at,
                "replaces": replaces,
            },
        )
        return _key(row), f"mtn_{key_id}_{secret}"


def _digest(key_id: str, secret: str, pepper: bytes) -> bytes:
    text = f"{key_id} {secret}".encode()
    return hashlib.blake2b(text, key=pepper, digest_size=32, person=b"matinee-api-key").digest()


def _checked_scopes(scopes: Collection[str]) -> frozenset[Scope]:
    known = [scope.value for scope in Scope]
    for scope in scopes:
        if scope not in known:
            raise ConfigError(f"scope of a key must be one of {', '.join(known)}, got {scope!r}")
    if not scopes:
        raise ConfigError(f"a key needs at least one scope of {', '.join(known)}, got none")
    return frozenset(map(Scope, scopes))


def _checked_ms(days: float) -> int:
    if not 0 <= days <= _LONGEST_DAYS:
        raise ConfigError(f"days must be within 0 and {_LONGEST_DAYS}, got {days:g}")
    return round(days * _DAY_MS)


def _holding(session: Session, key_id: str, now_ms: int) -> ApiKeyRow:
    row = session.get(ApiKeyRow, key_id)
    if row is None or not _key(row).holds(now_ms):
        raise UnknownKeyError(f"there is no API key {key_id!r} that holds")
    return row


def _lasts_ms(session: Session, row: ApiKeyRow) -> int | None:
    """For how long a key was made, by the audit: a rotation ends it sooner."""
    query = select(AuditRow.details).where(
        AuditRow.subject == row.key_id,
        col(AuditRow.action).in_(("api_key.create", "api_key.rotate")),
    )
    made = session.exec(query.order_by(col(AuditRow.number)).limit(1)).first()
    expires_at = row.expires_at if made is None else json.loads(made)["expires_at"]
    return None if expires_at is None else expires_at - row.created_at


def _rows(session: Session) -> list[ApiKeyRow]:
    query = select(ApiKeyRow).order_by(col(ApiKeyRow.created_at), col(ApiKeyRow.key_id))
    return list(session.exec(query))


def _key(row: ApiKeyRow) -> ApiKey:
    return ApiKey(
        key_id=row.key_id,
        name=row.name,
        scopes=frozenset(map(Scope, row.scopes.split())),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )
