"""Where in the log experiments were started last."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; starts of before are known by their time alone."""
    op.add_column("experiments", sa.Column("started_seq", sa.BigInteger(), nullable=True))
