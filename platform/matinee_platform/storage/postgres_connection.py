"""Connections of psycopg that notice a server that is gone, and keep its address to themselves."""

from typing import Any

import psycopg

from matinee_platform.storage.errors import LogUnavailableError

_PATIENCE: dict[str, Any] = {
    "connect_timeout": 2,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    # Milliseconds after which what was sent and never confirmed ends the connection.
    "tcp_user_timeout": 10_000,
}


def connect(address: str, **options: Any) -> "psycopg.Connection[Any]":
    """Connect; every statement is a transaction of its own.

    Raises:
        psycopg.OperationalError: the server is away.
        LogUnavailableError: the address is none; what is wrong with it could be its password.
    """
    try:
        return psycopg.connect(address, autocommit=True, **_PATIENCE, **options)
    except psycopg.ProgrammingError:
        raise LogUnavailableError(
            "the address of PostgreSQL must be postgresql://USER:PASSWORD@HOST/NAME, "
            "with signs such as % and / in a password written as %25 and %2F"
        ) from None
