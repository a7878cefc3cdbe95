"""Users, a service's memory of them and the task, put together for `n` users at once.

The environments are thin holders of a stage: `SlateEnv` of one place, `SlateVectorEnv` of many.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import numpy as np
from gymnasium import spaces

from matinee_policies.arrays import (
    AnyArray,
    BoolArray,
    Float32Array,
    FloatArray,
    IndexArray,
    Int64Array,
)
from matinee_policies.config import check_whole
from matinee_policies.errors import ConfigError, ContextError
from matinee_policies.features import FEATURES, compute_features
from matinee_policies.records import PAD
from matinee_simulator.gym_env.memory import Memory, PageCandidates
from matinee_simulator.gym_env.scene import Scene
from matinee_simulator.gym_env.task import SlateTask
from matinee_simulator.gym_env.visitors import Lived, Visitors
from matinee_simulator.history import RUN_START, SECONDS_PER_DAY, initial_interactions
from matinee_simulator.parameters import Parameters
from matinee_simulator.population import Population

SESSION = (
    "pages of the session so far / the most a session can have",
    "c / (c + 5) of c clicks in the session so far",
    "clicks on the last page / slots",
    "mean watched fraction of the clicks on the last page, 0 without any",
    "share of the days of the episode that are left",
    "1 if the user waits for a page, 0 if not",
)
"""Meaning of the columns of the observation `session`, each in [0, 1]."""

MOST_USERS = 2**62
"""User numbers are drawn below it."""

_CLICKS_HALF = 5.0


class Step(NamedTuple):
    """What a step brought to `b` users.

    Attributes:
        rewards: `float64 [b]`.
        terminated: the user never comes back, `bool [b]`.
        truncated: the days of the episode are over, `bool [b]`.
        info: further observable facts, one row per user.
    """

    rewards: FloatArray
    terminated: BoolArray
    truncated: BoolArray
    info: dict[str, AnyArray]


class Stage:
    """`n` places for users of a scene.

    Args:
        scene: the truth, and the service's view.
        n: number of places.
        task: sizes and reward.
        parameters: of the users.
        seed: of who the users are and of their luck; a user number means the same person in every
            stage with this seed.

    Raises:
        ConfigError: the task does not fit the scene, `n` or `seed` is out of range, or the
            catalogue moves.
    """

    def __init__(
        self, scene: Scene, n: int, *, task: SlateTask, parameters: Parameters, seed: int
    ) -> None:
        check_whole("num_envs", n, low=1)
        check_whole("seed", seed, low=0)
        if task.candidates > scene.world.n_items:
            raise ConfigError(
                f"candidates must be at most the {scene.world.n_items} items of the world, "
                f"got {task.candidates}"
            )
        if parameters.catalogue_moves:
            raise ConfigError(
                "arriving_share and item_life_days must be 0 in an environment, whose candidates "
                f"are all items, got {parameters.arriving_share!r} and {parameters.item_life_days}"
            )
        if task.slots * parameters.max_pages > 4_096:
            raise ConfigError(
                f"max_pages * slots must be <= 4096, got {task.slots * parameters.max_pages}"
            )
        self.n = n
        self._scene = scene
        self._task = task
        self._parameters = parameters
        self._seed = seed
        depth = task.candidates + task.slots * (parameters.max_pages - 1)
        self._memory = Memory(scene, n, depth=min(depth, scene.world.n_items))
        self.users: Int64Array = np.arange(n, dtype=np.int64)
        self._visitors = Visitors(
            scene.world,
            self._population(self.users),
            seed=seed,
            days=task.days,
            most_days=task.days if task.skip_days_away else 1,
        )
        self._session = np.zeros((n, 4), dtype=np.float32)
        self._session_clicks: Int64Array = np.zeros(n, dtype=np.int64)
        self._page = self._no_candidates()

    @property
    def observation_space(self) -> spaces.Space[dict[str, AnyArray]]:
        """Of one user."""
        K, n_genres = self._task.candidates, self._scene.items.genres.shape[1]
        # Padding is zero in every column.
        low = np.array([min(feature.low, 0.0) for feature in FEATURES], dtype=np.float32)
        high = np.array([feature.high for feature in FEATURES], dtype=np.float32)
        space = spaces.Dict(
            {
                "candidates": spaces.Box(np.tile(low, (K, 1)), np.tile(high, (K, 1))),
                "genres": spaces.Box(0.0, 1.0, (K, n_genres)),
                "interests": spaces.Box(0.0, 1.0, (n_genres,)),
                "mask": spaces.MultiBinary(K),
                "session": spaces.Box(0.0, 1.0, (len(SESSION),)),
            }
        )
        return cast("spaces.Space[dict[str, AnyArray]]", space)

    @property
    def action_space(self) -> spaces.Space[AnyArray]:
        """Of one user: a score for each candidate."""
        return spaces.Box(-1.0, 1.0, (self._task.candidates,))

    def enter(self, places: IndexArray, users: Int64Array) -> None:
        """Let new users make their first visit.

        Args:
            places: distinct places, `int32 [b]`.
            users: numbers of the users who take them, `int64 [b]`.
        """
        population = self._population(users)
        self.users[places] = users
        self._visitors.replace(places, population)
        self._memory.forget(places)
        rows, items, ratings, times = initial_interactions(
            self._scene.world, population, seed=self._seed
        )
        ages = np.maximum(0.0, (RUN_START - times) / SECONDS_PER_DAY)
        self._memory.load_history(places[rows], items, ratings, ages)
        self._open_sessions(places)

    def step(self, places: IndexArray, scores: AnyArray) -> Step:
        """Show the best-scored candidates to those who visit, and let time pass.

        Args:
            places: distinct places whose episode goes on, `int32 [b]`.
            scores: of the candidates last observed, `[b, K]`.

        Raises:
            ContextError: scores have another shape, or hold NaN.
        """
        slates, ranked = self._slates(places, scores)
        visited = self._visitors.clocks.visiting[places]
        day = self._visitors.clocks.day[places]
        lived = self._visitors.live(places, slates)
        watch = np.where(lived.page.clicks, lived.page.watch, np.float32(0.0))
        shown = visited.nonzero()[0]
        self._observe_pages(
            places[shown], slates[shown], ranked[shown], lived.page.clicks[shown], watch[shown]
        )
        left = visited & lived.page.left
        self._memory.close_sessions(places[left], day[left])
        self._open_sessions(places[lived.gap > 0])
        info: dict[str, AnyArray] = {
            "items": slates,
            "clicks": lived.page.clicks,
            "watch": watch,
            "left": left,
            "days": lived.passed,
        }
        ended = self._visitors.clocks.day[places] >= self._visitors.clocks.end[places]
        return Step(
            rewards=self._rewards(lived, watch),
            terminated=lived.churned,
            truncated=ended & ~lived.churned,
            info=info,
        )

    def observe(self) -> dict[str, AnyArray]:
        """What a service may know of all `n` users, one row per user, as `observation_space`.

        All but interests and time left is zero for users who do not wait for a page.
        """
        clocks = self._visitors.clocks
        visiting = np.flatnonzero(clocks.visiting).astype(np.int32)
        self._page = self._no_candidates()
        found = self._memory.candidates(visiting, self._task.candidates)
        for mine, new in zip(self._page, found, strict=True):
            mine[visiting] = new
        features = np.zeros((*self._page.items.shape, len(FEATURES)), dtype=np.float32)
        features[visiting] = compute_features(
            self._scene.items, self._memory.features_of(visiting), found.items, found.scores
        )
        genres = np.minimum(self._scene.items.genres[self._page.items], np.float32(1.0))
        real = self._page.items != PAD
        genres[~real] = 0.0
        return {
            "candidates": features,
            "genres": genres,
            "interests": self._memory.interests(),
            "mask": real.astype(np.int8),
            "session": self._session_columns(),
        }

    def facts(self) -> dict[str, Any]:
        """Who the users are and when, and under `oracle` what no service can observe."""
        return {
            "user": self.users.copy(),
            "day": self._visitors.day_of_episode(),
            "oracle": {
                "goodwill": self._visitors.goodwill(),
                "satiation": self._visitors.satiation(),
                "satisfaction": self._visitors.session_satisfaction(),
                "examined": self._visitors.examined(),
            },
        }

    def _population(self, users: Int64Array) -> Population:
        return Population.draw(
            self._scene.world, users, seed=self._seed, parameters=self._parameters
        )

    def _no_candidates(self) -> PageCandidates:
        shape = (self.n, self._task.candidates)
        return PageCandidates(
            np.full(shape, PAD, dtype=np.int32),
            np.zeros(shape, dtype=np.float32),
            np.full(shape, PAD, dtype=np.int32),
        )

    def _slates(self, places: IndexArray, scores: AnyArray) -> tuple[IndexArray, IndexArray]:
        """Item rows and places in the ranking of what the scores put first, `int32 [b, L]`."""
        given = np.asarray(scores)
        shape = (places.size, self._task.candidates)
        if given.shape != shape or given.dtype.kind not in "fiu":
            raise ContextError(
                f"action must be numbers of shape {shape[1:]} per user, "
                f"got {given.dtype} of shape {given.shape}"
            )
        if np.isnan(given).any():
            raise ContextError("action must be a score for each candidate, got NaN")
        keys = -given.astype(np.float64)
        keys[self._page.items[places] == PAD] = np.inf
        # Ties go to the candidate that the source ranks higher, and padding to the end.
        order = np.argsort(keys, axis=1, kind="stable")[:, : self._task.slots]
        rows = places[:, None]
        return self._page.items[rows, order], self._page.places[rows, order]

    def _open_sessions(self, places: IndexArray) -> None:
        if not places.size:
            return
        self._memory.open_sessions(places, self._visitors.clocks.day[places])
        self._session[places] = 0.0
        self._session_clicks[places] = 0

    def _observe_pages(
        self,
        places: IndexArray,
        slates: IndexArray,
        ranked: IndexArray,
        clicks: BoolArray,
        watch: Float32Array,
    ) -> None:
        self._memory.mark_shown(places, ranked)
        self._memory.observe_page(places, slates, clicks, watch)
        counts = clicks.sum(axis=1)
        self._session_clicks[places] += counts
        total = self._session_clicks[places]
        watched = watch.sum(axis=1, dtype=np.float64)
        self._session[places, 0] += np.float32(1.0 / self._parameters.max_pages)
        self._session[places, 1] = total / (total + _CLICKS_HALF)
        self._session[places, 2] = counts / slates.shape[1]
        self._session[places, 3] = np.minimum(watched / np.maximum(counts, 1), 1.0)

    def _session_columns(self) -> AnyArray:
        clocks = self._visitors.clocks
        session = np.empty((self.n, len(SESSION)), dtype=np.float32)
        session[:, :4] = np.minimum(self._session, np.float32(1.0))
        session[~clocks.visiting, :4] = 0.0
        session[:, 4] = (clocks.end - clocks.day) / self._task.days
        session[:, 5] = clocks.visiting
        return session

    def _rewards(self, lived: Lived, watch: AnyArray) -> FloatArray:
        task = self._task
        returned = (lived.gap > 0) & (lived.gap <= task.return_days)
        return np.asarray(
            task.click_reward * lived.page.clicks.sum(axis=1)
            + task.watch_reward * watch.sum(axis=1, dtype=np.float64)
            + task.return_reward * returned
        )


def named_users(options: Mapping[str, Any] | None, n: int) -> Int64Array | None:
    """The users that `reset(options={"user": ...})` asks for, `int64 [n]`; None if it does not.

    Raises:
        ContextError: an option is unknown, or users are no `n` whole numbers in range.
    """
    given = dict(options or {})
    users = given.pop("user", None)
    if given:
        raise ContextError(f"options has no {next(iter(given))!r}; it has user")
    if users is None:
        return None
    numbers = np.atleast_1d(np.asarray(users))
    if numbers.shape != (n,) or numbers.dtype.kind not in "iu":
        raise ContextError(f"options['user'] must be {n} whole number(s), got {users!r}")
    if int(numbers.min()) < 0 or int(numbers.max()) >= MOST_USERS:
        raise ContextError(f"options['user'] must be within 0 and 2**62 - 1, got {users!r}")
    return numbers.astype(np.int64)
