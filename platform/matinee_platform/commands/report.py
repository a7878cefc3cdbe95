"""`matinee report`: write the report of a finished run again."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="File to write; default RUN/report.html."),
    ] = None,
) -> None:
    """Write one HTML page about a finished run; it needs no network.

    Example: matinee report runs/demo --out demo.html
    """
    from matinee_platform.offline.results import read_results
    from matinee_platform.report.page import write_report
    from matinee_policies.errors import ConfigError

    if out is not None and (out.is_dir() or not out.parent.is_dir()):
        raise ConfigError(f"--out must name a file in a folder that exists, got {out}")
    print(write_report(run, read_results(run), out=out))
