"""Tables of the control data: storage shapes only; the rules live in records and stores.

The hot path never touches them. `migrations/control` makes them, and a test compares the two.
"""

from sqlalchemy import BigInteger, Index, LargeBinary, MetaData, Text
from sqlmodel import Field, SQLModel


class ControlTable(SQLModel):
    """What these tables have in common: metadata apart from those of the event log."""

    metadata = MetaData(
        naming_convention={"pk": "pk_%(table_name)s", "ix": "ix_%(table_name)s_%(column_0_name)s"}
    )


class ExperimentRow(ControlTable, table=True):
    """An experiment as it stands now."""

    __tablename__ = "experiments"

    key: str = Field(primary_key=True, sa_type=Text)
    state: str = Field(sa_type=Text)
    version: int
    """Rises with each change; a change names the version that it was made for."""
    definition: str = Field(sa_type=Text)
    """JSON of `LiveExperiment`, with the salt and the coverage of now."""
    created_at: int = Field(sa_type=BigInteger)
    changed_at: int = Field(sa_type=BigInteger)
    started_at: int | None = Field(default=None, sa_type=BigInteger)
    """Of its last start."""
    started_seq: int | None = Field(default=None, sa_type=BigInteger)
    """Last place of the log at its last start; a place of another database, so no key to it."""


class UsedSaltRow(ControlTable, table=True):
    """A salt that no experiment may use again. Append-only."""

    __tablename__ = "used_salts"

    salt: str = Field(primary_key=True, sa_type=Text)
    experiment: str = Field(sa_type=Text)
    used_at: int = Field(sa_type=BigInteger)


class AuditRow(ControlTable, table=True):
    """Who changed what, and when. Append-only."""

    __tablename__ = "audit"
    __table_args__ = (Index("ix_audit_subject", "subject"),)

    number: int | None = Field(default=None, primary_key=True)
    at: int = Field(sa_type=BigInteger)
    who: str = Field(sa_type=Text)
    action: str = Field(sa_type=Text)
    subject: str = Field(sa_type=Text)
    details: str = Field(sa_type=Text)
    """JSON."""


class ApiKeyRow(ControlTable, table=True):
    """An API key, without its secret."""

    __tablename__ = "api_keys"

    key_id: str = Field(primary_key=True, sa_type=Text)
    name: str = Field(sa_type=Text)
    scopes: str = Field(sa_type=Text)
    """Words in the order of the alphabet, blanks between them."""
    digest: bytes = Field(sa_type=LargeBinary)
    """Keyed hash of the secret."""
    created_at: int = Field(sa_type=BigInteger)
    expires_at: int | None = Field(default=None, sa_type=BigInteger)
    revoked_at: int | None = Field(default=None, sa_type=BigInteger)


class BarrierRow(ControlTable, table=True):
    """A barrier of an arm (`records.Barrier`). Append-only."""

    __tablename__ = "barriers"

    experiment: str = Field(primary_key=True, sa_type=Text)
    arm: str = Field(primary_key=True, sa_type=Text)
    version: int = Field(primary_key=True)
    seq: int = Field(sa_type=BigInteger)
    time_ms: int = Field(sa_type=BigInteger)
    snapshot_hash: str = Field(sa_type=Text)
    created_at: int = Field(sa_type=BigInteger)
    genesis: bool


class GenesisMarkRow(ControlTable, table=True):
    """Why the barrier after a version must be one where replay starts. Append-only."""

    __tablename__ = "genesis_marks"
    __table_args__ = (Index("ix_genesis_marks_arm", "experiment", "arm"),)

    number: int | None = Field(default=None, primary_key=True)
    experiment: str = Field(sa_type=Text)
    arm: str = Field(sa_type=Text)
    after_version: int
    """The arm's last version when it was marked, -1 for none."""
    marked_at: int = Field(sa_type=BigInteger)
    reason: str = Field(sa_type=Text)


class ForgottenRow(ControlTable, table=True):
    """A unit whose rows were removed (`forgotten_units.py`). Append-only."""

    __tablename__ = "forgotten"
    __table_args__ = (Index("ix_forgotten_unit", "unit"),)

    number: int | None = Field(default=None, primary_key=True)
    unit: int = Field(sa_type=BigInteger)
    seq: int = Field(sa_type=BigInteger)
    at: int = Field(sa_type=BigInteger)


class SnapshotRow(ControlTable, table=True):
    """A snapshot's file, where there is no folder that all processes see."""

    __tablename__ = "snapshots"

    experiment: str = Field(primary_key=True, sa_type=Text)
    arm: str = Field(primary_key=True, sa_type=Text)
    version: int = Field(primary_key=True)
    content: bytes = Field(sa_type=LargeBinary)


class LearningAskRow(ControlTable, table=True):
    """How far a simulated arm is asked to be learned, and was (`learning_asks.py`)."""

    __tablename__ = "learning_asks"

    experiment: str = Field(primary_key=True, sa_type=Text)
    arm: str = Field(primary_key=True, sa_type=Text)
    asked_ms: int = Field(sa_type=BigInteger)
    reached_ms: int | None = Field(default=None, sa_type=BigInteger)
