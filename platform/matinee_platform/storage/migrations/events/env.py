"""How Alembic runs the migrations of the event log; `event_migrations.upgrade` has it run."""

import sqlmodel.sql.sqltypes  # noqa: F401 - migrations name its types
from alembic import context

from matinee_platform.storage.event_migrations import run

# Alembic alone has a context; an import by anybody else does nothing.
if hasattr(context, "config"):
    run(context)
