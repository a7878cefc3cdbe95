"""Triggers that keep a table append-only, whoever writes to the database."""


def append_only(table: str, dialect: str) -> list[str]:
    """Statements after which rows of a table can be added, and neither changed nor removed.

    Args:
        table: name of the table, one of ours.
        dialect: `sqlite` or `postgresql`.

    Example:
        >>> len(append_only("audit", "sqlite")), len(append_only("audit", "postgresql"))
        (2, 3)
    """
    rule = f"{table} is append-only"
    if dialect == "sqlite":
        return [
            f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{rule}'); END"
            for verb in ("UPDATE", "DELETE")
        ]
    return [
        f"CREATE FUNCTION {table}_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{rule}'; END $$",
        f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE ON {table} "
        f"FOR EACH ROW EXECUTE FUNCTION {table}_append_only()",
        f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_append_only()",
    ]
