"""Whether a run fits on the disk, told before it starts.

State and past ratings follow from the settings. How long the log becomes follows from how often
users come, which only the run will show: it is reckoned from the default world, where users come on
about 1 + 0.6 (days^(2/3) - 1) days, for 1.8 pages each, of 1,200 bytes on disk.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from matinee_platform.offline.prepare import Prepared, world_parameters
from matinee_platform.settings import ExperimentSettings
from matinee_platform.unit_state import UnitStates
from matinee_policies.arrays import AnyArray
from matinee_policies.errors import ConfigError
from matinee_policies.features import FEATURE_NAMES
from matinee_simulator.simulation import Simulation

_PAGES_PER_SESSION = 1.8
_LOG_BYTES_PER_PAGE = 1_200
_RATING_BYTES = 20
_BUSY_SHARE = 0.4
"""Share of the users who come between two checkpoints, at most two busy days: their rows are
written down before."""

_ENOUGH_ANYWAY = 2**30


@dataclass(frozen=True, slots=True)
class DiskNeed:
    """What a run needs on disk, in bytes.

    Attributes:
        past: past ratings of all users.
        state: of the users of all arms, with a day's way back; it goes when the run is complete.
        pages: that wait for their rewards; they go as well.
        log: decisions and rewards.
    """

    past: float
    state: float
    pages: float
    log: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.past + self.state + self.pages + self.log


class _Measure:
    """A storage of no users that adds up what one would take."""

    fresh = True

    def __init__(self) -> None:
        self.row_bytes = 0

    def full(self, name: str, shape: tuple[int, ...], fill: Any, dtype: npt.DTypeLike) -> AnyArray:
        """See `RowStorage.full`."""
        one = np.empty((1, *shape[1:]), dtype=dtype)
        self.row_bytes += one.nbytes
        return np.full((0, *shape[1:]), fill, dtype=dtype)

    def release(self) -> None:
        """See `RowStorage.release`."""


def disk_need(settings: ExperimentSettings, shared: Prepared) -> DiskNeed:
    """What a run will need."""
    parameters = world_parameters(settings)
    paired = settings.design == "paired"
    state = sum(
        (settings.users if paired else settings.users * arm.weight)
        * _bytes_per_user(settings, shared, source=arm.candidates)
        for arm in settings.arms
    )
    served = settings.users * (len(settings.arms) if paired else 1)
    sessions = 1.0 + 0.6 * (settings.days ** (2 / 3) - 1.0)
    pages = served * _PAGES_PER_SESSION * sessions
    window = min(settings.days, max([1, *settings.reward.later_windows().values()]))
    waiting = pages * min(1.0, 1.5 * window / settings.days)
    return DiskNeed(
        past=settings.users * parameters.history_mean * _RATING_BYTES,
        state=state * (1.0 + _BUSY_SHARE),
        pages=waiting * settings.slots * (4 * len(FEATURE_NAMES) + 21),
        log=pages * _LOG_BYTES_PER_PAGE,
    )


def check_disk(settings: ExperimentSettings, shared: Prepared, run: Path) -> None:
    """Refuse a run for which the disk has too little room.

    Args:
        settings: of the experiment.
        shared: what its arms share.
        run: folder of the run, whose older content will go; the folder above it exists.

    Raises:
        ConfigError: with what is needed and what is there.
    """
    need = disk_need(settings, shared)
    older = sum(path.stat().st_size for path in run.rglob("*") if path.is_file())
    free = shutil.disk_usage(run.parent).free + older
    if need.total > free and need.total > _ENOUGH_ANYWAY:
        raise ConfigError(
            f"{run}: needs about {_gb(need.total)} on disk (log {_gb(need.log)}, state of users "
            f"{_gb(need.state)}, waiting pages {_gb(need.pages)}, past ratings {_gb(need.past)}), "
            f"but {_gb(free)} are free; take fewer users or days, or another disk"
        )


def _bytes_per_user(settings: ExperimentSettings, shared: Prepared, *, source: str) -> int:
    measure = _Measure()
    model = shared.model
    UnitStates(
        0, items=model.items, model=model.sources[source], rest=settings.rest, storage=measure
    )
    Simulation(
        shared.world,
        np.empty(0, dtype=np.int64),
        seed=settings.seed,
        parameters=world_parameters(settings),
        storage=measure,
    )
    return measure.row_bytes


def _gb(size: float) -> str:
    return f"{size / 2**30:.1f} GB"
