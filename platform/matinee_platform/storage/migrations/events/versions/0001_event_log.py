"""The event log: decisions, rewards, items, and the last place."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    place = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "decisions",
        sa.Column("seq", place, autoincrement=False, nullable=False),
        sa.Column("decision_id", sa.BigInteger(), nullable=False),
        sa.Column("body_digest", sa.LargeBinary(), nullable=False),
        sa.Column("experiment", sa.String(), nullable=False),
        sa.Column("arm", sa.String(), nullable=False),
        sa.Column("unit", sa.BigInteger(), nullable=False),
        sa.Column("bucket", sa.SmallInteger(), nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=False),
        sa.Column("page", sa.Integer(), nullable=False),
        sa.Column("snapshot", sa.Integer(), nullable=False),
        sa.Column("feature_version", sa.Integer(), nullable=False),
        sa.Column("catalogue_version", sa.BigInteger(), nullable=False),
        sa.Column("served_by", sa.SmallInteger(), nullable=False),
        sa.Column("last_watched", sa.Integer(), nullable=False),
        sa.Column("unit_state", sa.LargeBinary(), nullable=False),
        sa.Column("candidates", sa.LargeBinary(), nullable=False),
        sa.Column("scores", sa.LargeBinary(), nullable=False),
        sa.Column("slate", sa.LargeBinary(), nullable=False),
        sa.Column("propensities", sa.LargeBinary(), nullable=False),
        sa.Column("features", sa.LargeBinary(), nullable=True),
        sa.Column("base", sa.Integer(), nullable=True),
        sa.Column("base_propensity", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("seq", name="pk_decisions"),
    )
    op.create_index("ix_decisions_decision_id", "decisions", ["decision_id"], unique=True)
    _create_index("decisions", "experiment", "arm", "decided_at", "seq")
    _create_index("decisions", "experiment", "arm", "unit", "seq")
    op.create_table(
        "rewards",
        sa.Column("seq", place, autoincrement=False, nullable=False),
        sa.Column("reward_key", sa.LargeBinary(), nullable=False),
        sa.Column("body_digest", sa.LargeBinary(), nullable=False),
        sa.Column("decision_id", sa.BigInteger(), nullable=False),
        sa.Column("component", sa.SmallInteger(), nullable=False),
        sa.Column("slot", sa.SmallInteger(), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("occurred_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("seq", name="pk_rewards"),
    )
    op.create_index("ix_rewards_reward_key", "rewards", ["reward_key"], unique=True)
    _create_index("rewards", "decision_id", "component", "slot", "received_at", "seq")
    op.create_table(
        "items",
        sa.Column("item_row", place, autoincrement=False, nullable=False),
        sa.Column("item_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("item_row", name="pk_items"),
    )
    op.create_index("ix_items_item_id", "items", ["item_id"], unique=True)
    seq = op.create_table(
        "seq",
        sa.Column("one", place, autoincrement=False, nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("one", name="pk_seq"),
    )
    op.bulk_insert(seq, [{"one": 1, "last": 0}])


def downgrade() -> None:
    """Remove them."""
    for table in ("seq", "items", "rewards", "decisions"):
        op.drop_table(table)


def _create_index(table: str, *columns: str) -> None:
    op.create_index(f"ix_{table}_{'_'.join(columns)}", table, list(columns))
