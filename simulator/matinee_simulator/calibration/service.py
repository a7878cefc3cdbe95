"""The model under calibration: users of one world per seed, served by matrix factorization.

The ranking stands for a sensible service: the platform's own matrix factorization, folded in from
what each user did. Everyone arrives on day 0, so that days count from arrival.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple, Self

from matinee_policies.catalogue import Catalogue
from matinee_policies.config import check_seed, check_whole
from matinee_policies.errors import ConfigError
from matinee_policies.interactions import Interactions
from matinee_simulator.calibration.moments import combined, played_moments
from matinee_simulator.parameters import Parameters
from matinee_simulator.rollout import Audience, Estimate, Played, Sight, play, relevance_order
from matinee_simulator.world import World


class Room(NamedTuple):
    """Everything of one seed that does not depend on the parameters that are fitted.

    Attributes:
        seed: of the world, of what the platform knows, and of the users' luck.
        world: the truth.
        sight: what the platform knows.
        audience: the users as the platform first sees them.
    """

    seed: int
    world: World
    sight: Sight
    audience: Audience


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Service:
    """Simulated users of several seeds.

    Attributes:
        rooms: one per seed.
        users: of each seed.
        slots: of a page.
        candidates: among which a page is chosen.
        workers: threads; results do not depend on them.
    """

    rooms: tuple[Room, ...]
    users: int
    slots: int = 10
    candidates: int = 100
    workers: int = 1

    @classmethod
    def build(
        cls,
        catalogue: Catalogue,
        interactions: Interactions,
        *,
        seeds: Sequence[int],
        users: int,
        parameters: Parameters,
        workers: int = 1,
        report: Callable[[str], None] = lambda line: None,
    ) -> Self:
        """Fit the worlds.

        Args:
            catalogue: items, aligned with the columns of `interactions`.
            interactions: ratings of real users.
            seeds: distinct, one world each.
            users: of each seed, at least 1.
            parameters: of histories; those that are fitted do not matter here.
            workers: threads.
            report: told what is being fitted.

        Raises:
            MatineeError: the data are too few, or a number is out of its range.
        """
        check_whole("users", users, low=1)
        for seed in seeds:
            check_seed("seed", seed)
        if not seeds or len(set(seeds)) != len(seeds):
            raise ConfigError(f"seeds must be distinct, at least one, got {list(seeds)}")
        rooms = []
        for seed in seeds:
            report(f"Fitting world {seed}")
            world = World.from_interactions(catalogue, interactions, seed=seed)
            sight = Sight.of_data(world, interactions, seed=seed)
            audience = sight.meet(world, users=users, seed=seed, parameters=parameters)
            rooms.append(Room(seed, world, sight, audience))
        if min(room.world.n_items for room in rooms) < cls.candidates:
            raise ConfigError(
                f"calibration needs {cls.candidates} items with enough ratings, "
                f"got {rooms[0].world.n_items}"
            )
        return cls(rooms=tuple(rooms), users=users, workers=workers)

    @property
    def seeds(self) -> tuple[int, ...]:
        """One per world."""
        return tuple(room.seed for room in self.rooms)

    def __call__(
        self, parameters: Parameters, names: Sequence[str], days: int
    ) -> dict[str, Estimate]:
        """Moments, each the mean over the seeds.

        Args:
            parameters: of the users; `arrival_days` does not count.
            names: of moments.
            days: to simulate.
        """
        found = [played_moments(self.play(room, parameters, days), names) for room in self.rooms]
        return {name: combined([moments[name] for moments in found]) for name in names}

    def play(self, room: Room, parameters: Parameters, days: int) -> Played:
        """The users of one seed from their first day on."""
        return play(
            room.world,
            room.sight,
            relevance_order(),
            users=self.users,
            days=days,
            seed=room.seed,
            parameters=dataclasses.replace(parameters, arrival_days=1),
            slots=self.slots,
            candidates=self.candidates,
            audience=room.audience,
            workers=self.workers,
        )
