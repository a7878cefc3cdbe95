"""Logs in obp's form as files: one `.npz`, or a folder of parts, as `matinee export` writes it.

Parts are read in the order of their names, one at a time, so that memory holds one of them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from matinee_platform.ope.inputs.action_log import ActionBatch, ActionLog
from matinee_platform.ope.inputs.obp_arrays import obp_log
from matinee_platform.ope.inputs.propensities import Estimator, with_propensities
from matinee_policies.errors import ConfigError, ContextError, DataError

SUFFIX = ".npz"

_ALIKE = ("slots", "contexts", "propensities", "distinct", "has_units", "has_times")
"""What the parts of one log have in common, as attributes of `ActionLog`."""


def is_obp(path: Path) -> bool:
    """Whether a path is a `.npz` file, or a folder that holds some."""
    return bool(_files(path)) if path.is_dir() else path.suffix == SUFFIX


def obp_file_log(
    path: Path | str, *, propensities: Estimator | None = None, distinct: bool = False
) -> ActionLog:
    """Open a file, or a folder of parts; arguments and errors as `obp_log`.

    Raises:
        DataError: also if a folder holds no part, or parts are not of one log.
    """
    path = Path(path)
    if not path.is_dir():
        return obp_log(path, propensities=propensities, distinct=distinct)
    files = _files(path)
    if not files:
        raise DataError(path, rule=f"folder must hold files with a name in {SUFFIX}")
    known = propensities is None
    parts = [_part(file, known=known, distinct=distinct) for file in files]
    log = _joined(files, parts, known=known, distinct=distinct)
    return log if propensities is None else with_propensities(log, propensities)


def _files(folder: Path) -> list[Path]:
    return [child for child in sorted(folder.iterdir()) if child.suffix == SUFFIX]


def _part(file: Path, *, known: bool, distinct: bool) -> ActionLog:
    """One part without its rows, which are read again when they are needed."""
    try:
        log = obp_log(file, propensities=None if known else "uniform", distinct=distinct)
    except (ContextError, ConfigError) as error:
        raise type(error)(f"{file.name}: {error}") from None
    first, last = _ends(log)
    return replace(log, stream=lambda: iter((first, last)))


def _ends(log: ActionLog) -> tuple[ActionBatch, ActionBatch]:
    """Copies of the first and the last row."""
    batches = list(log.stream())
    ends = batches[0].rows(0, 1), batches[-1].rows(len(batches[-1]) - 1, len(batches[-1]))
    first, last = (
        ActionBatch(one.first, **{name: array.copy() for name, array in one.arrays().items()})
        for one in ends
    )
    return first, last


def _joined(
    files: Sequence[Path], parts: Sequence[ActionLog], *, known: bool, distinct: bool
) -> ActionLog:
    """The parts as one log."""
    whole = max(parts, key=lambda part: len(part.items))
    latest = -1
    for file, part in zip(files, parts, strict=True):
        for name in _ALIKE:
            one, other = getattr(part, name), getattr(parts[0], name)
            if one != other:
                rule = f"{name} must be that of {files[0].name}, {other}: parts are of one log"
                raise DataError(file, rule=rule, value=one)
        if part.items != whole.items[: len(part.items)]:
            raise DataError(file, rule="items must be those of the other parts, in one order")
        first, last = part.stream()
        if part.has_times and first.time[0] < latest:
            raise DataError(file, rule="time must not fall from part to part, by their names")
        latest = int(last.time[0])
    return replace(
        whole,
        stream=lambda: _batches(files, parts[0], known=known, distinct=distinct),
        rows=sum(part.rows for part in parts),
        positions=max(part.positions for part in parts),
        rewards=(min(p.rewards[0] for p in parts), max(p.rewards[1] for p in parts)),
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
    )


def _batches(
    files: Sequence[Path], like: ActionLog, *, known: bool, distinct: bool
) -> Iterator[ActionBatch]:
    before = 0
    for file in files:
        log = obp_log(file, propensities=None if known else "uniform", distinct=distinct)
        for batch in log.stream():
            rows = np.arange(before + batch.first, before + batch.first + len(batch))
            yield replace(
                batch,
                first=before + batch.first,
                unit=batch.unit if like.has_units else rows.astype(np.uint64),
                time=batch.time if like.has_times else rows,
            )
        before += log.rows
