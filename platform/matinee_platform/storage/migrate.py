"""Bring tables to the newest form: Alembic's steps, run from within the package.

There is no `env.py` to find and no file to configure: a tree is a package of steps, and a database
says in a version table of the tree's own how far it is.
"""

import threading

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationStep, RevisionStep
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from matinee_platform.storage.schema_version import VERSION_TABLES

ONE_AT_A_TIME = threading.Lock()
"""Held by every thread that runs steps: they speak to the one `alembic.op` of a process."""


def upgrade_tree(connection: Connection, tree: str) -> None:
    """Run the steps that a database has not seen, within the transaction of the connection.

    Args:
        connection: in a transaction, which nobody else can have at the same time.
        tree: folder below `storage/migrations`, e.g. `control`; its version table is
            `alembic_version_control`.
    """
    script = script_of(tree)

    def steps(revision: object, _: object) -> "list[MigrationStep | RevisionStep]":
        return script._upgrade_revs("head", revision)  # type: ignore[arg-type, return-value]

    with ONE_AT_A_TIME, EnvironmentContext(Config(), script, fn=steps) as environment:
        environment.configure(connection=connection, version_table=VERSION_TABLES[tree])
        environment.run_migrations()


def script_of(tree: str) -> ScriptDirectory:
    """The steps of a tree."""
    config = Config()
    config.set_main_option("script_location", f"matinee_platform.storage.migrations:{tree}")
    config.set_main_option("path_separator", "os")
    return ScriptDirectory.from_config(config)
