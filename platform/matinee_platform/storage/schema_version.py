"""How far the tables of a database are, without Alembic: loading it takes long, steps are rare."""

from sqlalchemy import Connection, inspect, text

NEWEST = {"control": "0003", "events": "0001"}
"""The last step of each tree of `storage/migrations`."""

VERSION_TABLES = {"control": "alembic_version_control", "events": "events_version"}
"""The table in which a database says how far it is, by tree."""


def is_newest(connection: Connection, tree: str) -> bool:
    """Whether a database has taken the last step of a tree; leaves no transaction open.

    Args:
        connection: to the database; nothing is written.
        tree: `control` or `events`.
    """
    table = VERSION_TABLES[tree]
    found: list[str] = []
    if inspect(connection).has_table(table):
        rows = connection.execute(text(f"SELECT version_num FROM {table}"))  # noqa: S608 - ours
        found = [str(version) for version in rows.scalars()]
    connection.rollback()
    return found == [NEWEST[tree]]
