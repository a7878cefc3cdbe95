"""Units that were forgotten; when experiments were started last."""

import sqlalchemy as sa
from alembic import op

from matinee_platform.storage.append_only import append_only

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table, and take the starts from the audit."""
    op.create_table(
        "forgotten",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("unit", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_forgotten"),
    )
    op.create_index("ix_forgotten_unit", "forgotten", ["unit"])
    for statement in append_only("forgotten", op.get_bind().dialect.name):
        op.execute(statement)
    op.add_column("experiments", sa.Column("started_at", sa.BigInteger(), nullable=True))
    op.execute(
        "UPDATE experiments SET started_at = (SELECT max(at) FROM audit "
        "WHERE subject = experiments.key AND action = 'experiment.start')"
    )
