"""How Alembic runs the migrations of the event log; `event_migrations.upgrade` calls it."""

import sqlmodel.sql.sqltypes  # noqa: F401 - migrations name its types
from alembic import context

from matinee_platform.storage.event_migrations import run

run(context)
