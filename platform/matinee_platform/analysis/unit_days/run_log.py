"""Read `UnitDays` from the log of a run: its Arrow parts, or the Parquet files of its export.

Parts are folded one by one, in the order of days, while the next ones are read. Rewards join the
decisions of their own part; the few whose decision is in another one are joined at the end
(`stray_rewards`). What is in memory: one part's columns, the units, one row for each unit and day,
and the decision ids (`distinct_ids`).
"""

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa

from matinee_platform.analysis.unit_days.bad_log import BadLog
from matinee_platform.analysis.unit_days.declared import DeclaredArms, check_units, undeclared
from matinee_platform.analysis.unit_days.distinct_ids import DistinctIds
from matinee_platform.analysis.unit_days.first_states import FirstStates
from matinee_platform.analysis.unit_days.fold_kernels import DecisionColumns, RewardColumns
from matinee_platform.analysis.unit_days.gathered import Gathered, unit_days
from matinee_platform.analysis.unit_days.log_parts import (
    Part,
    count_decisions,
    list_parts,
    read_decisions,
    read_ids,
    read_rewards,
    read_states,
)
from matinee_platform.analysis.unit_days.part_fold import Fresh, PartFold
from matinee_platform.analysis.unit_days.records import UnitDays
from matinee_platform.analysis.unit_days.stray_rewards import join_strays
from matinee_platform.run_settings import run_settings
from matinee_policies.catalogue import Catalogue
from matinee_policies.errors import DataError

CLOCK_TOLERANCE_MS = 600_000
"""How far the time of a unit's decisions may go back in the order of the log: ten minutes, which a
spool of a database that was away may take."""

_AHEAD = 2


def read_run_unit_days(run: Path, *, log: Path | None = None, states: bool = True) -> UnitDays:
    """Sums by unit and day of all arms of a run.

    Args:
        run: its folder; `settings.json` there declares arms, their shares and the days.
        log: folder of its log, if that is not the run: where it was exported as Parquet.
        states: whether to read the state at each unit's first decision, for covariates and
            segments (`first_states`).

    Raises:
        DataError: if there is no log, or it breaks a rule of its format, with counts and examples.
    """
    settings = run_settings(run)
    if settings.design == "paired":
        raise DataError(
            run / "settings.json",
            rule="design must be ab: the users of a paired run are in every arm, which no "
            "analysis of an A/B test can tell apart",
            value=settings.design,
        )
    catalogue = run / "model" / "catalogue.npz"
    names = Catalogue.load(catalogue).genre_names if states and catalogue.is_file() else ()
    return read_folder_unit_days(
        run if log is None else log,
        arms=DeclaredArms(
            tuple(arm.name for arm in settings.arms), tuple(arm.weight for arm in settings.arms)
        ),
        days=settings.days,
        states=states,
        genre_names=names,
    )


def read_folder_unit_days(
    folder: Path,
    *,
    arms: DeclaredArms,
    days: int,
    states: bool = True,
    genre_names: Sequence[str] = (),
    tolerance_ms: int = CLOCK_TOLERANCE_MS,
) -> UnitDays:
    """As `read_run_unit_days`, of a folder without settings.

    Args:
        folder: of the log.
        arms: as declared.
        days: of the experiment; a logged day must lie below.
        states: whether to read first states.
        genre_names: labels of the taste groups; numbered if not given.
        tolerance_ms: how far the time of a unit's decisions may go back.
    """
    parts = list_parts(folder)
    found = BadLog()
    with ThreadPoolExecutor(_AHEAD) as readers:
        sizes = list(readers.map(count_decisions, parts))
    seen: Counter[str] = Counter()
    for part, size in zip(parts, sizes, strict=True):
        seen[part.arm] += size
    undeclared(found, arms.names, dict(seen), what="decisions")
    found.refuse(folder)
    fold = PartFold(arms.names, days=days, tolerance_ms=tolerance_ms, found=found)
    ids = DistinctIds(sum(sizes))
    first = FirstStates(genre_names)
    waiting: deque[Future[None]] = deque()
    with ThreadPoolExecutor(_AHEAD) as readers:
        for part, decisions, rewards, slots in _ahead(readers, parts):
            ids.add(decisions.decision_id)
            fresh = fold.part(part.arm, decisions, rewards, slots=slots)
            if states and fresh.rows.size and part.decisions is not None:
                waiting.append(readers.submit(_add_states, first, part.decisions, fresh))
            while waiting and (len(waiting) > _AHEAD or waiting[0].done()):
                waiting.popleft().result()
        for one in waiting:
            one.result()
    # What the columns of the parts were in would stay with Arrow, and is wanted below.
    pa.default_memory_pool().release_unused()
    ids.check(found, lambda: (read_ids(one.decisions) for one in parts if one.decisions))
    orphans = join_strays(fold, parts)
    units = fold.units()
    fold.forget_units()
    check_units(
        found, arms, unit=units.unit, arm=units.arm, bucket=units.bucket, several=units.several
    )
    found.refuse(folder)
    rows = fold.take_rows()
    rows["row_day"] = [
        (day - units.first_day[unit]).astype(np.int16)
        for unit, day in zip(rows["row_unit"], rows["row_calendar_day"], strict=True)
    ]
    return unit_days(
        Gathered(
            arms=arms.names,
            unit=units.unit,
            arm=units.arm,
            several=units.several,
            exposed_at=units.first_at,
            exposed_on=units.first_day,
            observed=days - units.first_day,
            states=first,
            rows=rows,
            days=days,
            orphan_rewards=orphans,
        )
    )


def _ahead(
    readers: ThreadPoolExecutor, parts: Sequence[Part]
) -> Iterator[tuple[Part, DecisionColumns, RewardColumns, int]]:
    """Columns of the parts in their order; the next ones are read meanwhile."""
    waiting: deque[tuple[Part, Future[tuple[DecisionColumns, int, RewardColumns]]]] = deque()
    left = iter(parts)
    while True:
        for part in islice(left, _AHEAD - len(waiting)):
            waiting.append((part, readers.submit(_read, part)))
        if not waiting:
            return
        part, read = waiting.popleft()
        decisions, slots, rewards = read.result()
        del read
        yield part, decisions, rewards, slots


def _add_states(first: FirstStates, path: Path, fresh: Fresh) -> None:
    first.add(fresh.units, read_states(path, fresh.rows))


def _read(part: Part) -> tuple[DecisionColumns, int, RewardColumns]:
    decisions, slots = read_decisions(part.decisions)
    return decisions, slots, read_rewards(part.rewards)
