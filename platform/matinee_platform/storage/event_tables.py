"""Tables of the event log: storage shapes of `records.py`, one column for each field.

Rules live in the records; nothing is checked here. Numbers of 64 bits without sign are kept as
signed ones (`int64.py`), since neither database has others. `seq` of a row is its place in the one
order of decisions and rewards; the table `seq` holds the last place, and changes in the transaction
that adds the rows. Digests and keyed pseudonyms are all that names a caller's ids here.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
)
from sqlmodel import Field, SQLModel

EVENT_METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
"""Metadata of these tables alone; names of constraints are the same in every database."""


class EventTable(SQLModel):
    """Base of the event log's tables."""

    metadata = EVENT_METADATA


def _place() -> Column[int]:
    # INTEGER makes it SQLite's own row number: no index beside the table.
    kind = BigInteger().with_variant(Integer(), "sqlite")
    return Column(kind, primary_key=True, autoincrement=False)


class DecisionRow(EventTable, table=True):
    """`records.DecisionRecord` with its place."""

    __tablename__ = "decisions"
    __table_args__ = (
        Index(None, "decision_id", unique=True),
        Index(None, "experiment", "arm", "decided_at", "seq"),
        Index(None, "experiment", "arm", "unit", "seq"),
    )

    seq: int = Field(sa_column=_place())
    decision_id: int = Field(sa_type=BigInteger)
    body_digest: bytes = Field(sa_type=LargeBinary)
    experiment: str = Field(sa_type=String)
    arm: str = Field(sa_type=String)
    unit: int = Field(sa_type=BigInteger)
    bucket: int = Field(sa_type=SmallInteger)
    decided_at: int = Field(sa_type=BigInteger)
    page: int = Field(sa_type=Integer)
    snapshot: int = Field(sa_type=Integer)
    feature_version: int = Field(sa_type=Integer)
    catalogue_version: int = Field(sa_type=BigInteger)
    served_by: int = Field(sa_type=SmallInteger)
    last_watched: int = Field(sa_type=Integer)
    unit_state: bytes = Field(sa_type=LargeBinary)
    candidates: bytes = Field(sa_type=LargeBinary)
    scores: bytes = Field(sa_type=LargeBinary)
    slate: bytes = Field(sa_type=LargeBinary)
    propensities: bytes = Field(sa_type=LargeBinary)
    features: bytes | None = Field(default=None, sa_type=LargeBinary)
    base: int | None = Field(default=None, sa_type=Integer)
    base_propensity: float | None = None


class RewardRow(EventTable, table=True):
    """`records.RewardRecord` with its place."""

    __tablename__ = "rewards"
    __table_args__ = (
        Index(None, "reward_key", unique=True),
        Index(None, "decision_id", "component", "slot", "received_at", "seq"),
    )

    seq: int = Field(sa_column=_place())
    reward_key: bytes = Field(sa_type=LargeBinary)
    body_digest: bytes = Field(sa_type=LargeBinary)
    decision_id: int = Field(sa_type=BigInteger)
    component: int = Field(sa_type=SmallInteger)
    slot: int = Field(sa_type=SmallInteger)
    value: float
    received_at: int = Field(sa_type=BigInteger)
    occurred_at: int | None = Field(default=None, sa_type=BigInteger)


class ItemRow(EventTable, table=True):
    """An item that callers name: its row in decisions, and its id."""

    __tablename__ = "items"
    __table_args__ = (Index(None, "item_id", unique=True),)

    item_row: int = Field(sa_column=_place())
    item_id: str = Field(sa_type=String)


class SeqRow(EventTable, table=True):
    """The one row that holds the last place of the log."""

    __tablename__ = "seq"

    one: int = Field(sa_column=_place())
    last: int = Field(sa_type=BigInteger)


DECISION_COLUMNS = tuple(column.name for column in EVENT_METADATA.tables["decisions"].columns)
"""Columns of `decisions`, in order."""
REWARD_COLUMNS = tuple(column.name for column in EVENT_METADATA.tables["rewards"].columns)
"""Columns of `rewards`, in order."""
