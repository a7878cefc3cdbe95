"""`matinee serve`: the live service."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from matinee_platform.service.process import Listening


def serve(
    config: Annotated[
        Path, typer.Option("--config", metavar="FILE", help="Settings of the service in YAML.")
    ],
    host: Annotated[
        str | None, typer.Option("--host", help="Address to listen on; in place of the file's.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option("--port", min=0, max=65_535, help="Port; 0 takes a free one."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, max=64, help="Processes; more than one on PostgreSQL."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print where it listens as JSON for machines.")
    ] = False,
) -> None:
    """Answer decisions and rewards over HTTP, and keep the learner running.

    Ends by itself on SIGTERM and Ctrl-C, once what it took in is answered and logged.
    Example: matinee serve --config examples/serve.yaml
    """
    from matinee_platform.service.process import serve as run
    from matinee_platform.service.settings_file import load_service_settings

    settings = load_service_settings(
        config, changes={"host": host, "port": port, "workers": workers}
    )

    def announce(listening: "Listening") -> None:
        print(json.dumps(asdict(listening)) if as_json else _line(listening), flush=True)

    if sys.stderr.isatty():
        print(
            "Getting ready: bundles and kernels; minutes the first time, then seconds.",
            file=sys.stderr,
        )
    status = run(settings, announce=announce)
    if status:
        raise typer.Exit(status)


def _line(listening: "Listening") -> str:
    words = [f"matinee listens on {listening.address}", f"data in {listening.data_dir}"]
    if listening.workers > 1:
        words.append(f"{listening.workers} processes")
    words.append("with API keys" if listening.keys else "without API keys: this machine alone")
    if not listening.learner:
        words.append("no learner of its own")
    return "; ".join(words)
