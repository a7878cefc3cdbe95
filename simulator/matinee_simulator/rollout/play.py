"""Play users' whole lives under a ranker that does not learn.

Users are played in shards, each in one compiled call; what shards count is joined in their order.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from matinee_policies.arrays import AnyArray, Float32Array, IndexArray, UInt64Array
from matinee_policies.candidates.seen import empty_seen, mark_seen
from matinee_policies.config import check_seed, check_whole
from matinee_policies.errors import ConfigError
from matinee_simulator.catalogue_calendar import CatalogueCalendar
from matinee_simulator.draws import streams
from matinee_simulator.item_boost import ItemBoost
from matinee_simulator.page import page_weights
from matinee_simulator.parameters import Parameters
from matinee_simulator.population import Population
from matinee_simulator.retention import retention_weights
from matinee_simulator.rollout.desk import (
    ROW_COUNTS,
    ROW_SUMS,
    SLOT_COUNTS,
    USER_COUNTS,
    Tally,
    new_desk,
    new_rows,
    new_tally,
)
from matinee_simulator.rollout.life import live
from matinee_simulator.rollout.memory import new_news
from matinee_simulator.rollout.page_order import is_plain, orders_of
from matinee_simulator.rollout.played import Played, Sessions
from matinee_simulator.rollout.rankers import Ranker
from matinee_simulator.rollout.sight import Audience, Sight
from matinee_simulator.rollout.view import known_of, view_of
from matinee_simulator.taste_drift import taste_drift
from matinee_simulator.truth import item_truth
from matinee_simulator.user_state import fresh_state
from matinee_simulator.world import World

LAST_DAY = 32_767
"""Largest day: days of impressions are kept as int16."""

_SHARD_USERS = 2_048
_SHARD_DAYS = 2**18


def play(
    world: World,
    sight: Sight,
    ranker: Ranker,
    *,
    users: int,
    days: int,
    seed: int,
    parameters: Parameters,
    slots: int = 10,
    candidates: int = 100,
    audience: Audience | None = None,
    keep_sessions: bool = True,
    workers: int = 1,
) -> Played:
    """Play users 0 to `users - 1` from day 0 on.

    Results equal those of `Simulation` with the same slates, bit for bit, and do not depend on
    `workers`.

    Args:
        world: the truth.
        sight: what the platform knows.
        ranker: how a page is made.
        users: number of users, at least 1.
        days: number of days, at least 1.
        seed: of the run: who the users are, and their luck.
        parameters: of the users.
        slots: of a page, `L`.
        candidates: among which a page is chosen, `K` >= `L`.
        audience: what `sight.meet` gave for these users, to spare working it out again.
        keep_sessions: whether to keep a row for each session (44 bytes).
        workers: threads.

    Raises:
        ConfigError: a number is out of its range, or the catalogue has fewer items than
            `candidates`, on some day if it moves; nothing has run then.
    """
    check_sizes(world, users=users, days=days, slots=slots, candidates=candidates)
    check_seed("seed", seed)
    check_whole("workers", workers, low=1, high=256)
    if audience is not None and (len(audience), audience.seed) != (users, seed):
        raise ConfigError(
            f"audience must be of {users} users and seed {seed}, "
            f"got {len(audience)} users and seed {audience.seed}"
        )
    stage = set_stage(
        world,
        sight,
        (ranker,),
        days=days,
        seed=seed,
        parameters=parameters,
        candidates=candidates,
    )
    size = min(_SHARD_USERS, max(64, _SHARD_DAYS // days))
    shards = [range(first, min(first + size, users)) for first in range(0, users, size)]
    run = partial(
        play_shard,
        stage,
        slots=slots,
        candidates=candidates,
        audience=audience,
        keep=keep_sessions,
    )
    if workers == 1:
        acts = [run(shard) for shard in shards]
    else:
        with ThreadPoolExecutor(workers) as pool:
            acts = list(pool.map(run, shards))
    return _joined(acts, ranker=ranker, days=days)


@dataclass(frozen=True, slots=True)
class Stage:
    """What all shards share."""

    world: World
    sight: Sight
    rankers: tuple[Ranker, ...]
    days: int
    seed: int
    parameters: Parameters
    boosts: Float32Array
    closed: UInt64Array


@dataclass(frozen=True, slots=True)
class Act:
    """What one shard leaves behind."""

    arrival: AnyArray
    tally: Tally
    counts: IndexArray
    sums: Float32Array
    seconds: float


def set_stage(
    world: World,
    sight: Sight,
    rankers: tuple[Ranker, ...],
    *,
    days: int,
    seed: int,
    parameters: Parameters,
    candidates: int,
) -> Stage:
    """What all shards share; arguments as `play`, with one ranker per visit, the last to stay.

    Raises:
        ConfigError: the sight is of other items, or fewer items than `candidates` are available on
            some day.
    """
    if sight.taste.n_items != world.n_items:
        raise ConfigError(
            f"sight must be of the {world.n_items} items of the world, got {sight.taste.n_items}"
        )
    calendar = CatalogueCalendar(world, parameters, seed=seed, days=days)
    boosts = ItemBoost(world, parameters, calendar, seed=seed).table(days)
    closed = empty_seen(days if parameters.catalogue_moves else 1, world.n_items)
    if parameters.catalogue_moves:
        calendar.require(candidates)
        for day in range(days):
            items = np.flatnonzero(~calendar.available(day)).astype(np.int32)
            mark_seen(closed, np.full(items.size, day, dtype=np.int32), items)
    return Stage(world, sight, rankers, days, seed, parameters, boosts, closed)


def play_shard(
    stage: Stage,
    shard: range,
    *,
    slots: int,
    candidates: int,
    audience: Audience | None,
    keep: bool,
) -> Act:
    """Play the users of one shard; arguments as `play`."""
    world, sight, parameters = stage.world, stage.sight, stage.parameters
    numbers = np.arange(shard.start, shard.stop, dtype=np.int64)
    population = Population.draw(world, numbers, seed=stage.seed, parameters=parameters)
    if audience is None:
        met = sight.meet_drawn(world, population, seed=stage.seed)
        known = known_of(met, slice(0, len(shard)), rest=sight.rest)
    else:
        known = known_of(audience, slice(shard.start, shard.stop), rest=sight.rest)
    state = fresh_state(
        population, topics=world.n_topics, capacity=parameters.fatigue_capacity, start_day=0
    )
    first = stage.rankers[0]
    view = view_of(sight, first)
    # Of candidates in the order of the pool the page takes the first ones, whatever follows.
    is_short = len(stage.rankers) == 1 and is_plain(first.code, first.price)
    taken = slots if is_short else candidates
    tally = new_tally(users=len(shard), days=stage.days, items=world.n_items, slots=slots)
    rows = new_rows(len(shard) * stage.days if keep else 1)
    desk = new_desk(
        depth=taken + slots * (parameters.max_pages - 1),
        candidates=taken,
        slots=slots,
        words=known.seen.shape[1],
        factors=view.prior.size,
        width=view.embeddings.shape[1],
    )
    start = time.thread_time()
    live(
        item_truth(world),
        stage.boosts,
        stage.closed,
        state,
        page_weights(parameters),
        retention_weights(parameters),
        taste_drift(world, parameters, seed=stage.seed),
        streams(stage.seed),
        view,
        known,
        new_news(slots=slots, items=world.n_items),
        orders_of(stage.rankers, seed=stage.seed),
        desk,
        taken + 2 * slots,
        keep,
        tally,
        rows,
    )
    seconds = time.thread_time() - start
    written = int(rows.written[0])
    counts, sums = rows.counts[:written].copy(), rows.sums[:written].copy()
    counts[:, 0] += shard.start
    return Act(population.arrival_day, tally, counts, sums, seconds)


def _joined(acts: list[Act], *, ranker: Ranker, days: int) -> Played:
    counts = np.concatenate([act.tally.counts for act in acts])
    sums = np.concatenate([act.tally.sums for act in acts])
    difference, slates = np.sum([act.tally.difference for act in acts], axis=0)
    by_slot = np.sum([act.tally.slots for act in acts], axis=0)
    users = {f"user_{name}": counts[:, place].copy() for place, name in enumerate(USER_COUNTS)}
    slots = {f"slot_{name}": row for name, row in zip(SLOT_COUNTS, by_slot, strict=True)}
    fields: dict[str, AnyArray] = {**users, **slots}
    return Played(
        ranker=ranker.name,
        days=days,
        arrival=np.concatenate([act.arrival for act in acts]),
        visits=np.concatenate([act.tally.visits for act in acts]),
        user_satisfaction=sums[:, 0].copy(),
        user_watched=sums[:, 1].copy(),
        exposure=np.sum([act.tally.exposure for act in acts], axis=0),
        ild=float(difference / slates) if slates else float("nan"),
        sessions=_sessions(acts),
        seconds=sum(act.seconds for act in acts),
        **fields,
    )


def _sessions(acts: list[Act]) -> Sessions:
    counts = np.concatenate([act.counts for act in acts])
    sums = np.concatenate([act.sums for act in acts])
    columns: dict[str, AnyArray] = {
        **{name: counts[:, place].copy() for place, name in enumerate(ROW_COUNTS)},
        **{name: sums[:, place].copy() for place, name in enumerate(ROW_SUMS)},
    }
    return Sessions(**columns)


def check_sizes(world: World, *, users: int, days: int, slots: int, candidates: int) -> None:
    """Refuse what cannot be played; arguments as `play`.

    Raises:
        ConfigError: a number is out of its range, or the catalogue has fewer items than candidates.
    """
    check_whole("users", users, low=1, high=2**31 - 1)
    check_whole("days", days, low=1, high=LAST_DAY + 1)
    check_whole("slots", slots, low=1, high=100)
    check_whole("candidates", candidates, low=1, high=10_000)
    if candidates < slots:
        raise ConfigError(f"candidates must be at least slots = {slots}, got {candidates}")
    if world.n_items < candidates:
        raise ConfigError(
            f"candidates must be at most the {world.n_items} items of the world, got {candidates}"
        )
