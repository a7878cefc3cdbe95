"""How far the tables of a database are, without Alembic: loading it takes long, steps are rare."""

from sqlalchemy import Connection, inspect, text

from matinee_policies.errors import ConfigError

NEWEST = {"control": "0004", "events": "0001"}
"""The last step of each tree of `storage/migrations`."""

VERSION_TABLES = {"control": "alembic_version_control", "events": "events_version"}
"""The table in which a database says how far it is, by tree."""


def is_newest(connection: Connection, tree: str) -> bool:
    """Whether a database has taken the last step of a tree; leaves no transaction open.

    Args:
        connection: to the database; nothing is written.
        tree: `control` or `events`.
    """
    return _steps(connection, tree) == [NEWEST[tree]]


def refuse_other_versions(connection: Connection, tree: str) -> None:
    """Refuse a database that is not as far as this version; leaves no transaction open.

    Args:
        connection: to the database; nothing is written.
        tree: `control` or `events`.

    Raises:
        ConfigError: with the way out.
    """
    steps, newest = _steps(connection, tree), NEWEST[tree]
    if steps == [newest]:
        return
    if not steps:
        raise ConfigError(f"the database has no {tree} tables of a service: start one on it first")
    (found,) = steps
    way = (
        "start the service once, it brings them up to date"
        if found < newest
        else "use the version that wrote them, or a later one"
    )
    raise ConfigError(f"{tree} tables must be of step {newest}, got {found}: {way}")


def _steps(connection: Connection, tree: str) -> list[str]:
    """The last step that a database has taken; none without tables."""
    table = VERSION_TABLES[tree]
    found: list[str] = []
    if inspect(connection).has_table(table):
        rows = connection.execute(text(f"SELECT version_num FROM {table}"))  # noqa: S608 - ours
        found = [str(version) for version in rows.scalars()]
    connection.rollback()
    return found
