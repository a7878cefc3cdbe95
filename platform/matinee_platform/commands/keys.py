"""`matinee keys`: make, list, replace and revoke API keys of the service."""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from matinee_platform.commands.service_options import (
    AsJson,
    Database,
    DataDir,
    control_engine,
    service_secrets,
    whoever,
)

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from matinee_platform.auth.api_keys import ApiKey, ApiKeys

app = typer.Typer(help="API keys: make, list, replace, revoke.", no_args_is_help=True)

KeyId = Annotated[str, typer.Argument(metavar="ID", help="Id of a key, as `list` shows it.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the key is for.")],
    scopes: Annotated[
        list[str],
        typer.Option("--scope", metavar="SCOPE", help="decide, reward, read, admin; repeatable."),
    ],
    data_dir: DataDir,
    database: Database = "sqlite",
    days: Annotated[
        float | None, typer.Option("--days", metavar="N", help="Days until it is over.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key; its text is shown this once.

    Example: matinee keys create shop --scope decide --scope reward --data-dir service
    """
    with control_engine(data_dir, database) as engine:
        keys = _keys(engine, data_dir, database)
        key, text = keys.create(name, scopes, who=whoever(), days=days)
    _show_new(key, text, as_json=as_json)


@app.command("list")
def list_keys(data_dir: DataDir, database: Database = "sqlite", as_json: AsJson = False) -> None:
    """List all keys, without their secrets."""
    with control_engine(data_dir, database) as engine:
        found = _keys(engine, data_dir, database).all()
    if as_json:
        print(json.dumps([_facts(key) for key in found], indent=2))
        return
    for key in found:
        facts = _facts(key)
        print(f"{key.key_id}  {facts['state']:<8}  {' '.join(facts['scopes'])}  {key.name!r}")
    if not found:
        print("no key: the service listens on loopback only")


@app.command()
def rotate(
    key_id: KeyId,
    data_dir: DataDir,
    database: Database = "sqlite",
    overlap_days: Annotated[
        float,
        typer.Option("--overlap-days", metavar="N", help="Days that the old key goes on."),
    ] = 1.0,
    as_json: AsJson = False,
) -> None:
    """Make a key in place of another one; both open for a while."""
    with control_engine(data_dir, database) as engine:
        keys = _keys(engine, data_dir, database)
        key, text = keys.rotate(key_id, who=whoever(), overlap_days=overlap_days)
    _show_new(key, text, as_json=as_json)


@app.command()
def revoke(key_id: KeyId, data_dir: DataDir, database: Database = "sqlite") -> None:
    """End a key at once."""
    with control_engine(data_dir, database) as engine:
        key = _keys(engine, data_dir, database).revoke(key_id, who=whoever())
    print(f"revoked {key.key_id} {key.name!r}")


def _keys(engine: "Engine", data_dir: Any, database: str) -> "ApiKeys":
    from matinee_platform.auth.api_keys import ApiKeys
    from matinee_platform.clock import SystemClock

    pepper = service_secrets(data_dir, database).api_keys
    return ApiKeys(engine, pepper=pepper, clock=SystemClock())


def _show_new(key: "ApiKey", text: str, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({**_facts(key), "key": text}, indent=2))
        return
    print(text)
    typer.echo(f"key {key.key_id} {key.name!r}: keep it, it is not shown again", err=True)


def _facts(key: "ApiKey") -> dict[str, Any]:
    from matinee_platform.clock import SystemClock

    state = "revoked" if key.revoked_at is not None else "expired"
    return {
        "id": key.key_id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "state": "active" if key.holds(SystemClock().now_ms()) else state,
        "created_at": _time(key.created_at),
        "expires_at": _time(key.expires_at),
        "revoked_at": _time(key.revoked_at),
    }


def _time(at: int | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at / 1_000, UTC).isoformat()
