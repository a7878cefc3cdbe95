"""`matinee export`: the log of a finished run as Parquet."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
    out: Annotated[
        Path, typer.Option("--out", metavar="FOLDER", help="Folder to write; empty, or new.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Copy the log of a finished run to Parquet, for DuckDB, Spark or a warehouse.

    Example: matinee export runs/demo --out parquet/demo
    """
    from matinee_platform.log_export import export_log
    from matinee_platform.offline.results import read_results

    def tell(line: str) -> None:
        if sys.stderr.isatty():
            print(line, file=sys.stderr)

    done = export_log(run, list(read_results(run)["arms"]), out, report=tell)
    if as_json:
        print(json.dumps(asdict(done)))
        return
    rows = ", ".join(f"{count:,} {kind}" for kind, count in done.rows.items())
    print(f"{done.files} files, {done.bytes / 1e6:,.1f} MB: {rows}")
