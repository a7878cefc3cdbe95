"""Keep what was folded of an experiment beside the log, with the place up to which it was.

A file that is missing, damaged, or of another start, end, log or catalogue is no error: the log is
folded from its beginning again.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from matinee_platform.analysis.unit_days.event_database import Ask
from matinee_platform.kpis.experiment_fold import (
    ExperimentFold,
    ItemCounts,
    last_place,
    newest_decision,
)
from matinee_platform.kpis.unit_sums import UnitSums
from matinee_policies.array_file import read_arrays, write_arrays
from matinee_policies.arrays import AnyArray
from matinee_policies.errors import DataError

FOLDER = "kpis"
"""Folder of the files, within the data folder of a service."""

_KIND = "key figures"
_FORMAT = 3


def fold_path(data_dir: Path, key: str) -> Path:
    """File of an experiment, by its key."""
    return data_dir / FOLDER / f"{key}.npz"


def drop_folds(data_dir: Path, *, but: Collection[str]) -> None:
    """Remove every file, drafts too, but those of some experiments: they name units one by one.

    Args:
        data_dir: of a service.
        but: keys of the experiments whose files stay.

    Raises:
        OSError: one cannot be removed.
    """
    folder = data_dir / FOLDER
    if not folder.is_dir():
        return
    kept = {fold_path(data_dir, key) for key in but}
    for path in folder.iterdir():
        if path not in kept:
            path.unlink(missing_ok=True)


def save_fold(path: Path, fold: ExperimentFold, *, newest: int) -> None:
    """Write the file; it appears whole, and need not survive the machine.

    Args:
        path: of the file; its folder exists.
        fold: what was folded.
        newest: as `newest_decision` gives it for the fold's place.
    """
    arrays: dict[str, AnyArray] = {
        f"units.{name}": values for name, values in fold.units.arrays().items()
    }
    arrays |= {f"items.{arm}": counts for arm, counts in fold.items.of_arm.items()}
    header = {
        **_facts(fold),
        "seq": fold.seq,
        "newest": newest,
        "forgotten": fold.forgotten,
        "counts_items": fold.recount is not None,
    }
    write_arrays(path, kind=_KIND, arrays=arrays, header=header)


def restore_fold(path: Path, fold: ExperimentFold, ask: Ask) -> bool:
    """Take up what was kept, if it is of this log and experiment.

    Args:
        path: of the file.
        fold: new; changed in place.
        ask: of the log. One that is shorter than what was folded, or has another decision where the
            newest one was, is another log.

    Returns:
        Whether it was taken up.
    """
    try:
        arrays, header = read_arrays(path, kind=_KIND, names=None)
        told: dict[str, Any] = dict(header)
        seq, forgotten = int(told.pop("seq")), int(told.pop("forgotten"))
        counts_items = bool(told.pop("counts_items"))
        newest = told.pop("newest")
        if told != _facts(fold) or seq > last_place(ask):
            return False
        if newest != newest_decision(ask, upto=seq):
            return False
        columns = {name: arrays[f"units.{name}"] for name in fold.units.arrays()}
        items = {arm: arrays[f"items.{arm}"] for arm in fold.items.of_arm}
        units = UnitSums(fold.since_ms, columns)
    except (DataError, KeyError, TypeError, ValueError):
        return False
    fold.seq, fold.forgotten, fold.units = seq, forgotten, units
    fold.items = ItemCounts(seq, items)
    fold.recount = ItemCounts.none(fold.catalogues) if counts_items else None
    return True


def _facts(fold: ExperimentFold) -> dict[str, Any]:
    """What the sums of a file are of."""
    return {
        "format": _FORMAT,
        "key": fold.experiment.key,
        "salt": fold.experiment.salt,
        "arms": list(fold.arms),
        "window": fold.experiment.windows_ms()[0],
        "since": fold.since_ms,
        "started": fold.since_seq,
        "until": fold.until_ms,
        "catalogues": {arm: f"{one.version:016x}" for arm, one in sorted(fold.catalogues.items())},
    }
