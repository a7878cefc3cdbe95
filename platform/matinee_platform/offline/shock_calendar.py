"""When which genre comes into fashion in a simulated run: the truth that detection is held to."""

from dataclasses import dataclass

from matinee_platform.offline.prepare import Prepared, world_parameters
from matinee_platform.settings import ExperimentSettings
from matinee_simulator.shocks import Shocks


@dataclass(frozen=True, slots=True)
class GenreShock:
    """A genre is more attractive than otherwise from day `first` to day `last`, counted from 0."""

    genre: str
    first: int
    last: int


def genre_shocks(settings: ExperimentSettings, shared: Prepared) -> tuple[GenreShock, ...]:
    """The shocks that begin during a run, by day.

    Args:
        settings: of the run.
        shared: prepared for it.
    """
    parameters = world_parameters(settings)
    shocks = Shocks(shared.world, parameters, seed=settings.seed)
    days, genres = shocks.beginning(0, settings.days - 1)
    names = shared.model.catalogue.genre_names
    return tuple(
        GenreShock(names[genre], day, day + parameters.shock_days - 1)
        for day, genre in zip(days.tolist(), genres.tolist(), strict=True)
    )
