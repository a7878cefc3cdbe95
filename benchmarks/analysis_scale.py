"""The analysis of a large Parquet log: a million users, 28 days, two arms.

The whole of `matinee analyze` (reading with states, assembly, verdict) in a process of its own, and
its reading alone, `read_folder_unit_days` without states, against the same sums by a plain query of
DuckDB (without looking for anything wrong), and against reading the bytes of what counts.
The log is made up (`made_up_log.py`) and written as an export is.
Times are wall-clock times on two cores and depend on what else runs; so CPU seconds stand beside
them, and their half is what two cores of one's own take at least.

    python benchmarks/analysis_scale.py [--quick] [--json] [--folder DIR]
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import Bars, LimitFigure, PeerFigure, Row, print_rows
from made_up_log import ARMS, write_log

DAYS = 28
CORES = 2
_COLUMNS = {
    "decisions": ("decision_id", "unit", "bucket", "decided_at", "served_by"),
    "rewards": ("decision_id", "component", "slot", "value"),
}


@dataclass(frozen=True, slots=True)
class Taken:
    """What a way of reading took, and sums that all ways must agree on."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    sums: list[int]

    @property
    def note(self) -> str:
        """Seconds and memory in words."""
        return f"{self.seconds:.1f} s wall, {self.cpu_seconds:.1f} s of CPU, {self.peak_mb:,.0f} MB"


def ours(log: Path) -> list[int]:
    """Rows, pages and clicks of the reader's table."""
    from matinee_platform.analysis.unit_days.declared import DeclaredArms
    from matinee_platform.analysis.unit_days.run_log import read_folder_unit_days

    table = read_folder_unit_days(log, arms=DeclaredArms(ARMS, (0.5, 0.5)), days=DAYS, states=False)
    return [table.row_unit.size, int(table.pages.sum()), int(table.clicks.sum())]


def analysis(log: Path) -> list[int]:
    """The same and every figure of an analysis with its default metrics."""
    from matinee_platform.analysis.experiment.analysis import analyse_experiment
    from matinee_platform.analysis.experiment.plan import Plan
    from matinee_platform.analysis.unit_days.declared import DeclaredArms
    from matinee_platform.analysis.unit_days.run_log import read_folder_unit_days
    from matinee_platform.analysis_settings import AnalysisSettings

    table = read_folder_unit_days(log, arms=DeclaredArms(ARMS, (0.5, 0.5)), days=DAYS)
    plan = Plan(
        experiment="scale",
        control=ARMS[0],
        weights=dict.fromkeys(ARMS, 0.5),
        settings=AnalysisSettings(),
        running=False,
        horizon_days=DAYS,
    )
    arms = analyse_experiment(table, plan)["arms"].values()
    return [
        table.row_unit.size,
        sum(arm["pages"] for arm in arms),
        sum(arm["clicks"] for arm in arms),
    ]


def duckdb(log: Path) -> list[int]:
    """The same by one query."""
    import duckdb as library

    with library.connect() as connection:
        connection.execute(f"SET threads = {CORES}")
        row = connection.execute(
            """
            SELECT count(*), sum(pages), sum(clicks) FROM (
                SELECT unit, day, count(*) AS pages, sum(impressions) AS impressions,
                    coalesce(sum(clicks), 0) AS clicks, sum(engagement) AS engagement
                FROM (
                    SELECT decision_id, unit, day,
                        len(list_filter(slate, lambda item: item >= 0)) AS impressions
                    FROM read_parquet($decisions)
                ) LEFT JOIN (
                    SELECT decision_id, count(*) FILTER (component = 'click') AS clicks,
                        sum(value) FILTER (component = 'watch') AS engagement
                    FROM read_parquet($rewards) WHERE component IN ('click', 'watch')
                    GROUP BY decision_id
                ) USING (decision_id) GROUP BY unit, day
            )
            """,
            {kind: str(log / kind / "*" / "*.parquet") for kind in _COLUMNS},
        ).fetchone()
    return [] if row is None else [int(value) for value in row]


def bare_reading(log: Path) -> list[int]:
    """Read the bytes of the columns that count, and do nothing with them."""
    import pyarrow.parquet as pq

    total = 0
    for kind, names in _COLUMNS.items():
        for path in sorted((log / kind).rglob("*.parquet")):
            metadata = pq.read_metadata(path)
            with path.open("rb") as file:
                for group in range(metadata.num_row_groups):
                    columns = metadata.row_group(group)
                    for place in range(columns.num_columns):
                        column = columns.column(place)
                        if column.path_in_schema in names:
                            start = column.dictionary_page_offset or column.data_page_offset
                            file.seek(start)
                            total += len(file.read(column.total_compressed_size))
    return [total]


WAYS: dict[str, Callable[[Path], list[int]]] = {
    "ours": ours,
    "analysis": analysis,
    "duckdb": duckdb,
    "bare_reading": bare_reading,
}


def measure(way: str, log: Path) -> Taken:
    """Read a log in a process of its own."""
    command = [sys.executable, str(Path(__file__).resolve()), "--read", way, "--folder", str(log)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return Taken(**json.loads(done.stdout))


def read_here(way: str, log: Path) -> dict[str, Any]:
    """Read a log, and what it took; compiled kernels and imports are there before."""
    if way in ("ours", "analysis"):
        with tempfile.TemporaryDirectory() as folder:
            write_log(Path(folder), users=200, days=2)
            WAYS[way](Path(folder))
    start, before = time.perf_counter(), os.times()
    sums = WAYS[way](log)
    after = os.times()
    return {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": after.user + after.system - before.user - before.system,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1_024 / 1e6,
        "sums": sums,
    }


def rows(log: Path, *, users: int, written: dict[str, int]) -> list[Row]:
    """Measure all ways by turns."""
    taken = {way: measure(way, log) for way in WAYS}
    if not taken["ours"].sums == taken["analysis"].sums == taken["duckdb"].sums:
        raise SystemExit(f"sums must be equal, got {taken}")
    size = f"{users:,} users, {DAYS} days, {written['decisions'] / 1e6:.1f} M decisions"
    notes = "; ".join(f"{way.replace('_', ' ')}: {one.note}" for way, one in taken.items())
    import duckdb as library

    peer = library.__version__
    limit = LimitFigure("read the columns", taken["bare_reading"].seconds)
    return [
        Row(
            name="the whole analysis of a Parquet log",
            size=size,
            unit="s",
            ours=taken["analysis"].seconds,
            peer=PeerFigure("duckdb, sums alone", peer, taken["duckdb"].seconds),
            limit=limit,
            bars=Bars(at_most=10.0),
            note=notes,
        ),
        Row(
            name="CPU of it, shared out over two cores",
            size=size,
            unit="s",
            ours=taken["analysis"].cpu_seconds / CORES,
            peer=PeerFigure("duckdb, sums alone", peer, taken["duckdb"].cpu_seconds / CORES),
            bars=Bars(at_most=10.0),
        ),
        Row(
            name="memory at the peak of it",
            size=size,
            unit="MB",
            ours=taken["analysis"].peak_mb,
            peer=PeerFigure("duckdb, sums alone", peer, taken["duckdb"].peak_mb),
            bars=Bars(at_most=1_000.0),
        ),
        Row(
            name="its reading alone, sums by unit and day",
            size=size,
            unit="s",
            ours=taken["ours"].seconds,
            peer=PeerFigure("duckdb", peer, taken["duckdb"].seconds),
            limit=limit,
            bars=Bars(at_most=10.0),
        ),
    ]


def main() -> None:
    """Make the log up, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true", help="100,000 users")
    parser.add_argument("--tiny", action="store_true", help="2,000 users; figures mean nothing")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--folder", type=Path, help="where to write the log (3 GB)")
    parser.add_argument("--read", choices=WAYS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.read:
        print(json.dumps(read_here(arguments.read, arguments.folder)))
        return
    users = 2_000 if arguments.tiny else 100_000 if arguments.quick else 1_000_000
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        written = write_log(Path(folder), users=users, days=DAYS)
        print_rows(rows(Path(folder), users=users, written=written), as_json=arguments.json)


if __name__ == "__main__":
    main()
