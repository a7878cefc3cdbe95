"""`matinee export`: the log of a finished run as Parquet, dsjson or arrays of obp."""

import json
import sys
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class LogFormat(StrEnum):
    """What a log can be exported as."""

    PARQUET = "parquet"
    DSJSON_CB = "dsjson-cb"
    DSJSON_CCB = "dsjson-ccb"
    OBP = "obp"


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
    out: Annotated[
        Path, typer.Option("--out", metavar="FOLDER", help="Folder to write; empty, or new.")
    ],
    log_format: Annotated[
        LogFormat,
        typer.Option(
            "--format",
            help="Parquet, dsjson per slot or page, or arrays for obp.",
        ),
    ] = LogFormat.PARQUET,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Copy the log of a finished run: to Parquet for DuckDB, Spark or a warehouse, dsjson or obp.

    Example: matinee export runs/demo --out parquet/demo
    """
    from matinee_platform.log_export import export_log
    from matinee_platform.offline.results import read_results

    def tell(line: str) -> None:
        if sys.stderr.isatty():
            print(line, file=sys.stderr)

    arms = list(read_results(run)["arms"])
    if log_format is LogFormat.PARQUET:
        done = export_log(run, arms, out, report=tell)
    elif log_format is LogFormat.OBP:
        from matinee_platform.obp_run_export import export_obp

        done = export_obp(run, arms, out, report=tell)
    else:
        from matinee_platform.dsjson_export import export_dsjson

        done = export_dsjson(run, arms, out, form=log_format.value, report=tell)
    if as_json:
        print(json.dumps(asdict(done)))
        return
    rows = ", ".join(f"{count:,} {kind}" for kind, count in done.rows.items())
    print(f"{done.files} files, {done.bytes / 1e6:,.1f} MB: {rows}")
