"""Copy the log of a finished run to Parquet, for other tools and for keeping.

    FOLDER/decisions/ARM/part-00000.parquet    and so on, a file for each part of the log

The columns are those of the log (`log_schema`); zstd makes the files about half as long.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from matinee_platform.decision_log import KINDS, read_part
from matinee_platform.parquet_part import ParquetPart
from matinee_platform.part_writer import PART_SUFFIX
from matinee_policies.errors import ConfigError, DataError


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export wrote.

    Attributes:
        files: how many.
        rows: by kind.
        bytes: on disk.
    """

    files: int
    rows: dict[str, int]
    bytes: int


def export_log(
    run: Path, arms: Sequence[str], out: Path, *, report: Callable[[str], None]
) -> Exported:
    """Write each part of a log as a Parquet file.

    Args:
        run: folder of the run.
        arms: names of its arms.
        out: folder to write, which must be empty or not be there.
        report: told of each arm and kind that is written.

    Raises:
        ConfigError: if the folder holds anything.
        DataError: if a part cannot be read.
    """
    check_target(out)
    rows, files, size = dict.fromkeys(KINDS, 0), 0, 0
    for arm in arms:
        for kind in KINDS:
            report(f"{arm}: {kind}")
            for part in sorted((run / kind / arm).glob(f"part-*{PART_SUFFIX}")):
                target = out / kind / arm / f"{part.stem}.parquet"
                rows[kind] += _export_part(part, target)
                files, size = files + 1, size + target.stat().st_size
    if not files:
        raise DataError(run, rule=f"must hold parts of a log, part-*{PART_SUFFIX}, and holds none")
    return Exported(files, rows, size)


def check_target(out: Path) -> None:
    """Refuse a folder that holds anything."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"--out must be a folder that is empty or not there yet, got {out}")


def _export_part(part: Path, target: Path) -> int:
    """Write one part; it gets its name when it is complete. How many rows it has."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with ParquetPart(target) as written:
        for table in read_part(part):
            written.write(table)
    return written.rows
