"""What the checks look at: the data, the world built from them, and rollouts, each made once."""

from dataclasses import dataclass
from functools import cached_property

from matinee_platform.data_settings import DataSettings
from matinee_platform.data_source import open_data
from matinee_platform.validation.size import Size
from matinee_policies.datasets.dataset import Dataset
from matinee_simulator.parameters import Parameters
from matinee_simulator.rollout import Audience, Played, Ranker, Sight, play, relevance_order
from matinee_simulator.stylised_facts import RatingSample, Visits, simulated_sample
from matinee_simulator.world import World

SLOTS, CANDIDATES = 10, 100

_PUBLISHED = ("movielens-latest-small", "synthetic")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is validated.

    Attributes:
        data: settings of the data; None for those of the environment, else drawn ones.
        parameters: of the simulated users.
        seed: of the world and of the first population.
        size: of the experiments.
    """

    data: DataSettings | None
    parameters: Parameters
    seed: int
    size: Size


class Evidence:
    """Data, world and rollouts of one request; nothing is made before it is asked for.

    Args:
        request: what is validated.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self.size = request.size
        self.parameters = request.parameters
        self._audiences: dict[tuple[int, int], Audience] = {}
        self._played: dict[tuple[Ranker, int, Parameters, int], Played] = {}

    @cached_property
    def dataset(self) -> Dataset:
        """The data."""
        return open_data(self.request.data)

    @cached_property
    def world(self) -> World:
        """The truth, fitted on them."""
        data = self.dataset
        return World.from_interactions(data.catalogue, data.interactions, seed=self.request.seed)

    @cached_property
    def sight(self) -> Sight:
        """What a platform knows of the items."""
        return Sight.of_data(self.world, self.dataset.interactions, seed=self.request.seed)

    @property
    def published(self) -> bool:
        """Whether the published figures of MovieLens latest-small are of these data.

        Drawn data are made after it.
        """
        return self.dataset.name in _PUBLISHED

    @property
    def seeds(self) -> range:
        """Seeds of the independent populations."""
        return range(self.request.seed, self.request.seed + self.size.seeds)

    @cached_property
    def real_ratings(self) -> RatingSample:
        """The ratings of the world's items."""
        kept = self.dataset.interactions.subset_items(self.world.item_rows)
        return RatingSample.of_interactions(kept)

    @cached_property
    def histories(self) -> list[RatingSample]:
        """Past ratings of simulated users, as many as are real."""
        return self._samples(self.world, self.real_ratings.size)

    @cached_property
    def whole_histories(self) -> list[RatingSample]:
        """The same in a world of all items."""
        data = self.dataset
        world = World.from_interactions(
            data.catalogue, data.interactions, seed=self.request.seed, min_ratings=1
        )
        return self._samples(world, int(data.interactions.matrix.nnz))

    def played(
        self,
        ranker: Ranker,
        seed: int,
        *,
        parameters: Parameters | None = None,
        candidates: int = CANDIDATES,
    ) -> Played:
        """Lives of the population of one seed under a ranker."""
        chosen = parameters or self.parameters
        key = (ranker, seed, chosen, candidates)
        if key not in self._played:
            self._played[key] = self.play(ranker, seed, parameters=chosen, candidates=candidates)
        return self._played[key]

    def play(
        self,
        ranker: Ranker,
        seed: int,
        *,
        parameters: Parameters | None = None,
        users: int | None = None,
        days: int | None = None,
        candidates: int = CANDIDATES,
    ) -> Played:
        """The same, not kept; sizes as given."""
        chosen = parameters or self.parameters
        n = users or self.size.users
        # Past ratings do not depend on what only happens in the run, so an audience could be kept
        # over more; over rankers is where it counts.
        key = (seed, n)
        keeps = chosen == self.parameters and users is None
        audience = self._audiences.get(key) if keeps else None
        if audience is None:
            audience = self.sight.meet(self.world, users=n, seed=seed, parameters=chosen)
            if keeps:
                self._audiences[key] = audience
        return play(
            self.world,
            self.sight,
            ranker,
            users=n,
            days=days or self.size.days,
            seed=seed,
            parameters=chosen,
            slots=SLOTS,
            candidates=candidates,
            audience=audience,
        )

    @cached_property
    def visits(self) -> list[Visits]:
        """Visits of the populations under the order of matrix factorization."""
        return [self._visits(self.played(relevance_order(), seed)) for seed in self.seeds]

    def _visits(self, played: Played) -> Visits:
        return Visits(
            visits=played.visits,
            arrival=played.arrival,
            user=played.sessions.user,
            pages=played.sessions.pages,
            clicks=played.sessions.clicks,
            most_pages=self.parameters.max_pages,
        )

    def _samples(self, world: World, ratings: int) -> list[RatingSample]:
        first = self.request.seed
        return [
            simulated_sample(world, self.parameters, seed=seed, ratings=ratings)
            for seed in range(first, first + self.size.histories)
        ]
